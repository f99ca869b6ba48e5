"""The streaming backtest: takes bars in pieces of any size, returns one result per account, in flat memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from hermes.errors import TableRefused
from hermes.stages.backtest.account import Account, SignalEvents
from hermes.stages.backtest.arrays import Floats
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.funding import Funding
from hermes.stages.backtest.holding import Holding
from hermes.stages.backtest.intervals import Intervals, intervals
from hermes.stages.backtest.metrics import Metrics, measure, spanning
from hermes.stages.backtest.periods import PeriodReturns
from hermes.stages.backtest.tally import BarTally
from hermes.stages.backtest.trading import Trading, columns_for, signal_events_in

#: Sums of floats depend on where they are cut, so the bars are cut anew, always here, whatever pieces they came in.
BLOCK_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one backtest.

    Attributes:
        metrics: every measure.
        trades: one row per trade, see `Records.frame`; `price_jump`: whether the price jumped while it was held.
        monthly: `month, return_pct`, see `PeriodReturns`.
        yearly: `year, return_pct`.
        intervals: 95 % intervals of the measures; None if there are too few bars, nothing moved, or
            all was lost.
    """

    metrics: Metrics
    trades: pl.DataFrame
    monthly: pl.DataFrame
    yearly: pl.DataFrame
    intervals: Intervals | None

    def as_dict(self) -> dict[str, Any]:
        """The measures by name, and under `intervals` their 95 % intervals, ready for JSON."""
        return {**self.metrics.as_dict(), "intervals": self.intervals and self.intervals.as_dict()}


class Backtest:
    """Backtests one or more independent accounts on one series; the bars are checked and divided once for all.

    Args:
        interval: of the bars, by its name: `4h`.
        accounts: the terms of trade of each, at least one.
        funding: of the contract that is traded, None where there is none.
    """

    def __init__(self, interval: str, *accounts: Account, funding: Funding | None = None) -> None:
        self._interval, self._funding, self._accounts = interval, funding, accounts
        self._holding = Holding()
        self._traders = [_Trader(account) for account in accounts]
        self._block = pl.DataFrame()
        self._last = np.iinfo(np.int64).min  # time of the last bar so far, microseconds since 1970

    def update(self, piece: pl.DataFrame) -> None:
        """The next bars, any number of them: `BARS` in any order and among other columns, as `schemas` has them.

        Accounts that watch levels need `RANGE`, too; `SHORTS` are traded where they are there.

        The results are the same, bit for bit, however the bars are cut into pieces.

        Raises:
            TableRefused: times that do not ascend, within a piece or from one to the next.
        """
        names = dict.fromkeys(name for each in self._accounts for name in columns_for(each, piece.columns))
        piece = piece.select(*names)
        if not self._block.width:
            self._block = piece.clear()
        while not piece.is_empty():
            room = BLOCK_ROWS - self._block.height
            part, piece = piece.head(room), piece.slice(room)
            if part.height < BLOCK_ROWS:
                part = self._block.extend(part)
            if part.height == BLOCK_ROWS:
                self._run(part)
                self._block = self._block.clear()

    def finish(self) -> list[Result]:
        """The results of the accounts, in their order; `update` must not be called afterwards."""
        if self._block.height:
            self._run(self._block)
        return [trader.result(self._holding, self._interval) for trader in self._traders]

    def _run(self, block: pl.DataFrame) -> None:
        bars = Bars.of(block, self._funding)
        times = bars.times
        ticks = times.view(np.int64)  # numpy compares these four times as fast
        if ticks[0] <= self._last or (ticks[1:] <= ticks[:-1]).any():
            raise TableRefused(
                f"bars up to {times[-1]} are not in ascending order of time, each once",
                "sort the table, or feed its pieces in order",
            )
        self._last = ticks[-1]
        wanted = signal_events_in(block)
        held = self._holding.add(times, bars.opens, bars.close)
        for trader in self._traders:
            trader.add(bars, wanted, held)


class _Trader:
    """One account with its running measures."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._trading = Trading(account)
        self._tally = BarTally(account)
        self._periods = PeriodReturns(account.initial_cash)

    def add(self, bars: Bars, wanted: SignalEvents, held: Floats) -> None:
        """Trade the next bars and measure the account on them; `held`: what holding returned at each."""
        steps = self._trading.trade(bars, wanted)
        self._tally.add(bars.times, held, steps)
        self._periods.add(bars.times, steps)

    def result(self, holding: Holding, interval: str) -> Result:
        outcomes = self._trading.outcomes()
        metrics = measure(self._tally, holding, outcomes, self._account, interval)
        trades = self._trading.trades().with_columns(price_jump=pl.Series(spanning(outcomes, holding.jumps)))
        years = None if metrics.elapsed_days is None else metrics.elapsed_days / 365
        ruined = metrics.end_value <= 0  # growth has no logarithm then: no interval would hold the estimate
        return Result(
            metrics,
            trades,
            self._periods.monthly(),
            self._periods.yearly(),
            None if ruined else intervals(self._tally.groups, years, metrics.periods_per_year),
        )


def backtest(
    frame: pl.DataFrame, interval: str, account: Account | None = None, funding: Funding | None = None
) -> Result:
    """The whole series in one frame (`BARS`) → its result; `account` is the default one unless given."""
    engine = Backtest(interval, account or Account(), funding=funding)
    engine.update(frame)
    (result,) = engine.finish()
    return result
