"""Many signals on the same bars: every measure of each, as the engine gives them, and what overfitting is told by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from hermes.stages.backtest.engine import BLOCK_ROWS
from hermes.stages.backtest.metrics import BarTally, Metrics, measure
from hermes.stages.backtest.overfitting import PARTS, Parts
from hermes.stages.backtest.portfolio import Account, Asked, Floats, Portfolio, Rows, Times


@dataclass(frozen=True, slots=True)
class Bars:
    """What every trial trades on: times (ascending), opens and closes of one series."""

    times: Times
    opens: Floats
    close: Floats

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """From the columns `datetime, open, close`."""
        return cls(*(frame[name].to_numpy() for name in ("datetime", "open", "close")))

    def __len__(self) -> int:
        return len(self.times)

    def between(self, begin: int, end: int) -> "Bars":
        """The bars from `begin` up to, not including, `end`."""
        return Bars(self.times[begin:end], self.opens[begin:end], self.close[begin:end])


@dataclass(frozen=True, slots=True)
class Trial:
    """What one of many signals came to.

    Attributes:
        metrics: every measure, bit for bit those of `engine.backtest`.
        sums, squares: of the bars' returns and of their squares, in each of `PARTS` successive parts of the bars.
    """

    metrics: Metrics
    sums: Floats
    squares: Floats


def search(
    bars: Bars,
    wanted: Sequence[Asked],
    interval_seconds: int,
    account: Account,
) -> list[Trial]:
    """Trade each of many signals on an account of its own.

    Args:
        bars: at least one.
        wanted: what each trial's signals ask for on these bars; every account starts flat.
        interval_seconds: length of one bar.
        account: the terms of trade.

    Returns:
        One trial for each of `wanted`, in order.
    """
    parts = _part_of_each(len(bars))
    return [_trial(bars, each, interval_seconds, account, parts) for each in wanted]


def trials(
    bars: Bars,
    wanted: Sequence[Asked],
    spans: Sequence[tuple[int, int]],
    interval_seconds: int,
    account: Account,
) -> list[list[Trial]]:
    """`search` over each of several spans of the bars, from a first row up to, not including, an end."""
    return [
        search(bars.between(*span), [each.between(*span) for each in wanted], interval_seconds, account)
        for span in spans
    ]


def parts_of(trials: Sequence[Trial], bars: int) -> Parts:
    """What `overfitting.probability` needs of trials over this many bars."""
    counts = np.bincount(_part_of_each(bars), minlength=PARTS)
    return Parts(counts, np.array([t.sums for t in trials]).T, np.array([t.squares for t in trials]).T)


def returns_of(bars: Bars, wanted: Asked, account: Account) -> Floats:
    """The return of every bar of one trial."""
    steps = Portfolio(account).trade(bars.times, bars.opens, bars.close, wanted)
    returns = np.zeros(len(bars))
    returns[steps.rows] = steps.returns(account.initial_cash)
    return returns


def _trial(bars: Bars, wanted: Asked, interval_seconds: int, account: Account, parts: Rows) -> Trial:
    """As the engine does it, with the same blocks, from events instead of columns."""
    portfolio, tally = Portfolio(account), BarTally(account)
    sums, squares = np.zeros(PARTS), np.zeros(PARTS)
    for begin in range(0, len(bars), BLOCK_ROWS):
        block = bars.between(begin, begin + BLOCK_ROWS)
        steps = portfolio.trade(block.times, block.opens, block.close, wanted.between(begin, begin + BLOCK_ROWS))
        returns, part = steps.returns(tally.equity), parts[begin + steps.rows]
        sums += np.bincount(part, returns, PARTS)
        squares += np.bincount(part, np.square(returns), PARTS)
        tally.add(block.close, steps)
    return Trial(measure(tally, portfolio.outcomes(), account, interval_seconds), sums, squares)


def _part_of_each(bars: int) -> Rows:
    """Which of `PARTS` parts, as equal as can be, each bar belongs to."""
    return np.arange(bars) * PARTS // bars
