"""A simulated lake with executions to report on, and one made of the real archive."""

import shutil
from datetime import date

import pytest
from tests.pages.chromium import Browser
from tests.pages.lakes import made, opened

from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive


@pytest.fixture(scope="session")
def simulated_archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, Settings.load({"dataset.symbol": "SIMUSDT"}, environ={}).dataset, date(2022, 1, 1), 9)
    return folder


@pytest.fixture(scope="session")
def simulated_once(tmp_path_factory, simulated_archive):
    """What `simulated` is a copy of."""
    folder = tmp_path_factory.mktemp("simulated")
    made(folder, simulated_archive, dataset__symbol="SIMUSDT")
    return folder


@pytest.fixture
def simulated(tmp_path, simulated_archive, simulated_once):
    """A lake of 1,600 simulated bars with one execution."""
    shutil.copytree(simulated_once, tmp_path / "lake")
    return opened(tmp_path / "lake", simulated_archive, dataset__symbol="SIMUSDT")


@pytest.fixture
def never_trades(tmp_path, simulated_archive):
    """The same with a strategy that never buys."""
    never = {"strategy.smart_momentum.rsi_low": 1, "strategy.smart_momentum.rsi_high": 2}
    return made(tmp_path / "lake", simulated_archive, dataset__symbol="SIMUSDT", **never)


@pytest.fixture
def real(tmp_path, archive):
    """The published window of BTCUSDT: 17,515 bars."""
    return made(tmp_path / "lake", archive, signals__start="2017-09-01")


@pytest.fixture
def browser():
    with Browser() as browser:
        yield browser
