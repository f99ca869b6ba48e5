"""Read a feature table that any tool wrote: files ordered by time, types brought to the contract, disorder refused."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from itertools import groupby, pairwise

import polars as pl

from hermes.errors import TableRefused
from hermes.lake.files import LakeFile
from hermes.lake.store import Layer
from hermes.schemas import DATETIME

_READERS = 8  # schemas read at once
_PRICES = ("open", "close")  # what an account trades at
_FILE = "__file"
_KEY = {"datetime": DATETIME, "symbol": pl.String()}  # every table is checked on these, wanted or not


@dataclass(frozen=True, slots=True)
class TablePart:
    """One file of a table: `rows` rows from `first` to `last` (open times, naive UTC)."""

    file: LakeFile
    rows: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Table:
    """A feature table in time order: its files, and the plan that reads the wanted columns of all of them.

    Attributes:
        files: the snapshot it was opened over.
        parts: those of the files that have rows, in time order.
    """

    files: Sequence[LakeFile]
    parts: list[TablePart]
    plan: pl.LazyFrame

    @property
    def rows(self) -> int:
        """Rows of the whole table."""
        return sum(part.rows for part in self.parts)


def open_table(layer: Layer, files: Sequence[LakeFile], columns: Mapping[str, pl.DataType], symbol: str) -> Table:
    """Open a feature table over exactly these files.

    Args:
        layer: where the files are.
        files: the snapshot to read; any order.
        columns: wanted columns and the types they are brought to; other columns are left alone.
        symbol: the only symbol that may stand in the table.

    Raises:
        TableRefused: missing columns (all named at once), a type that cannot be brought to the contract, a null
            time, a foreign symbol, overlapping files, or no row at all. Disorder inside a file is found by `in_order`.
    """
    with layer.errors():
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(lambda file: layer.scan([file]).collect_schema(), files))
        schemas = {file.key: schema for file, schema in zip(files, found, strict=True)}
        for file in files:
            _check_schema(file, schemas[file.key], {**_KEY, **columns})
        parts = sorted(_parts(layer, files, schemas, symbol), key=lambda part: (part.first, part.file.key))
        for before, after in pairwise(parts):
            if after.first <= before.last:
                raise TableRefused(
                    f"{after.file.key} starts at {after.first}, before {before.file.key} ends at {before.last}",
                    "remove the file that repeats the other's bars",
                )
        if not parts:
            raise TableRefused(f"the table of {symbol} has no rows", "run `hermes features` again")
        ordered = [part.file for part in parts]
        plans = [
            _normalized(layer, group, schemas[group[0].key], columns) for group in _alike(ordered, schemas, columns)
        ]
        return Table(files, parts, pl.concat(plans) if len(plans) > 1 else plans[0])


def column_names(layer: Layer, files: Sequence[LakeFile]) -> set[str]:
    """The columns that any of the files has."""
    with layer.errors(), ThreadPoolExecutor(_READERS) as pool:
        return {name for schema in pool.map(lambda f: layer.scan([f]).collect_schema(), files) for name in schema}


def in_order(frames: Iterator[pl.DataFrame], table: Table, skipped: int = 0) -> Iterator[pl.DataFrame]:
    """Pass frames through, refusing the first row that is not later than the one before it.

    Args:
        frames: successive rows of the table, with `datetime`.
        table: the table they come from, to name the file.
        skipped: rows of the table before the first frame.
    """
    before: datetime | None = None
    for frame in frames:
        if frame.is_empty():
            continue
        times = frame["datetime"]
        wrong = times.diff().dt.total_microseconds() <= 0
        at = wrong.arg_true()
        if before is not None and times[0] <= before:
            raise _disorder(table, skipped, times[0], before)
        if len(at):
            row = int(at[0])
            raise _disorder(table, skipped + row, times[row], times[row - 1])
        before = times[-1]
        skipped += frame.height
        yield frame


def with_prices(frames: Iterator[pl.DataFrame], table: Table, skipped: int = 0) -> Iterator[pl.DataFrame]:
    """Pass frames through, refusing the first row that no account could trade at; arguments as for `in_order`."""
    for frame in frames:
        for name in _PRICES:
            if len(bad := frame.select(_unsound(name)).to_series().arg_true()):
                raise _bad_price(table, skipped + int(bad[0]), name, frame[name][int(bad[0])])
        skipped += frame.height
        yield frame


def _unsound(name: str) -> pl.Expr:
    """Rows on which a price is missing, not finite, or not above zero."""
    price = pl.col(name)
    return ~(price.is_finite() & (price > 0)).fill_null(value=False)


def _bad_price(table: Table, row: int, name: str, price: float | None) -> TableRefused:
    part, row = _located(table, row)
    return TableRefused(
        f"{part.file.key}: {name} of row {row + 1:,} is {price}",
        "every bar needs prices above zero: run `hermes features` again, or mend the file",
    )


def _located(table: Table, row: int) -> tuple[TablePart, int]:
    """The file that holds a row of the table, and the row's number in it."""
    for part in table.parts:
        if row < part.rows:
            return part, row
        row -= part.rows
    raise IndexError(row)


def _disorder(table: Table, row: int, time: datetime, before: datetime) -> TableRefused:
    part, row = _located(table, row)
    what = "repeats" if time == before else "is earlier than"
    return TableRefused(
        f"{part.file.key}: datetime of row {row + 1:,} ({time}) {what} the row before ({before})",
        "rows must be unique and in time order: run `hermes features` again, or sort the file",
    )


def _check_schema(file: LakeFile, schema: pl.Schema, columns: Mapping[str, pl.DataType]) -> None:
    missing = [name for name in columns if name not in schema]
    if missing:
        near = sorted({match for name in missing for match in get_close_matches(name, schema.names(), n=2)})
        raise TableRefused(
            f"{file.key} lacks the columns {' '.join(missing)}",
            f"near them it has {' '.join(near)}" if near else f"it has {' '.join(schema.names())}",
        )
    for name, wanted in columns.items():
        if not _convertible(schema[name], wanted):
            raise TableRefused(f"{file.key}: column {name} is {schema[name]}", f"expected {wanted} or its like")


def _convertible(given: pl.DataType, wanted: pl.DataType) -> bool:
    if isinstance(wanted, pl.Datetime):
        return isinstance(given, pl.Datetime) and given.time_zone in (None, "UTC", "Etc/UTC", "+00:00")
    if isinstance(wanted, pl.String):
        return isinstance(given, pl.String | pl.Categorical | pl.Enum)
    return given.is_numeric() or isinstance(given, pl.Null)


def _alike(
    files: Sequence[LakeFile], schemas: Mapping[str, pl.Schema], columns: Mapping[str, pl.DataType]
) -> Iterator[list[LakeFile]]:
    """Runs of successive files whose wanted columns have the same types: each can be one scan."""
    for _, group in groupby(files, key=lambda file: [schemas[file.key][name] for name in columns]):
        yield list(group)


def _normalized(
    layer: Layer,
    files: Sequence[LakeFile],
    schema: pl.Schema,
    columns: Mapping[str, pl.DataType],
    **options: str,
) -> pl.LazyFrame:
    """The wanted columns in the contract's types; NaN, which compares greater than every number, becomes null."""
    casts = [pl.col(name) for name in options.values()]
    for name, wanted in columns.items():
        column = pl.col(name)
        if isinstance(wanted, pl.Datetime):
            column = column.dt.replace_time_zone(None)
        elif schema[name].is_float():
            column = column.fill_nan(None)
        casts.append(column.cast(wanted) if schema[name] != wanted else column)
    given = {name: schema[name] for name in columns}
    return layer.scan(files, schema=given, extra_columns="ignore", **options).select(casts)


def _parts(
    layer: Layer, files: Sequence[LakeFile], schemas: Mapping[str, pl.Schema], symbol: str
) -> Iterator[TablePart]:
    """Span and rows of every file that has any, measured on its times and symbols."""
    time, own = pl.col("datetime"), pl.col("symbol") == symbol
    span = (pl.len(), time.min(), time.max().alias("last"), time.count().alias("known"), own.sum().alias("own"))
    by_location = {file.location: file for file in files}
    for group in _alike(files, schemas, _KEY):
        rows = _normalized(layer, group, schemas[group[0].key], _KEY, include_file_paths=_FILE)
        # One plan for all files: Polars 2.1 was seen to hang in `collect_all` of many small ones.
        for location, count, first, last, known, own_rows in rows.group_by(_FILE).agg(span).collect().iter_rows():
            file = by_location[location]
            if min(known, own_rows) < count:
                raise _bad_row(file, _normalized(layer, [file], schemas[file.key], _KEY), symbol)
            yield TablePart(file, count, first, last)


def _bad_row(file: LakeFile, rows: pl.LazyFrame, symbol: str) -> TableRefused:
    """The first row without a time, or with another symbol."""
    bad = pl.col("datetime").is_null() | pl.col("symbol").ne_missing(symbol)
    row, time, found = rows.with_row_index("row", 1).filter(bad).head(1).collect().row(0)
    if time is None:
        return TableRefused(f"{file.key}: datetime of row {row:,} is null", "every row needs its bar's open time")
    return TableRefused(
        f"{file.key}: symbol of row {row:,} is {found!r}, not {symbol!r}",
        "keep one symbol in a table, or ask for that one",
    )
