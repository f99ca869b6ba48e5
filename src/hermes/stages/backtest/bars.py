"""Bars as arrays, with their extremes in blocks, by which stops are found quickly."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hermes.stages.backtest.arrays import Booleans, Floats, Times
from hermes.stages.backtest.funding import Funding

BLOCK = 32  # rows of one block, and blocks that are looked at together


class Ranges:
    """Highs and lows of successive bars, and of blocks of them, as a long position sees them.

    Args:
        high, low: of the bars, in order of time, at least one; see `padded`.

    Attributes:
        highs, lows: the `BLOCK` bars from each row on; block_highs, block_lows: the extremes of the `BLOCK` blocks from
            each on. Beyond the bars there are none that reach a level.
    """

    def __init__(self, high: Floats, low: Floats) -> None:
        self._wide = high, low
        self.high, self.low = high[:-BLOCK], low[:-BLOCK]
        self.highs, self.lows = _windows(high), _windows(low)
        blocks = np.arange(0, len(self.high), BLOCK)
        self.block_highs = _windows(padded(np.maximum.reduceat(self.high, blocks), -np.inf))
        self.block_lows = _windows(padded(np.minimum.reduceat(self.low, blocks), np.inf))
        self._trailed: dict[float, Booleans] = {}
        self._mirrored: Self | None = None

    def mirrored(self) -> Self:
        """The same bars with their prices negated: as a short position sees them."""
        if self._mirrored is None:
            high, low = self._wide
            self._mirrored = type(self)(-low, -high)
        return self._mirrored

    def trailed(self, factor: float) -> Booleans:
        """Whether in the `BLOCK` blocks from each on a low is at or below `factor` times the highest high before it in
        its block.
        """
        if factor not in self._trailed:
            blocks = -(-len(self.high) // BLOCK)
            highs, lows = (each[: blocks * BLOCK].reshape(blocks, BLOCK) for each in self._wide)
            before = np.maximum.accumulate(highs, axis=1)[:, :-1] * factor
            reached = np.any(lows[:, 1:] <= before, axis=1)
            self._trailed[factor] = _windows(np.concatenate([reached, np.zeros(BLOCK, np.bool_)]))
        return self._trailed[factor]


def padded(values: Floats, value: float) -> Floats:
    """Successive values, and behind them `BLOCK` times the same one."""
    return np.concatenate([values, np.full(BLOCK, value)])


def _windows(values: NDArray[Any]) -> NDArray[Any]:
    """The `BLOCK` values from each on; nothing is copied."""
    return sliding_window_view(values, BLOCK)


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
        return len(self.close)

    def between(self, begin: int, end: int) -> "Bars":
        """The bars from `begin` up to, not including, `end`."""
        high, low = (None if each is None else each[begin:end] for each in (self.high, self.low))
        opens, close = self.opens[begin:end], self.close[begin:end]
        return Bars(self.times[begin:end], opens, close, high, low, self.funding)

    def seen(self, side: int, begin: int, end: int) -> tuple[Floats, Floats]:
        """Highs and lows from `begin` up to, not including, `end`; a short (-1) sees all prices negated."""
        assert self.high is not None and self.low is not None
        if side > 0:
            return self.high[begin:end], self.low[begin:end]
        return -self.low[begin:end], -self.high[begin:end]

    @property
    def ranges(self) -> Ranges:
        """Computed once for all accounts that trade on these bars."""
        if self._ranges is None:
            assert self.high is not None and self.low is not None
            self._ranges = Ranges(padded(self.high, -np.inf), padded(self.low, np.inf))
        return self._ranges
