"""Times of bars: open and close times as datetimes, and as the microseconds that the exchange counts in. Pure."""

from datetime import datetime, timedelta

import polars as pl

from hermes.dataset import INTERVAL_SECONDS

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1)


def instant(time: int) -> datetime:
    """Microseconds since 1970 as naive UTC."""
    return _EPOCH + timedelta(microseconds=time)


def to_microseconds(at: datetime) -> int:
    """Naive UTC as microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def later(at: datetime, interval: str, bars: int) -> datetime:
    """The instant `bars` bars after an open time; months are calendar months."""
    if interval == "1mo":
        month = at.year * 12 + at.month - 1 + bars
        return at.replace(year=month // 12, month=month % 12 + 1)
    return at + timedelta(seconds=INTERVAL_SECONDS[interval] * bars)


def before_hole(times: pl.Series, step: int) -> int:
    """The last of ascending times (microseconds) before the first gap; without a gap the last of all."""
    holes = (times.diff() > 1.5 * step).arg_true()
    return int(times[int(holes[0]) - 1] if len(holes) else times[-1])
