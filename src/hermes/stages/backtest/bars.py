"""The bars that accounts trade on, as arrays; and their extremes in blocks, by which stops are found quickly."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import polars as pl

from hermes.stages.backtest.arrays import Booleans, Floats, Times
from hermes.stages.backtest.funding import Funding

BLOCK = 32  # rows of one block, and blocks that are looked at together


class Ranges:
    """Highs and lows of successive bars, and of blocks of them, as a long position sees them.

    Args:
        high, low: of the bars, in order of time, at least one.
    """

    def __init__(self, high: Floats, low: Floats) -> None:
        self.high, self.low = high, low
        blocks = -(-len(high) // BLOCK)
        missing = blocks * BLOCK - len(high)
        self._highs = np.concatenate([high, np.full(missing, -np.inf)]).reshape(blocks, BLOCK)
        self._lows = np.concatenate([low, np.full(missing, np.inf)]).reshape(blocks, BLOCK)
        self.block_high, self.block_low = self._highs.max(axis=1), self._lows.min(axis=1)
        self._trailed: dict[float, Booleans] = {}
        self._mirrored: Self | None = None

    def mirrored(self) -> Self:
        """The same bars with their prices negated: as a short position sees them."""
        if self._mirrored is None:
            self._mirrored = type(self)(-self.low, -self.high)
        return self._mirrored

    def trailed(self, factor: float) -> Booleans:
        """Of each block: whether a low is at or below `factor` times the highest high before it in that block."""
        if factor not in self._trailed:
            before = np.maximum.accumulate(self._highs, axis=1)[:, :-1] * factor
            self._trailed[factor] = np.any(self._lows[:, 1:] <= before, axis=1)
        return self._trailed[factor]


@dataclass(slots=True)
class Bars:
    """Successive bars of one series: times (ascending), opens and closes; where accounts watch levels highs and lows;
    and the funding of their contract, where there is one.
    """

    times: Times
    opens: Floats
    close: Floats
    high: Floats | None = None
    low: Floats | None = None
    funding: Funding | None = None
    _ranges: Ranges | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, frame: pl.DataFrame, funding: Funding | None = None) -> Self:
        """From the columns `datetime, open, close`, and `high, low` where they are there."""
        times, opens, close = (frame[name].to_numpy() for name in ("datetime", "open", "close"))
        high, low = (frame[name].to_numpy() if name in frame.columns else None for name in ("high", "low"))
        return cls(times, opens, close, high, low, funding)

    def __len__(self) -> int:
        return len(self.times)

    def between(self, begin: int, end: int) -> "Bars":
        """The bars from `begin` up to, not including, `end`."""
        high, low = (None if each is None else each[begin:end] for each in (self.high, self.low))
        opens, close = self.opens[begin:end], self.close[begin:end]
        return Bars(self.times[begin:end], opens, close, high, low, self.funding)

    @property
    def ranges(self) -> Ranges:
        """Made once, however many accounts trade on these bars."""
        if self._ranges is None:
            assert self.high is not None and self.low is not None
            self._ranges = Ranges(self.high, self.low)
        return self._ranges
