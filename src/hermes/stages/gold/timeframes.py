"""Columns of a longer interval, `ema_50@1d`: the value of the last longer bar that was closed at the row's own close.

Longer bars are always built from the row's own bars, so that a column needs no second archive and is the same live, in
a replay and over the archive. A longer bar is known once its period is over, never before; the one in which a series
begins holds the bars from there on.
"""

from collections.abc import Callable, Sequence

import polars as pl

from hermes.dataset import INTERVAL_SECONDS
from hermes.errors import UnknownIndicator

_DAY = INTERVAL_SECONDS["1d"]
_ROUNDING = 1e-9  # of a sum of volumes, relative

#: Bars and names of columns → the bars with these columns, see `features.with_indicators`.
Compute = Callable[[pl.LazyFrame, Sequence[str]], pl.LazyFrame]


def split(name: str) -> tuple[str, str | None]:
    """`ema_50@1d` as `("ema_50", "1d")`; the interval is None if the name has none."""
    column, at, interval = name.partition("@")
    return column, interval if at else None


def check_longer(name: str, interval: str, longer: str) -> None:
    """Refuse a longer interval that is not made of whole bars of `interval`.

    Raises:
        UnknownIndicator: `longer` is no interval, not longer, or not made of whole bars.
    """
    seconds, whole = INTERVAL_SECONDS[interval], INTERVAL_SECONDS.get(longer)
    fits = whole is not None and whole > seconds and whole % seconds == 0
    # Periods above a day begin on a Monday, the first of a month or a multiple of days: only parts of a day fit.
    if not fits or (whole is not None and whole > _DAY and _DAY % seconds):
        able = [each for each in INTERVAL_SECONDS if _fits(interval, each)]
        raise UnknownIndicator(
            f"indicator {name!r}: bars of {interval} do not make whole bars of {longer!r}",
            f"bars of {interval} can make: {', '.join(able) or 'none'}",
        )


def _fits(interval: str, longer: str) -> bool:
    seconds, whole = INTERVAL_SECONDS[interval], INTERVAL_SECONDS[longer]
    return whole > seconds and whole % seconds == 0 and (whole <= _DAY or _DAY % seconds == 0)


def close_time(interval: str) -> pl.Expr:
    """When the bar that opens at `datetime` is closed, UTC: the open time of the next one."""
    return pl.col("datetime").dt.offset_by(interval)


def longer_bars(bars: pl.LazyFrame, interval: str) -> pl.LazyFrame:
    """Bars of a longer interval out of shorter ones: `datetime open high low close volume`.

    Args:
        bars: the same columns, one series in time order; see `check_longer`.
        interval: of the bars to make. A period without bars has no bar; one with gaps is made of the bars present.
    """
    return bars.group_by(pl.col("datetime").dt.truncate(interval), maintain_order=True).agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )


def with_longer(bars: pl.LazyFrame, interval: str, longer: str, names: Sequence[str], compute: Compute) -> pl.LazyFrame:
    """The bars with additional columns `NAME@LONGER`.

    Args:
        bars: one whole series of `interval` from its first bar on, in time order.
        names: columns of the longer bars, like `ema_50`.
        compute: makes them on the longer bars.
    """
    named = {name: f"{name}@{longer}" for name in names}
    made = compute(longer_bars(bars, longer), names).select(
        pl.col("datetime").dt.offset_by(longer).alias("_close"), *(pl.col(name).alias(to) for name, to in named.items())
    )
    # Both sides ascend: a close time is an open time and a fixed step, or the first of the month after.
    return (
        bars.with_columns(close_time(interval).alias("_close"))
        .join_asof(made, on="_close", strategy="backward", check_sortedness=False)
        .drop("_close")
    )


def compare_longer(bars: pl.LazyFrame, interval: str, longer: str, archive: pl.LazyFrame) -> tuple[int, pl.DataFrame]:
    """Compare longer bars made of shorter ones with the archive's bars of the longer interval.

    Args:
        bars: `datetime open high low close volume` of `interval`, one series in time order.
        archive: the same of `longer`.

    Returns:
        How many bars both have, of periods that the series covers from the first to the last moment; and every value
        that differs, in time order: `datetime`, `column`, `built`, `archived`. Volumes are sums: they may differ in
        the last digits.
    """
    values = ["open", "high", "low", "close", "volume"]
    ends = bars.select(first=pl.col("datetime").min(), last=close_time(interval).max()).collect()
    first, last = ends.row(0)
    whole = (pl.col("datetime") >= first) & (close_time(longer) <= last)
    made, there = (
        plan.select("datetime", *values).unpivot(values, index="datetime", variable_name="column", value_name=name)
        for plan, name in ((longer_bars(bars, longer).filter(whole), "built"), (archive, "archived"))
    )
    both = made.join(there, on=["datetime", "column"]).collect()
    apart = (pl.col("built") - pl.col("archived")).abs()
    allowed = pl.when(pl.col("column") == "volume").then(_ROUNDING * pl.col("archived").abs()).otherwise(0.0)
    return both.height // len(values), both.filter(apart > allowed).sort("datetime", "column")
