"""Many signals on the same bars: every measure of each, as the engine gives them, and what overfitting is told by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from hermes.stages.backtest.engine import BLOCK_ROWS
from hermes.stages.backtest.holding import Holding
from hermes.stages.backtest.metrics import Metrics, measure
from hermes.stages.backtest.overfitting import PARTS, Parts
from hermes.stages.backtest.portfolio import Account, Asked, Floats, Portfolio, Rows, Times
from hermes.stages.backtest.tally import BarTally


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
    interval: str,
    account: Account,
) -> list[Trial]:
    """Trade each of many signals on an account of its own.

    Args:
        bars: at least one.
        wanted: what each trial's signals ask for on these bars; every account starts flat.
        interval: of the bars, by its name.
        account: the terms of trade.

    Returns:
        One trial for each of `wanted`, in order.
    """
    holding = Holding()
    held = np.concatenate([holding.add(block.close) for block in _blocks(bars)])
    parts = _part_of_each(len(bars))
    return [_trial(bars, each, interval, account, parts, holding, held) for each in wanted]


def trials(
    bars: Bars,
    wanted: Sequence[Asked],
    spans: Sequence[tuple[int, int]],
    interval: str,
    account: Account,
) -> list[list[Trial]]:
    """`search` over each of several spans of the bars, from a first row up to, not including, an end."""
    return [search(bars.between(*span), [each.between(*span) for each in wanted], interval, account) for span in spans]


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


def _trial(
    bars: Bars, wanted: Asked, interval: str, account: Account, parts: Rows, holding: Holding, held: Floats
) -> Trial:
    """As the engine does it, with the same blocks, from events instead of columns."""
    portfolio, tally = Portfolio(account), BarTally(account)
    sums, squares = np.zeros(PARTS), np.zeros(PARTS)
    begin = 0
    for block in _blocks(bars):
        end = begin + len(block)
        steps = portfolio.trade(block.times, block.opens, block.close, wanted.between(begin, end))
        returns, part = steps.returns(tally.equity), parts[begin + steps.rows]
        sums += np.bincount(part, returns, PARTS)
        squares += np.bincount(part, np.square(returns), PARTS)
        tally.add(block.times, held[begin:end], steps)
        begin = end
    return Trial(measure(tally, holding, portfolio.outcomes(), account, interval), sums, squares)


def _blocks(bars: Bars) -> list[Bars]:
    """The engine's blocks, so that sums of floats are the same to the last bit."""
    return [bars.between(begin, begin + BLOCK_ROWS) for begin in range(0, len(bars), BLOCK_ROWS)]


def _part_of_each(bars: int) -> Rows:
    """Which of `PARTS` parts, as equal as can be, each bar belongs to."""
    return np.arange(bars) * PARTS // bars
