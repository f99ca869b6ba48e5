"""The equity of accounts for charts: with drawdowns and rolling Sharpe ratios, merged into few enough rows."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil

import numpy as np
import polars as pl

from hermes.dataset import INTERVAL_SECONDS, periods_per_year
from hermes.pages.candles import MOST_CANDLES
from hermes.pages.panel import PanelBuilder
from hermes.stages.backtest.rolling import rolling_sharpe


def account_curve(curve: pl.DataFrame, names: Sequence[str], interval: str) -> pl.DataFrame:
    """Add drawdowns and rolling Sharpe ratios, and merge rows if there are more than a page can hold.

    Args:
        curve: `datetime`, the equities, and maybe other columns; one row per bar, at least one.
        names: of the equities; none has a null.
        interval: of the bars.

    Returns:
        All columns, and for each name `…_drawdown_pct` (of the highest equity so far, positive) and `…_sharpe` (of the
        half year up to the bar; NaN before). A row that stands for several bars has the last value of each, the deepest
        drawdown, and of other columns the highest value.
    """
    periods = periods_per_year(interval)
    window = max(2, round(periods / 2))
    more = {}
    for name in names:
        equity = curve[name].to_numpy()
        peak = np.maximum.accumulate(equity)
        more[f"{name}_drawdown_pct"] = 100 * (peak - equity) / peak
        before = equity[:-1]
        returns = np.append(0.0, np.divide(equity[1:], before, out=np.ones(len(before)), where=before > 0) - 1)
        more[f"{name}_sharpe"] = rolling_sharpe(returns, returns**2, np.ones(len(returns)), window, periods)
    whole = curve.with_columns(**{name: pl.Series(values) for name, values in more.items()})
    each = ceil(curve.height / MOST_CANDLES)
    if each == 1:
        return whole
    last = ["datetime", *names, *(f"{name}_sharpe" for name in names)]
    grouped = whole.group_by(pl.int_range(pl.len()).alias("row") // each, maintain_order=True)
    return grouped.agg(pl.col(last).last(), pl.exclude("row", *last).max()).drop("row")


def account_builder(curve: pl.DataFrame, names: Sequence[str], interval: str) -> PanelBuilder:
    """The builder of the panels of `account_curve`, with the same arguments."""
    shown = account_curve(curve, names, interval)
    seconds = INTERVAL_SECONDS[interval] * ceil(curve.height / max(1, shown.height))
    return PanelBuilder(shown, timedelta(seconds=seconds))
