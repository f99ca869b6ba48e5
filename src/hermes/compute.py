"""Frames in, frames out: features, signals and measures of frames that are at hand, with no lake in between.

The same definitions as the road's; nothing here is read from a lake or written to one.
"""

import polars as pl

from hermes.errors import TableRefused
from hermes.indicators.registry import known_indicators
from hermes.schemas import DATETIME, FEATURES, INDICATORS, Schema
from hermes.settings import Settings
from hermes.stages.backtest.engine import Backtest
from hermes.stages.backtest.portfolio import BARS
from hermes.stages.gold.features import features, with_indicators
from hermes.stages.signals.generate import check_context
from hermes.stages.signals.plan import signals
from hermes.steps.measure import Measured, Tally, accounts
from hermes.strategies import find_strategy
from hermes.strategies.columns import input_schema, output_schema
from hermes.strategies.contract import check_strategy

Frame = pl.DataFrame | pl.LazyFrame


def compute_features(bars: Frame, settings: Settings) -> pl.DataFrame:
    """The 23 indicators of a whole series, as the gold feature table has them.

    Args:
        bars: `datetime, open, high, low, close, volume` from the first bar on, in time order; other columns are left
            out. Values depend on all bars before them: a part of a series gives other values.
        settings: name the dataset, for the columns `symbol` and `timeframe`.

    Raises:
        TableRefused: a column is missing, times do not ascend, or a price is not above zero.
    """
    named = {"symbol": settings.dataset.symbol, "timeframe": settings.dataset.interval}
    given = {name: dtype for name, dtype in FEATURES.items() if name not in INDICATORS and name not in named}
    series = _sound(bars, given, ("open", "high", "low", "close"))
    return features(series.lazy().with_columns(**{name: pl.lit(text) for name, text in named.items()})).collect()


def compute_signals(features: Frame, settings: Settings) -> pl.DataFrame:
    """The signals of the settings' strategy on a feature table, from `signals.start` to `signals.end`.

    Args:
        features: bars and the strategy's columns, in time order; an indicator outside the feature table's 23 that is
            missing is computed from the bars, which then must be the whole series.

    Returns:
        `datetime, symbol, open … volume, buy_signal, sell_signal`, the conditions, the strategy's columns, `position`:
        the same rows as an execution has, without its stamps.

    Raises:
        TableRefused: a column is missing, times do not ascend, a price is not above zero, or no bar is left.
        StrategyError, UsageError: the strategy is unknown, misconfigured or does not keep its contract.
    """
    found = find_strategy(settings.signals.strategy)
    strategy = found.make(settings.strategy.get(found.kind.name, {}))
    check_strategy(strategy)
    check_context(strategy, settings.signals.context_rows)
    there = features.collect_schema().names()
    derived = [name for name in strategy.columns if name not in there and name not in INDICATORS]
    known = known_indicators(settings.features.indicators).families
    plan = with_indicators(features.lazy(), derived, settings.dataset.interval, known)
    table = _sound(plan, input_schema(strategy), ("open", "close"))

    time, start, end = pl.col("datetime"), settings.signals.start, settings.signals.end
    before = table.filter(time < start).height if start else 0
    until = table.filter(time <= end).height if end else table.height
    if until <= before:
        raise TableRefused(f"no bar from {start or 'the first'} to {end or 'the last'}", "mind signals.start and .end")
    seen = min(before, settings.signals.context_rows)
    judged = signals(table.slice(before - seen, until - before + seen), strategy, context=seen, position=0)
    named = judged.with_columns(symbol=pl.lit(settings.dataset.symbol))
    return named.select(name for name in output_schema(strategy) if name in named.columns)


def measure(rows: Frame, settings: Settings) -> Measured:
    """Backtest signals that are at hand, with both fills, on the settings' account; for `hermes.backtest`.

    Args:
        rows: `datetime, open, close, buy_signal, sell_signal`, in time order; a null signal is none.

    Raises:
        TableRefused: a column is missing, times do not ascend, a price is not above zero, or there is no row.
    """
    table = _sound(rows, BARS, ("open", "close")).with_columns(
        pl.col("buy_signal", "sell_signal").fill_null(value=False)
    )
    if table.is_empty():
        raise TableRefused("the frame has no row", "give it at least one bar")
    tally = Tally()
    tally.add(table)
    terms = accounts(settings.backtest)
    backtest = Backtest(settings.dataset.interval, *terms.values())
    backtest.update(table)
    return Measured(tally, dict(zip(terms, backtest.finish(), strict=True)))


def _sound(rows: Frame, columns: Schema, prices: tuple[str, ...]) -> pl.DataFrame:
    """These columns in their types, NaN as null; refuses what no account could trade at."""
    missing = [name for name in columns if name not in rows.collect_schema().names()]
    if missing:
        raise TableRefused(f"the frame has no column {missing[0]}", f"it needs {' '.join(columns)}")
    try:
        table = rows.lazy().select(pl.col(name).cast(dtype) for name, dtype in columns.items()).collect()
    except pl.exceptions.InvalidOperationError as error:
        raise TableRefused(
            f"the frame has another type: {str(error).splitlines()[0]}", f"expected {dict(columns)}"
        ) from None
    table = table.with_columns(pl.col(pl.Float64).fill_nan(None))
    times = table["datetime"].cast(DATETIME)
    if times.null_count() or not (times.diff().drop_nulls().to_physical() > 0).all():
        raise TableRefused("the frame's datetimes do not ascend, each once", "sort it by datetime, and drop duplicates")
    for name in prices:
        if not (sound := (table[name] > 0) & table[name].is_finite()).fill_null(value=False).all():
            row = int(sound.fill_null(value=False).arg_min() or 0)
            raise TableRefused(f"{name} at {times[row]} is {table[name][row]}", "every bar needs prices above zero")
    return table
