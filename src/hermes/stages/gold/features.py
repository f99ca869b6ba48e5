"""The feature table: a silver series and its indicators."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import polars as pl

from hermes.indicators.columns import Families, parse
from hermes.indicators.shipped import SHIPPED
from hermes.schemas import FEATURES, INDICATORS
from hermes.stages.gold.timeframes import check_longer, split, with_longer

#: Bars → the bars with columns beside what they have.
Prepared = Callable[[pl.LazyFrame], pl.LazyFrame]


def features(silver: pl.LazyFrame) -> pl.LazyFrame:
    """The bars of `silver` and their indicators, exactly the columns and types of `schemas.FEATURES`.

    Args:
        silver: one whole series from its first bar on, in time order, as `schemas.SILVER`: without null, NaN or
            infinite prices. Values depend on all bars before them, so a part of a series gives other values.

    Returns:
        One row per bar. An indicator is null in its warm-up and never after it; no value is NaN.
    """
    bars = [name for name in FEATURES if name not in INDICATORS]
    return _with_own(silver.select(bars), list(INDICATORS), SHIPPED).select(FEATURES.keys())


def with_indicators(
    bars: pl.LazyFrame, names: Sequence[str], interval: str, families: Families = SHIPPED
) -> pl.LazyFrame:
    """The bars with these additional columns.

    Args:
        bars: `datetime open high low close volume` of one whole series from its first bar on, in time order.
        names: of indicators, like `ema_50`, or of a longer interval, like `ema_50@1d`.
        interval: of the bars.
        families: the known indicators.

    Returns:
        One row per bar. Warm-up is null, and so are values that depend on a null or NaN bar; no value is NaN.

    Raises:
        UnknownIndicator: an unknown name, or a longer interval that does not fit.
        IndicatorError: an indicator's own function fails.
    """
    return prepared(names, interval, families)(bars)


def prepared(names: Sequence[str], interval: str, families: Families = SHIPPED) -> Prepared:
    """`with_indicators` of any bars, for those who compute the same columns again and again; raises as it does."""
    own = _own([name for name in names if split(name)[1] is None], families)
    longer: dict[str, list[str]] = {}
    for name in names:
        column, of = split(name)
        if of is not None:
            check_longer(name, interval, of)
            longer.setdefault(of, []).append(column)

    def compute(bars: pl.LazyFrame) -> pl.LazyFrame:
        made = own(bars)
        for of, columns in longer.items():
            made = with_longer(made, interval, of, columns, partial(_with_own, families=families))
        return made

    return compute


def _with_own(bars: pl.LazyFrame, names: Sequence[str], families: Families) -> pl.LazyFrame:
    """The bars with columns of their own interval."""
    return _own(names, families)(bars)


def _own(names: Sequence[str], families: Families) -> Prepared:
    """`_with_own` of any bars."""
    if not names:
        return lambda bars: bars
    wanted = {name: parse(name, families) for name in names}
    # Polars does not see that two plugin calls are equal: calls with several outputs are made once, then taken apart.
    calls = {each.key: each.call for each in wanted.values()}
    # Shifting the warm-up out and nulls in costs nothing; replacing its NaN would copy every column. TA-Lib has no
    # other NaN than that, given sound bars, but formulas of others may divide by zero.
    columns = {
        name: each.pick(pl.col(each.key)).shift(-each.look_back).shift(each.look_back) for name, each in wanted.items()
    }
    unsure = [name for name in names if name not in INDICATORS and wanted[name].dtype.is_float()]
    sure = pl.col(unsure).fill_nan(None)
    return lambda bars: bars.with_columns(**calls).with_columns(**columns).with_columns(sure).drop(calls.keys())


_PRICES = ("open", "high", "low", "close")


#: From the bar that opens then (naive UTC) on, prices are so many times what they were: 1000 old units are one.
Split = tuple[datetime, float]


def adjusted(bars: pl.LazyFrame, splits: Sequence[Split]) -> pl.LazyFrame:
    """The bars with prices before each split multiplied by its ratio, and volumes divided by it.

    Args:
        bars: `datetime`, `open`, `high`, `low`, `close`, `volume` among their columns.
        splits: of this series, in any order; without any the bars are returned unchanged.
    """
    if not splits:
        return bars
    ratio = pl.lit(1.0)
    for at, new_over_old in splits:
        ratio = ratio * pl.when(pl.col("datetime") < at).then(new_over_old).otherwise(1.0)
    return bars.with_columns(pl.col(_PRICES) * ratio, pl.col("volume") / ratio)
