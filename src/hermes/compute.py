"""Frames in, frames out: features, signals and measures without a lake.

The same definitions as the pipeline's; nothing here is read from a lake or written to one.
"""

import polars as pl

from hermes.errors import TableRefused
from hermes.indicators.registry import known_indicators
from hermes.schemas import FEATURES, INDICATORS
from hermes.settings import Settings
from hermes.stages.gold.features import features, with_indicators
from hermes.stages.signals.generate import check_context
from hermes.stages.signals.plan import signals
from hermes.steps.frames import Frame, polars, sound
from hermes.strategies import find_strategy
from hermes.strategies.columns import input_schema, output_schema
from hermes.strategies.contract import check_strategy


def compute_features(bars: Frame, settings: Settings) -> pl.DataFrame:
    """The 23 indicators of a whole series, as the gold feature table has them.

    Args:
        bars: `datetime, open, high, low, close, volume` from the first bar on, in time order; other columns are
            ignored. Values depend on all earlier bars: a part of a series gives different values.
        settings: the dataset gives the columns `symbol` and `timeframe`.

    Raises:
        TableRefused: a column is missing, times do not ascend, or a price is not above zero.
    """
    named = {"symbol": settings.dataset.symbol, "timeframe": settings.dataset.interval}
    given = {name: dtype for name, dtype in FEATURES.items() if name not in INDICATORS and name not in named}
    series = sound(bars, given, ("open", "high", "low", "close"))
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
    given = polars(features)
    there = given.collect_schema().names()
    derived = [name for name in strategy.columns if name not in there and name not in INDICATORS]
    known = known_indicators(settings.features.indicators).families
    plan = with_indicators(given, derived, settings.dataset.interval, known)
    table = sound(plan, input_schema(strategy), ("open", "close"))

    time, start, end = pl.col("datetime"), settings.signals.start, settings.signals.end
    before = table.filter(time < start).height if start else 0
    until = table.filter(time <= end).height if end else table.height
    if until <= before:
        raise TableRefused(
            f"no bar from {start or 'the first'} to {end or 'the last'}", "check signals.start and signals.end"
        )
    seen = min(before, settings.signals.context_rows)
    judged = signals(table.slice(before - seen, until - before + seen), strategy, context=seen, position=0)
    named = judged.with_columns(symbol=pl.lit(settings.dataset.symbol))
    return named.select(name for name in output_schema(strategy) if name in named.columns)
