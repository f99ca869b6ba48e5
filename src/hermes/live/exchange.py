"""A client of the exchange's REST interface: server time, klines and funding, rate-limited and with retries.

The only source of live bars. Facts about the exchange, as of 2026: klines cost weight 2 on spot; on futures 1, 2, 5 or
10 by the limit asked for. Spot answers in microseconds where a header asks for them, as its archive does since 2025;
futures in milliseconds, as theirs does. COIN-M answers with the *last* bars before the end of a span, which may be 200
days, so it is asked span by span; spot and USD-M with the first ones after its start.
"""

import http.client
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, TypeVar
from urllib.parse import urlencode

from hermes.dataset import Dataset, FundingRates
from hermes.errors import ExchangeError, NotServed, SymbolUnknown
from hermes.live import answers
from hermes.live.budget import Budget
from hermes.live.clock import Clock
from hermes.live.finality import Bar, Reading, in_order
from hermes.live.transport import Answer, Transport
from hermes.settings import LiveSettings

Found = TypeVar("Found")

ATTEMPTS = 6
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0  # between attempts, of which a random part is waited
LONGEST_WAIT_S = 600.0  # that a 429 may ask for
SPAN_DAYS = 200  # between start and end on COIN-M
COIN_M_OPENED = 1_596_240_000_000_000  # 2020-08-01
FUNDING_LIMIT = 1000  # rates that one answer holds
FUNDING_PER_MINUTE = 100  # requests; a limit of its own, which the exchange states as 500 in five minutes
SURE_LIMIT = 500  # bars that every server answers with if it has them
_MILLISECONDS = 1000  # microseconds in one
_DAY = 86_400_000_000
_UNKNOWN_SYMBOL = -1121


@dataclass(frozen=True, slots=True)
class Api:
    """The address and the limits of one market."""

    url: str
    stream_url: str
    prefix: str
    most_bars: int
    weight_per_minute: int
    headers: Mapping[str, str]

    def weight(self, limit: int) -> int:
        """The weight of a request for this many bars."""
        if self.prefix == "/api/v3":
            return 2
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


APIS: Mapping[str, Api] = {
    "spot": Api(
        "https://data-api.binance.vision", "wss://data-stream.binance.vision", "/api/v3", 1000, 6000,
        {"X-MBX-TIME-UNIT": "MICROSECOND"},
    ),
    "um": Api("https://fapi.binance.com", "wss://fstream.binance.com", "/fapi/v1", 1500, 2400, {}),
    "cm": Api("https://dapi.binance.com", "wss://dstream.binance.com", "/dapi/v1", 1500, 2400, {}),
}  # fmt: skip


class Exchange:
    """One market of the exchange; thread-safe, with one budget of weight.

    Args:
        market: spot, um or cm.
        stop: event that ends every wait.
    """

    def __init__(
        self, market: str, settings: LiveSettings, clock: Clock | None = None, stop: Event | None = None
    ) -> None:
        self.api = APIS[market]
        self.clock = clock or Clock()
        self.stop = stop or Event()
        proxy = settings.proxy.get_secret_value() if settings.proxy else ""
        base = settings.url or self.api.url
        self._transport = Transport(base, proxy)
        self.source = f"{base}{self.api.prefix}/klines"
        self.budget = Budget(self.api.weight_per_minute, self.clock)
        self.funding_budget = Budget(FUNDING_PER_MINUTE, self.clock)
        self.host = self._transport.host

    def close(self) -> None:
        """End every request and wait."""
        self.stop.set()
        self._transport.close()

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            InterruptedError: the client was closed meanwhile.
        """
        if self.clock.wait(self.stop, seconds):
            raise InterruptedError("stopped")

    def server_time(self) -> int:
        """The server's time when it answered, microseconds since 1970.

        Raises:
            ExchangeError: there was no valid answer, see `_ask`.
        """
        return self._ask("/time", 1, answers.server_time)

    def read(self, dataset: Dataset, start: int, limit: int, end: int | None = None) -> list[Bar]:
        """Bars that open at `start` or later (microseconds), in order of time, each once: the first `limit` of them.

        Args:
            limit: at most `api.most_bars`.
            end: last open time.

        Raises:
            SymbolUnknown: the exchange has no such symbol.
            ExchangeError: see `_ask`.
        """
        query = {
            "symbol": dataset.symbol,
            "interval": "1M" if dataset.interval == "1mo" else dataset.interval,
            "startTime": str(max(0, start) // _MILLISECONDS),
            "limit": str(limit),
        }
        if end is None and self.api.prefix == "/dapi/v1":
            end = start + min((limit - 1) * dataset.interval_seconds * 1_000_000, SPAN_DAYS * _DAY)
        if end is not None:
            query["endTime"] = str(end // _MILLISECONDS)
        step = dataset.interval_seconds * 1_000_000

        def bars(answer: Any) -> list[Bar]:
            found = answers.bars(answer)
            if len(found) > limit:
                raise ExchangeError(f"asked for at most {limit:,} bars, received {len(found):,}")
            for bar in found:
                if not bar.open_time < bar.end <= bar.open_time + step * (1.1 if dataset.interval == "1mo" else 1):
                    raise ExchangeError(f"the bar {bar.line[:200]!r} is not a bar of {dataset.interval}")
                if bar.open_time // _MILLISECONDS < max(0, start) // _MILLISECONDS:
                    raise ExchangeError(f"the bar that opens at {bar.cells[0]} is before the requested start")
            return in_order(found)

        return self._ask_of(dataset, f"/klines?{urlencode(query)}", self.api.weight(limit), bars)

    def funding(self, rates: FundingRates, start: int) -> list[tuple[int, float]]:
        """Funding of a contract from `start` on (milliseconds), in order: times and rates, the first `FUNDING_LIMIT`.

        Raises:
            SymbolUnknown: the exchange has no such contract.
            ExchangeError: see `_ask`.
        """
        path = f"/fundingRate?{urlencode({'symbol': rates.symbol, 'startTime': start, 'limit': FUNDING_LIMIT})}"

        def decode(answer: Any) -> list[tuple[int, float]]:
            return answers.funding(answer, rates.symbol, start)

        return self._ask_of(rates, path, 1, decode, self.funding_budget)

    def readings(self, dataset: Dataset, start: int, limit: int | None = None) -> Iterator[Reading]:
        """Read from `start` (microseconds) to the newest bar, page by page.

        Pages overlap by one bar, so that every bar is read together with its successor.

        Args:
            limit: bars per page; by default the exchange's maximum.

        Raises:
            SymbolUnknown, ExchangeError: see `read`.
        """
        limit = limit or self.api.most_bars
        step = dataset.interval_seconds * 1_000_000
        span = min((limit - 1) * step, SPAN_DAYS * _DAY) if self.api.prefix == "/dapi/v1" else None
        last: Bar | None = None
        if span:
            start = self._listed(dataset, start)
        while True:
            server_time = self.server_time()
            end = start + span if span else None
            bars = self.read(dataset, start, limit, end)
            if last and bars and bars[0].open_time > last.open_time:  # a span without bars lay between
                bars = [*self.read(dataset, last.open_time, 1, last.open_time), *bars]
            yield Reading(server_time, bars)
            past = end is None or end >= server_time
            moved = bool(bars) and (last is None or bars[-1].open_time > last.open_time)
            over = bool(bars) and bars[-1].end <= server_time
            if past and (not moved or not over or len(bars) < limit <= SURE_LIMIT):
                return
            if moved:
                last = bars[-1]
            start = last.open_time if last and (moved or end is None) else start
            if not moved and end is not None:
                start = end + _MILLISECONDS

    def _listed(self, dataset: Dataset, start: int) -> int:
        """`start`, or the first day with bars on COIN-M if that is later: most earlier spans are empty."""
        daily = replace(dataset, interval="1d")
        start = max(start, COIN_M_OPENED)
        while start + SPAN_DAYS * _DAY < (now := self.server_time()):
            day = start - start % _DAY  # of whose bars none may be left out
            if bars := self.read(daily, day, SPAN_DAYS, day + (SPAN_DAYS - 1) * _DAY):
                return max(start, bars[0].open_time)
            start += SPAN_DAYS * _DAY
        return min(start, now)

    def _ask_of(
        self, dataset: Dataset, path: str, weight: int, decode: Callable[[Any], Found], budget: Budget | None = None
    ) -> Found:
        """Send a request about a symbol."""
        try:
            return self._ask(path, weight, decode, budget)
        except SymbolUnknown:
            raise SymbolUnknown(
                f"{self.host} knows no symbol {dataset.symbol} ({dataset.market})",
                "check the symbol and --market; delisted symbols are in the archive only",
            ) from None

    def _ask(self, path: str, weight: int, decode: Callable[[Any], Found], budget: Budget | None = None) -> Found:
        """GET with retries until there is a complete and valid answer.

        Args:
            budget: that pays for it; that of the klines without it.

        Raises:
            Banned: HTTP 418; NotServed: 451 or 403; SymbolUnknown; ExchangeError: no valid answer after all attempts.
        """
        failure = ""
        waited = 0.0
        attempt = 0
        while attempt < ATTEMPTS:
            (budget or self.budget).spend(weight, self.stop)
            try:
                answer = self._transport.get(f"{self.api.prefix}{path}", self.api.headers)
                if (used := answer.headers.get("x-mbx-used-weight-1m", "")).isdigit():
                    self.budget.report(int(used))
                if answer.status == 429 and waited < LONGEST_WAIT_S:
                    pause = answers.retry_after(answer)
                    waited += pause
                    self.budget.pause(pause)
                    self.funding_budget.pause(pause)
                    failure = f"it kept asking to wait, at last {pause:.0f} s (HTTP 429)"
                    continue
                self._check(answer)
                return decode(answers.parsed(answer))
            except (NotServed, SymbolUnknown):
                raise
            except (OSError, http.client.HTTPException, ExchangeError) as error:
                if self.stop.is_set():
                    raise InterruptedError("stopped") from None
                if isinstance(error, ExchangeError) and error.is_final:
                    raise
                failure = (error.message if isinstance(error, ExchangeError) else str(error)) or type(error).__name__
            attempt += 1
            pause = random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt))
            self.pause(pause)
        raise ExchangeError(
            f"{self.host} gave no valid answer to {ATTEMPTS} requests: {failure}",
            "check the network, [live] url and [live] proxy, then run again: it continues from here",
        )

    def _check(self, answer: Answer) -> None:
        """Raise the error of an answer without success."""
        status = answer.status
        if status == 200:
            return
        if status == 418:
            self.funding_budget.ban(self.host, answers.retry_after(answer))
            raise self.budget.ban(self.host, answers.retry_after(answer))
        if status in (403, 451):
            raise NotServed(
                f"{self.host} refuses requests from this location (HTTP {status})",
                "use a proxy where that is allowed ([live] proxy), another [live] url, or the archive only",
            )
        code, said = answers.complaint(answer.body)
        if code == _UNKNOWN_SYMBOL:
            raise SymbolUnknown(said)
        final = 400 <= status < 500 and status not in (408, 425, 429)
        raise ExchangeError(
            f"{self.host} answered HTTP {status}: {said or 'nothing more'}", "report it" if final else "", final
        )
