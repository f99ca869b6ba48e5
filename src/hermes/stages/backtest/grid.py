"""The closes of many series on common times."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.arrays import Booleans, Floats, Rows, Times
from hermes.stages.backtest.bars import Bars


class Line(NamedTuple):
    """One series at the common times.

    Attributes:
        before: its last close ahead of them, 0 where there is none; closes: the last one up to each of them.
        instants: the places of its bars among them; None where it has one at each.
    """

    before: float
    closes: Floats
    instants: Rows | None

    def close(self, instant: int) -> float:
        """The last close at a time; -1 is ahead of all."""
        return float(self.closes.item(instant)) if instant >= 0 else self.before

    def present(self) -> Booleans:
        """Whether there is a bar at each time."""
        here = np.full(len(self.closes), self.instants is None)
        here[self.instants] = True
        return here


class Grid(NamedTuple):
    """Series at successive times, in the order of their numbers."""

    times: Times
    lines: list[Line]


class Grids:
    """Makes a grid of the next bars of every series, which goes on from the one before it."""

    def __init__(self, count: int) -> None:
        self._last = [0.0] * count

    def of(self, bars: Sequence[Bars | None]) -> Grid:
        """The grid of the next bars, None of a series that has none; at least one has some."""
        times = _common([each.times for each in bars if each])
        lines = [self._line(number, each, times) for number, each in enumerate(bars)]
        self._last = [line.closes.item(-1) for line in lines]
        return Grid(times, lines)

    def _line(self, number: int, bars: Bars | None, times: Times) -> Line:
        before = self._last[number]
        if bars is None:
            return Line(before, np.full(len(times), before), np.empty(0, np.intp))
        if len(bars) == len(times):
            return Line(before, bars.close, None)
        closes = np.concatenate([[before], bars.close])[np.searchsorted(bars.times, times, side="right")]
        return Line(before, closes, np.searchsorted(times, bars.times))


def _common(times: list[Times]) -> Times:
    """All times, each once, in order."""
    first = times[0]
    ticks = first.view(np.int64)  # numpy compares these four times as fast
    if all(each is first or np.array_equal(each.view(np.int64), ticks) for each in times[1:]):
        return first
    return np.unique(np.concatenate(times))
