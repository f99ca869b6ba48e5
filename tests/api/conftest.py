"""One simulated lake, run once for all tests of the Python API."""

from collections.abc import Callable
from pathlib import Path

import pytest

import hermes
from hermes.steps.run import Run


@pytest.fixture(scope="session")
def settings(simulated: Path, tmp_path_factory: pytest.TempPathFactory, load: Callable) -> hermes.Settings:
    given = {"dataset__symbol": "SIMUSDT", "archive__url": str(simulated), "signals__start": "2024-11-01"}
    return load(tmp_path_factory.mktemp("lake"), **given)


@pytest.fixture(scope="session")
def finished(settings: hermes.Settings) -> Run:
    return hermes.run(settings)
