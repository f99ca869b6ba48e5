"""Equity by calendar month and year (UTC)."""

import numpy as np
import polars as pl

from hermes.stages.backtest.arrays import Floats, Times
from hermes.stages.backtest.equity import Steps


class PeriodReturns:
    """Remembers the equity at the last bar of every month."""

    def __init__(self, initial_cash: float) -> None:
        self._initial_cash = initial_cash
        self._months: list[Times] = [np.empty(0, "datetime64[D]")]
        self._equity: list[Floats] = [np.empty(0)]

    def add(self, times: Times, steps: Steps) -> None:
        """The next bars' times (ascending) and the account's equity through them."""
        first, last = times[[0, -1]].astype("datetime64[M]")
        months = np.arange(first, last + 1)
        ends = np.searchsorted(times, (months + 1).astype(times.dtype)) - 1
        seen = np.diff(ends, prepend=-1) > 0  # a month may have no bar
        equity = steps.equity[np.searchsorted(steps.rows, ends[seen], side="right") - 1]
        self._months.append(months[seen].astype("datetime64[D]"))
        self._equity.append(equity)

    def monthly(self) -> pl.DataFrame:
        """`month` (Date of its first day), `return_pct`; months without a bar have no row."""
        return self._returns(pl.col("month"))

    def yearly(self) -> pl.DataFrame:
        """`year` (Int32), `return_pct`; years without a bar have no row."""
        return self._returns(pl.col("month").dt.year().alias("year"))

    def _returns(self, period: pl.Expr) -> pl.DataFrame:
        """Equity at the end of each period against that at the end of the one before."""
        found = pl.DataFrame({"month": np.concatenate(self._months), "equity": np.concatenate(self._equity)})
        ends = found.group_by(period, maintain_order=True).agg(pl.col("equity").last())
        before = pl.col("equity").shift(1, fill_value=self._initial_cash)
        return ends.select(pl.exclude("equity"), return_pct=100 * (pl.col("equity") - before) / before)
