"""Closes of many series on common times."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.arrays import Booleans, Floats, Rows, Times
from hermes.stages.backtest.bars import Bars


class Grid(NamedTuple):
    """The closes of S series at T successive times.

    Attributes:
        times: all of them, T.
        instants: of each series the places of its bars among the times; None where it has one at each, or none at all.
        closes: S x (T + 1), the last close up to each time, 0 before there is one; the first column is what was before
            these times.
        present: S x (T + 1), whether there is a bar at each time; None where all have one at each.
    """

    times: Times
    instants: list[Rows | None]
    closes: Floats
    present: Booleans | None


class Grids:
    """Makes a grid of the next bars of every series, which goes on from the one before it."""

    def __init__(self, count: int) -> None:
        self._last = np.zeros(count)
        self._present = np.zeros(count, np.bool_)

    def of(self, bars: Sequence[Bars | None]) -> Grid:
        """The grid of the next bars, None of a series that has none; at least one has some."""
        times = _common([each.times for each in bars if each])
        count, length = len(bars), len(times)
        everywhere = all(each is not None and len(each) == length for each in bars) and bool(self._present.all())
        closes = np.empty((count, length + 1))
        closes[:, 0] = self._last
        present = None if everywhere else np.zeros((count, length + 1), np.bool_)
        instants: list[Rows | None] = [None] * count
        for number, each in enumerate(bars):
            at: Rows | slice = slice(None)
            if each is None:
                closes[number, 1:] = self._last[number]
                continue
            if len(each) == length:
                closes[number, 1:] = each.close
            else:
                instants[number] = at = np.searchsorted(times, each.times)
                rows = np.searchsorted(each.times, times, side="right")
                closes[number, 1:] = np.concatenate([[self._last[number]], each.close])[rows]
            if present is not None:
                present[number, 1:][at] = True
        if present is not None:
            present[:, 0] = self._present
        self._last = closes[:, -1].copy()
        self._present = np.ones(count, np.bool_) if present is None else present[:, -1].copy()
        return Grid(times, instants, closes, present)


def _common(times: list[Times]) -> Times:
    """All times, each once, in order."""
    first = times[0]
    if all(len(each) == len(first) and (each is first or np.array_equal(each, first)) for each in times[1:]):
        return first
    return np.unique(np.concatenate(times))
