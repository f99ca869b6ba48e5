"""An exchange on loopback for tests, measurements and the demo: recorded bars at any speed, with planned faults.

It implements what Hermes uses of the real one: server time, klines and funding of three markets, weights and
their header, a bar that forms until it closes. Faults are planned by the test, see `Plan` and `FAULTS`.

Longer than 300 lines, because it is one server: its answers, its faults and its clock share one state.
"""

import gzip
import json
import math
import socket
import zipfile
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from time import sleep
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from hermes.dataset import INTERVAL_SECONDS, Dataset
from hermes.live.clock import Clock
from hermes.live.exchange import APIS, FUNDING_LIMIT, SPAN_DAYS
from hermes.live.finality import Bar

#: What an answer to a request for klines may suffer.
FAULTS = (
    "429", "418", "451", "403", "500", "503", "slow", "cut", "cut gzip", "hang", "not json", "wrong rows",
    "duplicated", "reordered", "contradiction", "gzip",
)  # fmt: skip
_SLOW_S = 0.2
_HANG_S = 30.0
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The planned anomalies of one bar.

    Attributes:
        late_s: seconds after its open time before which it is not listed.
        changes_s: seconds after its close during which it is listed with values that change later.
    """

    late_s: float = 0.0
    changes_s: float = 0.0


@dataclass(slots=True)
class _Series:
    bars: list[Bar]
    times: list[int]
    plans: dict[int, Plan] = field(default_factory=dict)


class SimulatedExchange:
    """A server on 127.0.0.1, as a context manager.

    Args:
        clock: the source of its time.
        skew_s: offset of its time from the clock.
        listing_s: delay after its open time until a bar is listed, as the first trade takes a moment.
        limit: weight allowed per minute for all markets; more is answered with 429.

    Attributes:
        faults: queue of `FAULTS`, one for each answer to a request for klines; None means no fault.
        requests: number of answers, by path.
        refused: number of answers with 429.
    """

    def __init__(
        self, clock: Clock | None = None, *, skew_s: float = 0.0, listing_s: float = 0.0, limit: int = 6000
    ) -> None:
        self.clock = clock or Clock()
        self.skew_s, self.listing_s, self.limit = skew_s, listing_s, limit
        self.faults: deque[str | None] = deque()
        self.down = False  # no connection is answered
        self.retry_after_s = 1
        self.requests: dict[str, int] = {}
        self.refused = 0
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._funding: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self._used: tuple[int, int] = (0, 0)  # minute, weight
        self._lock = Lock()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """For `[live] url`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, dataset: Dataset, bars: Iterable[Bar], plans: Mapping[int, Plan] | None = None) -> None:
        """Add a series with all of its bars, past and future, in order of time.

        Args:
            plans: by open time in microseconds.
        """
        listed = list(bars)
        series = _Series(listed, [bar.open_time for bar in listed], dict(plans or {}))
        self._series[(dataset.market, dataset.symbol, dataset.interval)] = series

    def add_funding(self, dataset: Dataset, rates: Iterable[tuple[int, str]]) -> None:
        """List the funding of a contract: all times (milliseconds) that it will ever have, in order, and the rates."""
        self._funding[(dataset.market, dataset.symbol)] = list(rates)

    def funding(self, market: str, query: Mapping[str, str]) -> list[dict[str, Any]] | None:
        """The answer to a request for funding rates; None for a contract that is not listed."""
        listed = self._funding.get((market, query["symbol"]))
        if listed is None:
            return None
        begin, now = int(query.get("startTime", "0")), self.now() // 1000
        limit = min(int(query.get("limit", "100")), FUNDING_LIMIT)
        found = [(time, rate) for time, rate in listed if begin <= time <= now][:limit]
        return [
            {"symbol": query["symbol"], "fundingTime": time, "fundingRate": rate, "markPrice": "1.0"}
            for time, rate in found
        ]

    def now(self) -> int:
        """The server's time, in microseconds."""
        return round((self.clock.time() + self.skew_s) * 1_000_000)

    def listed(self, dataset: Dataset, now: int | None = None) -> list[Bar]:
        """The bars listed at an instant (microseconds), the last one as far as it has formed."""
        now = self.now() if now is None else now
        series = self._series[(dataset.market, dataset.symbol, dataset.interval)]
        until = bisect_right(series.times, now)
        return [shown for at in range(until) if (shown := self._shown(series, at, now))]

    def _shown(self, series: _Series, at: int, now: int) -> Bar | None:
        bar, plan = series.bars[at], series.plans.get(series.times[at])
        listed = series.times[at] + round((plan.late_s if plan and plan.late_s else self.listing_s) * 1e6)
        if now < listed:
            return None
        end = bar.end
        if now < end:
            return _forming(bar, (now - series.times[at]) / (end - series.times[at]))
        if plan and now < end + round(plan.changes_s * 1e6):
            return _forming(bar, 0.9)
        return bar

    def klines(self, market: str, query: Mapping[str, str], microseconds: bool) -> list[Bar] | None:
        """The answer to a request for klines; None for a symbol that is not listed."""
        interval = "1mo" if query["interval"] == "1M" else query["interval"]
        series = self._series.get((market, query["symbol"], interval))
        if series is None and interval == "1d":
            series = self._days(market, query["symbol"])
        if series is None:
            return None
        now, most = self.now(), APIS[market].most_bars
        limit = min(int(query.get("limit", "500")), most)
        start = int(query["startTime"]) * 1000 if "startTime" in query else None
        end = int(query["endTime"]) * 1000 + 999 if "endTime" in query else None
        if market == "cm":  # the last bars before the end, which is at most 200 days after the start
            if start is not None and end is None:
                end = start + SPAN_DAYS * _DAY_US
            if start is not None and end is not None and end - start > SPAN_DAYS * _DAY_US + 999:
                raise ValueError("span")
        low = bisect_left(series.times, start) if start is not None else 0
        high = bisect_right(series.times, min(now, end if end is not None else now))
        found: list[Bar] = []
        last_first = start is None or market == "cm"
        for at in range(high - 1, low - 1, -1) if last_first else range(low, high):
            if shown := self._shown(series, at, now):
                found.append(shown)
            if len(found) == limit:
                break
        if last_first:
            found.reverse()
        return [_in_unit(bar, microseconds) for bar in found]

    def _days(self, market: str, symbol: str) -> _Series | None:
        """Days on which a symbol has bars of some interval; their values are those of the first one."""
        listed = next((each for names, each in self._series.items() if names[:2] == (market, symbol)), None)
        if listed is None:
            return None
        first = {bar.open_time // _DAY_US: bar for bar in reversed(listed.bars)}
        days = []
        for day, bar in sorted(first.items()):
            begin, end = (str(day * _DAY_US // 1000), str((day + 1) * _DAY_US // 1000 - 1))
            days.append(Bar((begin, *bar.cells[1:6], end, *bar.cells[7:])))
        return _Series(days, [day.open_time for day in days])

    def spend(self, weight: int) -> tuple[int, bool]:
        """Count the weight of a request; returns what was used in this minute, and whether that is too much."""
        with self._lock:
            minute = self.now() // 60_000_000
            used = (self._used[1] if self._used[0] == minute else 0) + weight
            self._used = (minute, used)
            self.refused += used > self.limit
            return used, used > self.limit

    def count(self, path: str) -> None:
        """Count a request."""
        with self._lock:
            self.requests[path] = self.requests.get(path, 0) + 1

    def next_fault(self) -> str | None:
        """The fault of the next answer."""
        with self._lock:
            return self.faults.popleft() if self.faults else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.exchange = exchange
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        """One request."""
        exchange = self.server.exchange  # type: ignore[attr-defined]
        if exchange.down:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        exchange.count(parts.path)
        market = next((name for name, api in APIS.items() if parts.path.startswith(f"{api.prefix}/")), None)
        if market is None:
            self._answer(404, b'{"code": -1, "msg": "no such path"}')
            return
        name = parts.path.removeprefix(f"{APIS[market].prefix}/")
        weight = 1 if name == "time" else APIS[market].weight(int(query.get("limit", "500")))
        used, too_much = exchange.spend(weight)
        headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
        microseconds = self.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND" and market == "spot"
        if too_much:
            self._answer(429, b'{"code": -1003, "msg": "Too much request weight used"}', headers | self._later())
        elif name == "time":
            now = exchange.now()
            self._answer(200, json.dumps({"serverTime": now if microseconds else now // 1000}).encode(), headers)
        elif name == "fundingRate" and market != "spot":
            rates = exchange.funding(market, query)
            unknown = b'{"code": -1121, "msg": "Invalid symbol."}'
            self._answer(*((400, unknown) if rates is None else (200, json.dumps(rates).encode())), headers)
        elif name == "klines":
            self._klines(market, query, microseconds, headers)
        else:
            self._answer(404, b'{"code": -1, "msg": "no such path"}', headers)

    def _later(self) -> dict[str, str]:
        return {"Retry-After": str(self.server.exchange.retry_after_s)}  # type: ignore[attr-defined]

    def _klines(self, market: str, query: Mapping[str, str], microseconds: bool, headers: dict[str, str]) -> None:
        exchange: SimulatedExchange = self.server.exchange  # type: ignore[attr-defined]
        fault = exchange.next_fault()
        if fault and fault.isdigit():
            later = self._later() if fault in ("429", "418") else {}
            self._answer(int(fault), b"<html>no json</html>", headers | later)
            return
        if fault == "hang":
            sleep(_HANG_S)
            self.close_connection = True
            return
        if fault == "slow":
            sleep(_SLOW_S)
        try:
            bars = exchange.klines(market, query, microseconds)
        except (KeyError, ValueError):
            self._answer(400, b'{"code": -1102, "msg": "a parameter is missing or wrong"}', headers)
            return
        if bars is None:
            self._answer(400, b'{"code": -1121, "msg": "Invalid symbol."}', headers)
            return
        if fault in ("gzip", "cut gzip"):
            headers = headers | {"Content-Encoding": "gzip"}
        self._answer(200, _spoiled(bars, fault), headers, cut=fault == "cut")

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True


def recorded(archive: Path, dataset: Dataset) -> Iterator[Bar]:
    """The bars of an archive's folder, with the texts of its lines."""
    for path in sorted((archive / dataset.archive_folder).glob("*.zip")):
        with zipfile.ZipFile(path) as packed:
            text = packed.read(packed.namelist()[0]).decode()
        for line in text.splitlines():
            if line and line[0].isdigit():
                yield Bar(tuple(line.split(",")))


def random_bars(dataset: Dataset, start: int, count: int, seed: int = 1) -> list[Bar]:
    """A random walk, with the texts that the exchange would send.

    Args:
        start: open time of the first bar, microseconds.
    """
    import random  # noqa: PLC0415

    rng = random.Random(f"{seed} {dataset}")
    step = INTERVAL_SECONDS[dataset.interval] * 1_000_000
    unit = 1 if dataset.market == "spot" else 1000
    close, bars = 10_000.0, []
    for at in range(count):
        open_, close = close, max(1.0, close * math.exp(rng.gauss(0, 0.01)))
        high, low = max(open_, close) * (1 + rng.random() * 0.003), min(open_, close) * (1 - rng.random() * 0.003)
        volume = rng.lognormvariate(3, 1)
        time = start + at * step
        cells = (
            str(time // unit), f"{open_:.8f}", f"{high:.8f}", f"{low:.8f}", f"{close:.8f}", f"{volume:.8f}",
            str((time + step) // unit - 1), f"{volume * close:.8f}", str(int(volume * 7) + 1),
            f"{volume / 2:.8f}", f"{volume * close / 2:.8f}", "0",
        )  # fmt: skip
        close = float(cells[4])
        bars.append(Bar(cells))
    return bars


def _forming(bar: Bar, share: float) -> Bar:
    """The bar after a share of its interval: a smaller volume and an intermediate price."""
    time, open_, high, low, close, volume, end, quote, count, taker, taker_quote, ignored = bar.cells
    price = float(open_) + (float(close) - float(open_)) * share
    grown = [f"{float(cell) * share:.8f}" for cell in (volume, quote, taker, taker_quote)]
    top, bottom = (f"{extreme:.8f}" for extreme in (max(float(open_), price), min(float(open_), price)))
    return Bar(
        (time, open_, min(high, top, key=float), max(low, bottom, key=float), f"{price:.8f}", grown[0], end, grown[1],
         str(int(int(count) * share)), grown[2], grown[3], ignored)
    )  # fmt: skip


def _spoiled(bars: Sequence[Bar], fault: str | None) -> bytes:
    """The body of an answer with a fault."""
    if fault == "wrong rows":
        return b'[["soon"]]'
    if fault == "duplicated":
        bars = [*bars, *bars[-3:]]
    elif fault == "reordered":
        bars = bars[::-1]
    elif fault == "contradiction" and bars:
        bars = [*bars, _forming(bars[0], 0.37)]
    body = _json(bars)
    if fault == "not json":
        return body[: len(body) // 2] + b"\x00"
    if fault in ("gzip", "cut gzip"):
        body = gzip.compress(body, 1)
    return body[:-9] if fault == "cut gzip" else body


def _in_unit(bar: Bar, microseconds: bool) -> Bar:
    """The bar with its times in the unit that was asked for."""
    if (len(bar.cells[0]) == 16) == microseconds:
        return bar
    if microseconds:
        open_, close = f"{bar.cells[0]}000", f"{(int(bar.cells[6]) + 1) * 1000 - 1}"
    else:
        open_, close = str(int(bar.cells[0]) // 1000), str((int(bar.cells[6]) + 1) // 1000 - 1)
    return Bar((open_, *bar.cells[1:6], close, *bar.cells[7:]))


def _json(bars: Sequence[Bar]) -> bytes:
    """JSON as the exchange writes it: times and the count as numbers, all else as texts."""
    rows = []
    for cells in (bar.cells for bar in bars):
        texts = '","'.join(cells[1:6])
        rows.append(
            f'[{cells[0]},"{texts}",{cells[6]},"{cells[7]}",{cells[8]},"{cells[9]}","{cells[10]}","{cells[11]}"]'
        )
    return f"[{','.join(rows)}]".encode()
