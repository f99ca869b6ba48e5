"""Helpers to test strategies: simulated bars, and the signals of a strategy on them."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from hermes.dataset import is_simulated
from hermes.errors import UsageError
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive
from hermes.stages.gold.features import with_indicators
from hermes.stages.signals.generate import signal_chunks
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS
from hermes.strategies.contract import check_strategy

_MOVE, _WICK = 0.01, 0.003  # standard deviations per bar, as fractions of the price


def simulated_bars(rows: int = 2_000, seed: int = 1) -> pl.DataFrame:
    """A random walk as 4-hour bars: `datetime open high low close volume`, the same for the same seed."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, _MOVE, rows)))
    open_ = np.concatenate([[100.0], close[:-1]])
    above, below = 1 + np.abs(random.normal(0, _WICK, rows)), 1 - np.abs(random.normal(0, _WICK, rows))
    return pl.DataFrame(
        {
            "datetime": [datetime(2020, 1, 1) + number * timedelta(hours=4) for number in range(rows)],
            "open": open_,
            "high": np.maximum(open_, close) * above,
            "low": np.minimum(open_, close) * below,
            "close": close,
            "volume": random.lognormal(6, 0.5, rows),
        },
        dict(BARS),
    )


def simulated_archive(settings: Settings, start: date = date(2022, 1, 1), months: int = 42) -> int:
    """Write the archive of a simulated market to the folder `archive.url`, in the exchange's format.

    Args:
        settings: their symbol must be one like SIMUSDT, by which simulated data is labelled everywhere.
        start: first day of the first month; months: number of months. The bars of a symbol are always the same.

    Returns:
        The number of bars.

    Raises:
        UsageError: the symbol is not that of a simulated market, or the archive is not a folder.
    """
    symbol, url = settings.dataset.symbol, settings.archive.url
    if not is_simulated(symbol):
        raise UsageError(f"{symbol} is not a simulated market", "name one like SIMUSDT or SIM001USDT")
    if "://" in url:
        raise UsageError(f"the archive {url} is not a folder", "set archive.url to a folder, like ./lake/archive")
    return write_archive(Path(url), settings.dataset, start, months)


def judged(strategy: Strategy, bars: pl.DataFrame, chunk_rows: int | None = None, interval: str = "4h") -> pl.DataFrame:
    """The bars with the strategy's columns, conditions, `buy_signal`, `sell_signal` and `position`.

    Args:
        bars: in time order, as `simulated_bars` makes them; indicators are computed from the first of them on.
        chunk_rows: rows per chunk, in addition to `look_back` rows before it; by default all.
        interval: of the bars, for columns of a longer one.

    Raises:
        StrategyError, UnknownIndicator: the strategy does not keep its contract.
    """
    check_strategy(strategy)
    table = with_indicators(bars.lazy(), strategy.columns, interval).collect().lazy()
    rows = chunk_rows or bars.height
    return pl.concat(signal_chunks(table, strategy, chunk_rows=rows, context_rows=max(1, strategy.look_back)))
