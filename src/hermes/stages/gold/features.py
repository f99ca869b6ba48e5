"""The feature table: a silver series and its 23 indicators."""

import polars as pl

from hermes.schemas import FEATURES, INDICATORS
from hermes.stages.gold.indicators import parse


def features(silver: pl.LazyFrame) -> pl.LazyFrame:
    """The bars of `silver` and their indicators, exactly the columns and types of `schemas.FEATURES`.

    Args:
        silver: one whole series from its first bar on, in time order, as `schemas.SILVER`: without null, NaN or
            infinite prices. Values depend on all bars before them, so a part of a series gives other values.

    Returns:
        One row per bar. An indicator is null in its warm-up and never after it; no value is NaN.
    """
    bars = [name for name in FEATURES if name not in INDICATORS]
    wanted = {name: parse(name) for name in INDICATORS}
    # Polars does not see that two plugin calls are equal: calls with several outputs are made once, then taken apart.
    calls = {each.key: each.call for each in wanted.values()}
    computed = silver.select(*bars, **calls)
    # Shifting the warm-up out and nulls in costs nothing; replacing its NaN would copy every column.
    columns = (
        each.pick(pl.col(each.key)).cast(INDICATORS[name]).shift(-each.look_back).shift(each.look_back).alias(name)
        for name, each in wanted.items()
    )
    return computed.select(*bars, *columns)
