"""Reads the newest bars of many series concurrently, and estimates the exchange's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter

from hermes.live.exchange import Exchange
from hermes.live.finality import Reading
from hermes.live.series import Series

READERS = 8  # requests at once
GATHER_S = 1.0  # how long answers of the same close wait for each other before they are decided on


@dataclass(slots=True)
class Read:
    """The answer for one dataset, or the error."""

    series: Series
    reading: Reading | None = None
    error: BaseException | None = None


class Reader:
    """Sends requests in worker threads; one thread takes the answers.

    Attributes:
        server_time: of the newest answer, in microseconds.
        skew_s: how far this machine's clock is ahead of the server's; only reported.
        skew_error_s: its error bound, half of the server's response time.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.server_time = 0
        self.skew_s = 0.0
        self.skew_error_s = 0.0
        self._read_elapsed = 0.0
        self._results: SimpleQueue[Read] = SimpleQueue()
        self._reading: set[int] = set()

    def measure_time(self) -> int:
        """Request the server's time (microseconds), and measure this machine's offset."""
        before = self.exchange.clock.time()
        self.server_time = self.exchange.server_time()
        after = self.exchange.clock.time()
        self._read_elapsed = self.exchange.clock.elapsed()
        self.skew_s = (before + after) / 2 - self.server_time / 1e6
        self.skew_error_s = (after - before) / 2
        return self.server_time

    @property
    def is_clock_off(self) -> bool:
        """Whether this machine's clock is certainly more than a second off the server's."""
        return abs(self.skew_s) - self.skew_error_s > 1.0

    def server_now(self) -> int:
        """An estimate of the server's time (microseconds), used for waits, never to decide what is closed."""
        return self.server_time + round((self.exchange.clock.elapsed() - self._read_elapsed) * 1_000_000)

    @property
    def is_reading(self) -> bool:
        """Whether answers are pending."""
        return bool(self._reading)

    def read(self, due: Sequence[Series]) -> int:
        """Start reading these datasets concurrently; those that are being read already are left out.

        Returns:
            How many reads were started.
        """
        due = [series for series in due if id(series) not in self._reading]
        if due:
            server_time = self.measure_time()
            self._reading |= {id(series) for series in due}
            waiting: SimpleQueue[Series] = SimpleQueue()
            for series in due:
                waiting.put(series)
            for _ in range(min(READERS, len(due))):
                Thread(target=self._reader, args=(waiting, server_time), daemon=True, name="hermes-reader").start()
        return len(self._reading)

    def _reader(self, waiting: "SimpleQueue[Series]", server_time: int) -> None:
        while True:
            try:
                series = waiting.get_nowait()
            except Empty:
                return
            try:
                self._results.put(Read(series, self._reading_of(series, server_time)))
            except BaseException as error:  # else the dataset would count as being read, forever
                self._results.put(Read(series, error=error))

    def _reading_of(self, series: Series, server_time: int) -> Reading:
        """The newest bars, in one request where nothing was missed."""
        start = series.reads_from()
        step = series.dataset.interval_seconds * 1_000_000
        limit = (server_time - start) // step + 3
        if limit <= min(99, self.exchange.api.most_bars):
            return Reading(server_time, self.exchange.read(series.dataset, start, max(10, limit)))
        bars = {}
        for reading in self.exchange.readings(series.dataset, start):
            bars.update({bar.open_time: bar for bar in reading.bars})
        return Reading(server_time, [bars[time] for time in sorted(bars)])

    def gathered(self, seconds: float) -> list[Read]:
        """The answers within this time, and those of the same close that follow shortly."""
        found: list[Read] = []
        until = perf_counter() + seconds
        while self._reading:
            try:
                found.append(self._results.get(timeout=max(0.0, until - perf_counter())))
            except Empty:
                return found
            self._reading.discard(id(found[-1].series))
            if len(found) == 1:
                until = perf_counter() + GATHER_S
        return found
