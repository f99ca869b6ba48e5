"""The backtest as a stream: bars in pieces of any size go in, one result comes out, in flat memory."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from hermes.backtest.metrics import BarTally, Metrics, measure
from hermes.backtest.periods import PeriodReturns
from hermes.backtest.portfolio import BARS, Account, Portfolio
from hermes.errors import TableRefused

#: Sums of floats depend on where they are cut, so the bars are cut anew, always here, whatever pieces they came in.
BLOCK_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class Result:
    """What one backtest found.

    Attributes:
        metrics: every measure.
        trades: one row per trade, see `Portfolio.trades`.
        monthly: `month, return_pct`, see `PeriodReturns`.
        yearly: `year, return_pct`.
    """

    metrics: Metrics
    trades: pl.DataFrame
    monthly: pl.DataFrame
    yearly: pl.DataFrame


class Backtest:
    """One account trading the signals of one series.

    Args:
        interval_seconds: length of one bar.
        account: the terms of trade.
    """

    def __init__(self, interval_seconds: int, account: Account) -> None:
        self._interval_seconds = interval_seconds
        self._account = account
        self._portfolio = Portfolio(account)
        self._tally = BarTally(account)
        self._periods = PeriodReturns(account.initial_cash)
        self._block = pl.DataFrame(schema=BARS)
        self._last = np.datetime64("0001-01-01")  # of the bars so far

    def update(self, piece: pl.DataFrame) -> None:
        """The next bars, any number of them: `BARS` in any order and among other columns, as `schemas` has them.

        The result is the same, bit for bit, however the bars are cut into pieces.

        Raises:
            TableRefused: times that do not ascend, within a piece or from one to the next.
        """
        piece = piece.select(BARS.keys())
        while not piece.is_empty():
            room = BLOCK_ROWS - self._block.height
            self._block.extend(piece.head(room))
            piece = piece.slice(room)
            if self._block.height == BLOCK_ROWS:
                self._run()

    def finish(self) -> Result:
        """The result of all bars; nothing may be fed after it."""
        if self._block.height:
            self._run()
        metrics = measure(self._tally, self._portfolio.outcomes(), self._account, self._interval_seconds)
        return Result(metrics, self._portfolio.trades(), self._periods.monthly(), self._periods.yearly())

    def _run(self) -> None:
        times = self._block["datetime"].to_numpy()
        if times[0] <= self._last or (times[1:] <= times[:-1]).any():
            raise TableRefused(
                f"bars up to {times[-1]} are not in ascending order of time, each once",
                "sort the table, or feed its pieces in order",
            )
        self._last = times[-1]
        steps = self._portfolio.advance(self._block)
        self._tally.add(self._block["close"].to_numpy(), steps)
        self._periods.add(times, steps)
        self._block = self._block.clear()


def backtest(frame: pl.DataFrame, interval_seconds: int, account: Account | None = None) -> Result:
    """The whole series in one frame (`BARS`) → its result; `account` is the default one unless given."""
    engine = Backtest(interval_seconds, account or Account())
    engine.update(frame)
    return engine.finish()
