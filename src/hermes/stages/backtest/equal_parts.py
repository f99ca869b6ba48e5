"""Holding many series in equal parts of the cash, each from its first close on, without fees."""

from collections.abc import Mapping, Sequence

import numpy as np

from hermes.stages.backtest.arrays import Floats, Times
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.grid import Grid
from hermes.stages.backtest.holding import price_jumps


class EqualParts:
    """The value of holding, bar by bar; a part stays in cash until its series begins. `jumps`: see `Holding.jumps`."""

    def __init__(self, count: int, cash: float) -> None:
        self._part, self._alone = cash / count, count == 1
        self._first = np.zeros(count)
        self._jumps: dict[int, list[Times]] = {}

    def add(self, grid: Grid, bars: Sequence[Bars | None]) -> Floats:
        """The next bars → the total value at each of the times; for a single series, its close."""
        worth, held = np.zeros((2, len(grid.times)))
        for number, (line, each) in enumerate(zip(grid.lines, bars, strict=True)):
            if each is not None:
                self._look_for_jumps(number, each, line.before)
                self._first[number] = self._first[number] or each.close[0]
            if self._alone:
                return line.closes.copy()
            np.divide(line.closes, self._first[number] or 1.0, out=held)
            held *= self._part
            if not line.before and line.instants is not None:
                held[line.closes == 0] = self._part  # its first bar is yet to come
            worth += held
        return worth

    def _look_for_jumps(self, number: int, bars: Bars, last_close: float) -> None:
        jumped = price_jumps(bars.times, bars.opens, bars.close, last_close)
        if len(jumped):
            self._jumps.setdefault(number, []).append(jumped)

    @property
    def jumps(self) -> Mapping[int, Times]:
        """By the number of a series, the times at which its price jumped."""
        return {number: np.concatenate(found) for number, found in self._jumps.items()}
