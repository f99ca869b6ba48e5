"""Reads feature tables of any tool: files sorted by time, types cast to the schema, disorder refused."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from itertools import groupby, pairwise
from math import inf
from typing import cast

import polars as pl

from hermes.errors import TableRefused
from hermes.lake.batches import whole_batches
from hermes.lake.files import LakeFile
from hermes.lake.store import Layer
from hermes.schemas import DATETIME, FEATURES
from hermes.text import counted

_PRICES = ("open", "close")  # what an account trades at
_FILE = "__file"
_KEY = {"datetime": DATETIME, "symbol": pl.String()}  # every table is checked on these, wanted or not
#: Of a file that Hermes made: how many rows of the series come before it.
BEGIN = "begin"
#: `hermes features` goes by the footers: a file that was changed in place and kept its own is up to date for it.
_AGAIN = "correct the file, or remove it and run `hermes features` again"


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
        files: the snapshot it was opened on.
        parts: the files with rows, in time order.
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
        columns: wanted columns and their types; other columns are ignored.
        symbol: the only symbol that the table may contain.

    Raises:
        TableRefused: missing columns (all named at once), a type that cannot be brought to the contract, a null
            time, a value that is no whole number where the contract has whole numbers, a foreign symbol, overlapping
            files, a missing file or no row at all. Disorder inside a file is found by `in_order`.
    """
    with layer.errors():
        schemas = {file.key: schema for file, schema in zip(files, layer.schemas(files), strict=True)}
        for file in files:
            _check_schema(file, schemas[file.key], {**_KEY, **columns})
            _check_whole(layer, file, schemas[file.key], columns)
        parts = sorted(_parts(layer, files, schemas, symbol), key=lambda part: (part.first, part.file.key))
        for before, after in pairwise(parts):
            if after.first <= before.last:
                raise TableRefused(
                    f"{after.file.key} starts at {after.first}, before {before.file.key} ends at {before.last}",
                    "remove the file that repeats the other's bars",
                )
        if not parts:
            raise TableRefused(f"the table of {symbol} has no rows", "remove its files and run `hermes features` again")
        ordered = [part.file for part in parts]
        _check_complete(layer, parts)
        plans = [
            _normalized(layer, group, schemas[group[0].key], columns) for group in _alike(ordered, schemas, columns)
        ]
        return Table(files, parts, pl.concat(plans) if len(plans) > 1 else plans[0])


def _check_complete(layer: Layer, parts: Sequence[TablePart]) -> None:
    """Refuse a table that rows or files are missing from, as far as the footers tell."""
    before = 0
    for part, about in zip(parts, layer.footers([part.file for part in parts]), strict=True):
        published = about.get("rows", part.rows)
        if part.rows < published:  # too many are told by what is wrong with them
            raise TableRefused(
                f"{part.file.key} has {part.rows:,} of the {published:,} rows that were published", _AGAIN
            )
        if about.get(BEGIN, before) > before:
            raise TableRefused(
                f"{part.file.key} begins after {about[BEGIN]:,} rows of its series, and {before:,} are there: "
                "a file before it is missing",
                "run `hermes features`, which makes it again",
            )
        before += published


def column_names(layer: Layer, files: Sequence[LakeFile]) -> set[str]:
    """The columns that any of the files has."""
    with layer.errors():
        return {name for schema in layer.schemas(files) for name in schema}


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
        if before is not None and times[0] <= before:
            raise _disorder(table, skipped, times[0], before)
        ticks = times.to_physical().to_numpy()
        if not (later := ticks[1:] > ticks[:-1]).all():
            row = int(later.argmin()) + 1
            raise _disorder(table, skipped + row, times[row], times[row - 1])
        before = times[-1]
        skipped += frame.height
        yield frame


def with_prices(frames: Iterator[pl.DataFrame], table: Table, skipped: int = 0) -> Iterator[pl.DataFrame]:
    """Pass frames through, refusing the first row that no account could trade at; arguments as for `in_order`."""
    for frame in frames:
        for name in _PRICES:
            prices = frame[name]
            if prices.null_count() or not 0 < cast("float", prices.min()) <= cast("float", prices.max()) < inf:
                row = int(prices.is_between(0, inf, closed="none").fill_null(value=False).arg_min() or 0)
                raise _bad_price(table, skipped + row, name, prices[row])
        skipped += frame.height
        yield frame


def _bad_price(table: Table, row: int, name: str, price: float | None) -> TableRefused:
    part, row = _located(table, row)
    return TableRefused(
        f"{part.file.key}: {name} of row {row + 1:,} is {price}; every bar needs prices above zero", _AGAIN
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
        f"{part.file.key}: datetime of row {row + 1:,} ({time}) {what} the row before ({before}); "
        "rows must be unique and in time order",
        _AGAIN,
    )


def _check_schema(file: LakeFile, schema: pl.Schema, columns: Mapping[str, pl.DataType]) -> None:
    missing = [name for name in columns if name not in schema]
    if missing:
        near = sorted({match for name in missing for match in get_close_matches(name, schema.names(), n=2)})
        there = f"it has similar ones: {', '.join(near)}" if near else f"it has {', '.join(schema.names())}"
        raise TableRefused(
            f"{file.key} lacks {counted(len(missing), 'column')}: {', '.join(missing)}; {there}",
            _AGAIN if FEATURES.keys() >= {*missing} else "give them to all files of the table, or to none",
        )
    for name, wanted in columns.items():
        if not _convertible(schema[name], wanted):
            raise TableRefused(f"{file.key}: column {name} is {schema[name]}, not {wanted} or a similar type", _AGAIN)


def _check_whole(layer: Layer, file: LakeFile, schema: pl.Schema, columns: Mapping[str, pl.DataType]) -> None:
    """Refuse the first value that a cast to the schema's integers would change or refuse: 1.5, infinity, 300."""
    for name, wanted in columns.items():
        if not wanted.is_integer() or schema[name] == wanted or isinstance(schema[name], pl.Null):
            continue
        value = pl.col(name).fill_nan(None) if schema[name].is_float() else pl.col(name)
        bad = value.is_not_null() & value.cast(wanted, strict=False).ne_missing(value)
        rows = layer.scan([file]).select(value).with_row_index("row", 1).filter(bad)
        for row, found in rows.head(1).collect(engine="streaming").iter_rows():
            raise TableRefused(
                f"{file.key}: {name} of row {row:,} is {found}; expected whole numbers, like 1 and -1 for a direction",
                _AGAIN,
            )


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
        if getattr(schema[name], "time_zone", None):
            column = column.dt.replace_time_zone(None)
        elif schema[name].is_float():
            column = column.fill_nan(None)
        casts.append(column.cast(wanted) if schema[name] != wanted else column)
    given = {name: schema[name] for name in columns}
    return layer.scan(files, schema=given, extra_columns="ignore", **options).select(casts)


def _parts(
    layer: Layer, files: Sequence[LakeFile], schemas: Mapping[str, pl.Schema], symbol: str
) -> Iterator[TablePart]:
    """Span and rows of every file that has any, measured on its times."""
    by_location = {file.location: file for file in files}
    spans: dict[str, list[tuple[int, datetime, datetime]]] = {}
    bad = pl.col("datetime").is_null() | pl.col("symbol").ne_missing(symbol)
    for group in _alike(files, schemas, _KEY):
        rows = _normalized(layer, group, schemas[group[0].key], _KEY, include_file_paths=_FILE)
        # Polars passes over row groups whose statistics say that every row has a time, and this symbol.
        for location in rows.filter(bad).head(1).collect(engine="streaming")[_FILE]:
            file = by_location[location]
            raise _bad_row(file, _normalized(layer, [file], schemas[file.key], _KEY), bad, symbol)
        # One plan for all files: Polars 2.1 was seen to hang in `collect_all` of many small ones. And no group_by:
        # to hash the file's name on every row takes longer than to read the times.
        for frame in whole_batches(rows.select(_FILE, "datetime"), symbol):
            for location, part in _by_file(frame):
                first, last = cast("tuple[datetime, datetime]", (part.min(), part.max()))
                spans.setdefault(location, []).append((part.len(), first, last))
    for location, found in spans.items():
        counts, firsts, lasts = zip(*found, strict=True)
        yield TablePart(by_location[location], sum(counts), min(firsts), max(lasts))


def _by_file(frame: pl.DataFrame) -> Iterator[tuple[str, pl.Series]]:
    """Times by file; as a rule a frame is of one."""
    names, times = frame[_FILE], frame["datetime"]
    if len(names) and names[0] == names[-1]:
        yield names[0], times
    else:
        for (name,), part in frame.group_by(_FILE, maintain_order=True):
            yield name, part["datetime"]


def _bad_row(file: LakeFile, rows: pl.LazyFrame, bad: pl.Expr, symbol: str) -> TableRefused:
    """The first row without a time, or with another symbol."""
    row, time, found = rows.with_row_index("row", 1).filter(bad).head(1).collect().row(0)
    if time is None:
        return TableRefused(f"{file.key}: datetime of row {row:,} is null, not its bar's open time", _AGAIN)
    return TableRefused(f"{file.key}: symbol of row {row:,} is {found!r}, not {symbol!r}", _AGAIN)
