"""One simulated exchange for a module; every test lists its own bars."""

from collections.abc import Iterator

import pytest

from hermes.dataset import Dataset
from hermes.live.exchange import Exchange
from hermes.settings import LiveSettings
from hermes.testing.clock import ManualClock
from hermes.testing.exchange import SimulatedExchange, random_bars

START = 1_750_000_020  # seconds: a whole minute
MINUTE = 60_000_000
M1 = Dataset(symbol="SIMUSDT", interval="1m")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def server(clock: ManualClock) -> Iterator[SimulatedExchange]:
    with SimulatedExchange(clock) as exchange:
        yield exchange


@pytest.fixture
def client(server: SimulatedExchange, clock: ManualClock) -> Iterator[Exchange]:
    exchange = Exchange("spot", LiveSettings(url=server.url), clock)
    yield exchange
    exchange.close()


def minutes(count: int, symbol: str = "SIMUSDT", seed: int = 1):
    """Bars of so many minutes from `START` on."""
    dataset = Dataset(symbol=symbol, interval="1m")
    return dataset, random_bars(dataset, START * 1_000_000, count, seed)
