"""Holding many series in equal parts of the cash, each from its first close on, without fees."""

from collections.abc import Mapping, Sequence

import numpy as np

from hermes.schemas import JUMP_FACTOR
from hermes.stages.backtest.arrays import Floats, Times
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.grid import Grid


class EqualParts:
    """What holding is worth, bar by bar; a part waits as cash until its series begins. `jumps`: see `Holding.jumps`."""

    def __init__(self, count: int, cash: float) -> None:
        self._part, self._alone = cash / count, count == 1
        self._first = np.zeros(count)
        self._jumps: dict[int, list[Times]] = {}

    def add(self, grid: Grid, bars: Sequence[Bars | None]) -> Floats:
        """The next bars → what all is worth at each of the times; of one series alone, its close."""
        worth = np.zeros(len(grid.times))
        for number, each in enumerate(bars):
            closes = grid.closes[number]
            if each is not None:
                self._look_for_jumps(number, each, closes.item(0))
                self._first[number] = self._first[number] or each.close[0]
            if self._alone:
                return closes[1:].copy()
            held = self._part * (closes[1:] / (self._first[number] or 1.0))
            worth += held if closes[0] else np.where(closes[1:] > 0, held, self._part)
        return worth

    def _look_for_jumps(self, number: int, bars: Bars, last_close: float) -> None:
        """As `Holding` does."""
        before = np.concatenate([[last_close or bars.opens[0]], bars.close[:-1]])
        jumped = (bars.opens >= JUMP_FACTOR * before) | (bars.opens * JUMP_FACTOR <= before)
        if jumped.any():
            self._jumps.setdefault(number, []).append(bars.times[jumped])

    @property
    def jumps(self) -> Mapping[int, Times]:
        """By the number of a series, the times at which its price jumped."""
        return {number: np.concatenate(found) for number, found in self._jumps.items()}
