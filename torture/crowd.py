"""Stub."""

from pathlib import Path

NAME, ABOUT, FULL, SAMPLE = "crowd", "to come", 2, 1


def case(seed: int, folder: Path) -> None:
    """One case."""
    assert folder.is_dir()
