"""The feature table: a silver series and its indicators."""

from collections.abc import Sequence
from functools import partial

import polars as pl

from hermes.indicators.columns import Families, parse
from hermes.indicators.shipped import SHIPPED
from hermes.schemas import FEATURES, INDICATORS
from hermes.stages.gold.timeframes import check_longer, split, with_longer


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
    own = [name for name in names if split(name)[1] is None]
    made = _with_own(bars, own, families)
    longer: dict[str, list[str]] = {}
    for name in names:
        column, of = split(name)
        if of is not None:
            check_longer(name, interval, of)
            longer.setdefault(of, []).append(column)
    for of, columns in longer.items():
        made = with_longer(made, interval, of, columns, partial(_with_own, families=families))
    return made


def _with_own(bars: pl.LazyFrame, names: Sequence[str], families: Families) -> pl.LazyFrame:
    """The bars with columns of their own interval."""
    if not names:
        return bars
    wanted = {name: parse(name, families) for name in names}
    # Polars does not see that two plugin calls are equal: calls with several outputs are made once, then taken apart.
    computed = bars.with_columns(**{each.key: each.call for each in wanted.values()})
    # Shifting the warm-up out and nulls in costs nothing; replacing its NaN would copy every column. TA-Lib has no
    # other NaN than that, given sound bars, but formulas of others may divide by zero.
    columns = {
        name: each.pick(pl.col(each.key)).shift(-each.look_back).shift(each.look_back) for name, each in wanted.items()
    }
    unsure = [name for name in names if name not in INDICATORS and wanted[name].dtype.is_float()]
    made = computed.with_columns(**columns).with_columns(pl.col(unsure).fill_nan(None))
    return made.drop({each.key for each in wanted.values()})
