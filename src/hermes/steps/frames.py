"""Frames from callers: Polars or pandas, checked before anything is computed from them."""

from typing import TYPE_CHECKING, Any, TypeAlias, Union

import polars as pl

from hermes.errors import TableRefused, UsageError
from hermes.schemas import DATETIME, Schema

if TYPE_CHECKING:
    import pandas as pd

Frame: TypeAlias = Union[pl.DataFrame, pl.LazyFrame, "pd.DataFrame"]


def polars(frame: Any) -> pl.LazyFrame:
    """The frame as a lazy Polars frame; of a pandas frame, an index of instants becomes `datetime`, in UTC.

    Raises:
        UsageError: it is no frame.
    """
    if isinstance(frame, pl.DataFrame | pl.LazyFrame):
        return frame.lazy()
    kind = type(frame)
    if kind.__module__.partition(".")[0] != "pandas" or not hasattr(frame, "columns"):
        raise UsageError(f"expected a frame, not {kind.__name__}", "pass a Polars or pandas frame")
    if "datetime" not in frame.columns:
        frame = frame.rename_axis("datetime").reset_index()
    made: pl.DataFrame = pl.from_pandas(frame)
    time = made.schema.get("datetime")
    if isinstance(time, pl.Datetime) and time.time_zone:
        made = made.with_columns(pl.col("datetime").dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    return made.lazy()


def sound(frame: Any, columns: Schema, prices: tuple[str, ...]) -> pl.DataFrame:
    """These columns of a frame in their types, NaN as null; refuses what no account could trade at."""
    rows = polars(frame)
    missing = [name for name in columns if name not in rows.collect_schema().names()]
    if missing:
        raise TableRefused(f"the frame has no column {missing[0]}", f"it needs {', '.join(columns)}")
    try:
        table = rows.select(pl.col(name).cast(dtype) for name, dtype in columns.items()).collect()
    except pl.exceptions.InvalidOperationError as error:
        raise TableRefused(
            f"the frame has another type: {str(error).splitlines()[0]}", f"expected {dict(columns)}"
        ) from None
    table = table.with_columns(pl.col(pl.Float64).fill_nan(None))
    times = table["datetime"].cast(DATETIME)
    if times.null_count() or not (times.diff().drop_nulls().to_physical() > 0).all():
        raise TableRefused("the frame's datetimes do not ascend, each once", "sort it by datetime, and drop duplicates")
    for name in prices:
        if not (good := (table[name] > 0) & table[name].is_finite()).fill_null(value=False).all():
            row = int(good.fill_null(value=False).arg_min() or 0)
            raise TableRefused(f"{name} at {times[row]} is {table[name][row]}", "every bar needs prices above zero")
    return table
