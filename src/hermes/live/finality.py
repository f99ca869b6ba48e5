"""Decides which bars are closed, from the exchange's answers alone, never from this machine's clock. Pure.

A bar is closed when its time is over by the server's clock and either a later bar is in the same
reading, or a second reading, the settle delay later, shows the very same values. A reading's server time is asked for
before its bars, so a bar that is over by it was over when its values were read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hermes.errors import ExchangeError
from hermes.schemas import as_microseconds

COLUMNS = 12  # of a kline, in the exchange's answer as in its archive


@dataclass(frozen=True, slots=True)
class Bar:
    """One kline as the exchange sent it.

    Attributes:
        cells: its 12 columns as text, as in a line of the archive; two bars are equal if these are.
    """

    cells: tuple[str, ...]

    @property
    def open_time(self) -> int:
        """Microseconds since 1970."""
        return as_microseconds(int(self.cells[0]))

    @property
    def end(self) -> int:
        """The first instant after the bar, in microseconds: its close time is the last tick of its own unit."""
        return as_microseconds(int(self.cells[6]) + 1)

    @property
    def line(self) -> str:
        """The archive's line for this bar, without its end of line."""
        return ",".join(self.cells)


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to one request: bars in order of time, each once, and the server's time before it (microseconds)."""

    server_time: int
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A bar that is over but has no successor yet, and the server's time at which these values were first seen."""

    bar: Bar
    since: int


@dataclass(frozen=True, slots=True)
class Judged:
    """The closed bars of a reading, in order of time, and the bar waiting for its successor, if any."""

    closed: Sequence[Bar]
    waiting: Waiting | None


def judge(reading: Reading, waiting: Waiting | None = None, *, settle: int) -> Judged:
    """Separate the closed bars of a reading from those that may still change.

    Args:
        reading: of one series.
        waiting: the bar left waiting by the previous reading.
        settle: microseconds between two identical readings of a bar that has no successor.
    """
    if not reading.bars:
        return Judged((), waiting)
    *earlier, last = reading.bars
    closed = [bar for bar in earlier if bar.end <= reading.server_time]
    if last.end > reading.server_time:
        return Judged(closed, None)
    if waiting is None or waiting.bar != last:
        return Judged(closed, Waiting(last, reading.server_time))
    if reading.server_time - waiting.since < settle:
        return Judged(closed, waiting)
    return Judged([*closed, last], None)


def in_order(bars: Sequence[Bar]) -> list[Bar]:
    """The bars of one answer sorted by time, without repetitions.

    Raises:
        ExchangeError: two bars with one open time and different values.
    """
    found: dict[int, Bar] = {}
    for bar in bars:
        if found.setdefault(bar.open_time, bar) != bar:
            raise ExchangeError(
                f"the answer contains two different bars that open at {bar.cells[0]}", "the request is repeated"
            )
    return [found[time] for time in sorted(found)]
