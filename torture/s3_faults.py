"""Stub."""

from pathlib import Path

NAME, ABOUT, FULL, SAMPLE = "s3_faults", "to come", 2, 1


def case(seed: int, folder: Path) -> None:
    """One case."""
    assert folder.is_dir()
