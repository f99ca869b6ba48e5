"""What a strategy decided, carried from the pass that judges the rows to the pass that writes them."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl


class Decisions:
    """The signals, conditions and position of every row: a bit for each, so any table's fit into memory.

    Args:
        columns: names of the signals and conditions.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._bits = [*columns, pl.col("position").cast(pl.Boolean)]
        self._frames: list[tuple[pl.DataFrame, pl.DataFrame]] = []

    def add(self, judged: pl.DataFrame) -> None:
        """Remember one more frame, later than those before it."""
        self._frames.append((judged.select(self._bits).rechunk(), _months(judged["datetime"])))

    def stamped(self, same: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The frames again, with the calendar columns, and `same`, the one row of constant columns, on every row.

        Numbers come in the smallest types that hold them, as Polars fetches frames well ahead of what it has written.
        """
        most = max(bits.height for bits, _ in self._frames)
        repeated = same.select(pl.all().repeat_by(most).explode())
        for bits, months in self._frames:
            calendar = [pl.Series(each.name, np.repeat(each, months["rows"])) for each in months.drop("rows")]
            stamps = [*calendar, *repeated.head(bits.height)]
            yield bits.hstack(stamps)


def _months(times: pl.Series) -> pl.DataFrame:
    """`year, month, rows` of ascending times: looked up per month, as row by row they cost more than all the rules."""
    first = times[0].replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    months = pl.datetime_range(first, times[-1], "1mo", eager=True)
    rows = np.diff(times.search_sorted(months).to_numpy(), append=times.len())
    return pl.DataFrame({"year": months.dt.year().cast(pl.Int16), "month": months.dt.month(), "rows": rows})
