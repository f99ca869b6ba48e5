"""Known redenominations: earlier prices are converted to the new unit, so that no indicator sees a jump."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

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
