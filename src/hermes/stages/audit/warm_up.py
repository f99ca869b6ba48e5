"""The warm-up of each column: after how many bars the start of the history no longer matters."""

from collections.abc import Callable, Sequence

import polars as pl

TOLERANCE = 1e-9  # relative


def warm_up(bars: pl.DataFrame, compute: Callable[[pl.DataFrame], pl.DataFrame], starts: Sequence[int]) -> pl.DataFrame:
    """Run from later starts, and measure after how many bars each column agrees with the run from the first bar.

    Args:
        bars: in time order.
        compute: bars in, one row per bar out.
        starts: row numbers to start from.

    Returns:
        `column, bars`: bars from the start on until the column agrees to 1e-9 (relative) for good, the worst of all
        starts; null if it never does, so that its values depend on the whole history.
    """
    whole = compute(bars)
    needed: dict[str, int | None] = {name: 0 for name in whole.columns if name not in bars.columns}
    for start in starts:
        late = compute(bars.slice(start))
        for name, worst in needed.items():
            rows = _differing(whole[name].slice(start), late[name])
            last = 0 if rows.is_empty() else int(rows[-1]) + 1
            needed[name] = None if worst is None or last == late.height else max(worst, last)
    return pl.DataFrame(
        {"column": list(needed), "bars": list(needed.values())}, schema={"column": pl.String, "bars": pl.Int64}
    )


def _differing(expected: pl.Series, found: pl.Series) -> pl.Series:
    """Rows on which two series differ by more than the tolerance; nulls equal nulls."""
    if not expected.dtype.is_float():
        return expected.ne_missing(found).arg_true()
    close = (expected - found).abs() <= TOLERANCE * expected.abs()
    return (~(close | (expected.is_null() & found.is_null())).fill_null(value=False)).arg_true()
