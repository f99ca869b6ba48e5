"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

REAL_ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance"
PUBLISHED_FIGURES = Path(__file__).resolve().parents[2] / "shared" / "spec" / "published_figures.json"


@pytest.fixture(scope="session")
def archive() -> Path:
    """The real archive files (BTCUSDT and ETHUSDT 4h), used in place."""
    if not REAL_ARCHIVE.is_dir():
        pytest.skip(f"the real archive files are not at {REAL_ARCHIVE}")
    return REAL_ARCHIVE


@pytest.fixture(scope="session")
def published() -> dict:
    """The figures that the original notebook published."""
    if not PUBLISHED_FIGURES.is_file():
        pytest.skip(f"the published figures are not at {PUBLISHED_FIGURES}")
    import json

    return json.loads(PUBLISHED_FIGURES.read_text())
