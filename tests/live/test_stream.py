"""The websocket wakes the reader; what it misses, the clock brings."""

import sys
import time

import pytest
from tests.live.live_market import START

from hermes.errors import UsageError
from hermes.live.stream import Stream
from hermes.testing.clock import FastClock
from hermes.testing.exchange import SimulatedExchange, random_bars

websockets = pytest.importorskip("websockets", reason="needs the extra live")

from hermes.dataset import Dataset  # noqa: E402
from hermes.settings import Settings  # noqa: E402
from hermes.testing.stream import SimulatedStream  # noqa: E402


@pytest.fixture
def followed(monkeypatch):
    """A stream that is followed at 200 times the speed: who it woke, and the exchange's end of it."""
    monkeypatch.setattr("hermes.live.stream.FIRST_PAUSE_S", 0.02)
    clock = FastClock(START, speed=200)
    with SimulatedExchange(clock) as exchange, SimulatedStream(exchange) as stream:
        tasks = []
        for symbol in ("SIM1USDT", "SIM2USDT"):
            dataset = Dataset(symbol=symbol, interval="1m")
            exchange.add(dataset, random_bars(dataset, START * 1_000_000, 1000))
            tasks.append(Settings.load(dataset={"symbol": symbol, "interval": "1m"}, live={"stream_url": stream.url}))
        woken: list[str] = []
        with Stream(tasks, woken.append, silence_s=0.8):
            yield woken, stream


def wait_for(what) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until, "nothing came in 20 seconds"
        time.sleep(0.01)


def test_every_close_wakes(followed):
    woken, stream = followed
    wait_for(lambda: woken.count("SIM1USDT") > 2 and woken.count("SIM2USDT") > 2)
    assert stream.connections == 1


@pytest.mark.parametrize("end", ["hang_up", "shut_down"])
def test_a_connection_that_ends_is_made_anew(followed, end):
    woken, stream = followed
    wait_for(lambda: woken)
    getattr(stream, end)()
    wait_for(lambda: stream.connections == 2)
    woken.clear()
    wait_for(lambda: woken)


def test_silence_is_noticed(followed):
    woken, stream = followed
    wait_for(lambda: woken)
    stream.silent = True
    wait_for(lambda: stream.connections >= 2)
    stream.silent = False
    woken.clear()
    wait_for(lambda: woken)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets.sync", None)
    with pytest.raises(UsageError, match="websockets") as refused:
        Stream([Settings.load()], print)
    assert "hermes-signals[live]" in refused.value.cure
