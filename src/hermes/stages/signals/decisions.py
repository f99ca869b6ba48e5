"""The decisions of a strategy, kept from the first pass, which makes them, for the second, which writes them."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

#: Days or months (numpy's datetime64), from the first to the last one, and how many rows each has.
Calendar = tuple[NDArray[np.datetime64], NDArray[np.intp]]


class Decisions:
    """The signals, conditions and position of every row, one bit each, so that those of any table fit into memory.

    Args:
        columns: names of the signals and conditions.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        position = pl.col("position")  # a byte where it may be -1
        self._bits = [*columns, position if "short_signal" in columns else position.cast(pl.Boolean)]
        self._frames: list[tuple[pl.DataFrame, Calendar]] = []

    def add(self, judged: pl.DataFrame) -> None:
        """Add the next frame, in order of time."""
        self._frames.append((judged.select(self._bits).rechunk(), calendar(judged["datetime"], "M")))

    def stamped(self, same: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The frames again, with the calendar columns, and `same`, the one row of constant columns, on every row.

        Numbers come in the smallest types that hold them, as Polars fetches frames well ahead of what it has written.
        """
        most = max(bits.height for bits, _ in self._frames)
        repeated = same.select(pl.all().repeat_by(most).explode())
        for bits, (months, rows) in self._frames:
            since_1970 = months.astype(np.int64)
            year = pl.Series("year", np.repeat((1970 + since_1970 // 12).astype(np.int16), rows))
            month = pl.Series("month", np.repeat((1 + since_1970 % 12).astype(np.int8), rows))
            yield bits.hstack([year, month, *repeated.head(bits.height)])


def calendar(times: pl.Series, unit: Literal["D", "M"]) -> Calendar:
    """The days or months of ascending times: looked up one by one, as row by row they cost more than all the rules."""
    ticks = times.to_numpy()
    first, last = ticks[[0, -1]].astype(f"datetime64[{unit}]")
    periods = np.arange(first, last + 1)
    return periods, np.diff(np.searchsorted(ticks, periods.astype(ticks.dtype)), append=len(ticks))
