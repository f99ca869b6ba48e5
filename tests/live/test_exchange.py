"""The client against an exchange that misbehaves: every answer is whole and sound, or it is asked for again."""

import socket
import threading
import time
from contextlib import closing

import pytest
from tests.live.conftest import START, minutes

from hermes.dataset import Dataset
from hermes.errors import Banned, ExchangeError, NotServed, SymbolUnknown
from hermes.live import exchange as exchange_module
from hermes.live.exchange import Exchange
from hermes.live.transport import Transport
from hermes.settings import LiveSettings
from hermes.testing.exchange import SimulatedExchange, random_bars

T0 = START * 1_000_000


def all_bars(client, dataset, start=T0, limit=None):
    found = {}
    for reading in client.readings(dataset, start, limit):
        found.update({bar.open_time: bar for bar in reading.bars})
    return [found[at] for at in sorted(found)]


def test_the_texts_of_the_archive_come_as_they_are(server, client, clock):
    dataset, bars = minutes(30)
    server.add(dataset, bars)
    clock.move(3600)
    assert [bar.line for bar in client.read(dataset, T0, 1000)] == [bar.line for bar in bars]


def test_server_time_is_the_servers(server, client, clock):
    server.skew_s = 77
    assert client.server_time() == (START + 77) * 1_000_000


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 19, 20, 21, 35])
@pytest.mark.parametrize("market", ["spot", "um", "cm"])
def test_pages_bring_every_bar_and_overlap(server, clock, market, count):
    dataset = Dataset(market=market, symbol="SIMUSDT", interval="1m")
    bars = random_bars(dataset, T0, count)
    server.add(dataset, bars)
    clock.move(60 * 40)
    with closing(Exchange(market, LiveSettings(url=server.url), clock)) as client:
        assert all_bars(client, dataset, T0, limit=10) == bars


@pytest.mark.parametrize("market", ["spot", "um", "cm"])
def test_pages_cross_a_halt_longer_than_a_span(server, clock, market):
    dataset = Dataset(market=market, symbol="SIMUSDT", interval="1d")
    day = 86_400_000_000
    bars = random_bars(dataset, T0 - T0 % day, 900)
    bars = bars[:50] + bars[500:]
    server.add(dataset, bars)
    clock.move(86_400 * 901)
    with closing(Exchange(market, LiveSettings(url=server.url), clock)) as client:
        readings = list(client.readings(dataset, bars[0].open_time - 300 * day, limit=100))
    # The bar before the halt and its successor stand beside each other in one reading.
    assert any(bars[49] in reading.bars and bars[50] in reading.bars for reading in readings)
    assert sorted({bar.open_time: bar for each in readings for bar in each.bars}.items()) == [
        (bar.open_time, bar) for bar in bars
    ]


@pytest.mark.parametrize(
    "fault",
    ["500", "503", "cut", "cut gzip", "not json", "wrong rows", "contradiction", "gzip", "duplicated", "reordered",
     "slow", "429"],
)  # fmt: skip
def test_a_fault_that_ends_changes_nothing(server, client, clock, fault):
    dataset, bars = minutes(20)
    server.add(dataset, bars)
    clock.move(3600)
    server.faults.extend([fault, fault, None])
    assert client.read(dataset, T0, 1000) == bars


def test_429_waits_as_long_as_it_is_told(server, client, clock):
    dataset, bars = minutes(5)
    server.add(dataset, bars)
    clock.move(3600)
    server.retry_after_s = 45
    server.faults.append("429")
    before = clock.elapsed()
    client.read(dataset, T0, 10)
    assert clock.elapsed() - before >= 45


def test_418_stops_and_says_until_when(server, client, clock):
    dataset, bars = minutes(5)
    server.add(dataset, bars)
    server.retry_after_s = 600
    server.faults.append("418")
    with pytest.raises(Banned, match=r"until 2025-06-15 15:17") as refused:
        client.read(dataset, T0, 10)
    assert refused.value.seconds == pytest.approx(600)
    asked = dict(server.requests)
    with pytest.raises(Banned):
        client.server_time()
    assert server.requests == asked, "nothing is sent while the ban lasts"
    clock.move(601)
    assert client.read(dataset, T0, 10)


@pytest.mark.parametrize("status", ["451", "403"])
def test_a_place_that_is_not_served_is_told_so_at_once(server, client, status):
    dataset, bars = minutes(5)
    server.add(dataset, bars)
    server.faults.append(status)
    with pytest.raises(NotServed, match="refuses requests from this location"):
        client.read(dataset, T0, 10)


def test_an_unknown_symbol_is_named(server, client):
    with pytest.raises(SymbolUnknown, match="NOPEUSDT"):
        client.read(Dataset(symbol="NOPEUSDT", interval="1m"), T0, 10)


def test_an_outage_ends_as_an_error_with_a_cure(server, client):
    server.down = True
    with pytest.raises(ExchangeError, match="no valid answer to 6 requests") as refused:
        client.server_time()
    assert "proxy" in refused.value.cure


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ('[1750000020000000,"1","2","3","4","5",1750000079999999,"6",7,"8","9"]', "not a bar of 12 numbers"),
        ('[1750000020000000,"1","2","3","NaN","5",1750000079999999,"6",7,"8","9","0"]', "not a bar of 12 numbers"),
        ('[1750000020000000,"1,5","2","3","4","5",1750000079999999,"6",7,"8","9","0"]', "not a bar of 12 numbers"),
        ('[17500000200,"1","2","3","4","5",1750000079999999,"6",7,"8","9","0"]', "invalid times"),
        ('[1750000020000000,"1","2","3","4","5",1750000139999999,"6",7,"8","9","0"]', "not a bar of 1m"),
        ('[1740000000000000,"1","2","3","4","5",1740000059999999,"6",7,"8","9","0"]', "before the requested start"),
    ],
)
def test_rows_that_are_no_bars_are_refused(server, client, monkeypatch, row, what):
    dataset, bars = minutes(1)
    server.add(dataset, bars)
    monkeypatch.setattr("hermes.testing.exchange._json", lambda _: f"[{row}]".encode())
    with pytest.raises(ExchangeError, match=what):
        client.read(dataset, T0, 10)


def test_half_of_the_limit_is_all_that_is_asked_for(server, client, clock):
    dataset, bars = minutes(50)
    server.add(dataset, bars)
    assert client.budget.most == 3000  # half of the exchange's
    client.budget.most = server.limit = 40
    for _ in range(50):
        client.read(dataset, T0, 10)
    assert server.refused == 0
    assert clock.elapsed() >= 120


def test_what_others_spend_counts(server, client, clock):
    dataset, bars = minutes(5)
    server.add(dataset, bars)
    server.spend(client.budget.most - 1)  # somebody else at this address
    client.read(dataset, T0, 10)
    before = clock.elapsed()
    client.read(dataset, T0, 10)
    assert clock.elapsed() > before


def test_closing_ends_a_request_that_waits(server, client):
    dataset, bars = minutes(5)
    server.add(dataset, bars)
    server.faults.append("hang")
    ended = []

    def ask():
        try:
            client.read(dataset, T0, 10)
        except InterruptedError:
            ended.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.requests:
        time.sleep(0.01)
    time.sleep(0.05)
    client.close()
    thread.join(5)
    assert ended


def test_an_answer_that_never_ends_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        transport = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3)
        with pytest.raises(OSError, match=r"too long|timed out"):
            transport.get("/", {})


def test_requests_go_through_a_proxy_with_its_password():
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536).decode())
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        threading.Thread(target=answer, daemon=True).start()
        proxy = f"http://me:s%40fe@127.0.0.1:{listener.getsockname()[1]}"
        found = Transport("http://exchange.invalid/base", proxy).get("/api?x=1", {})
    assert found.body == b"hi"
    assert seen[0].startswith("GET http://exchange.invalid:80/base/api?x=1 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6c0BmZQ==" in seen[0]


def test_limits_are_the_markets():
    assert exchange_module.APIS["spot"].weight(1000) == 2
    limits = (99, 100, 499, 500, 1000, 1500)
    assert [exchange_module.APIS["um"].weight(limit) for limit in limits] == [1, 2, 2, 5, 5, 10]


def test_an_exchange_of_another_month_answers_months(clock):
    dataset = Dataset(symbol="SIMUSDT", interval="1mo")
    with SimulatedExchange(clock) as server, closing(Exchange("spot", LiveSettings(url=server.url), clock)) as client:
        january, february, march = 1_735_689_600_000_000, 1_738_368_000_000_000, 1_740_787_200_000_000
        cells = ("1", "2", "0.5", "1.5", "9")
        bars = [
            exchange_module.Bar((str(begin), *cells, str(end - 1), "1", "2", "3", "4", "0"))
            for begin, end in ((january, february), (february, march))
        ]
        server.add(dataset, bars)
        assert client.read(dataset, january, 10) == bars
