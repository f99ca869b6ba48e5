"""Zip bytes of the exchange's archive (klines, funding rates) → bronze rows, values unchanged.

A file that cannot be trusted is refused.
"""

import io
import re
import zipfile
import zlib
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn, cast

import polars as pl

from hermes.dataset import Dataset, FundingRates
from hermes.errors import KlinesRefused
from hermes.schemas import BRONZE, BRONZE_FUNDING, MILLISECONDS_BELOW, as_microseconds
from hermes.text import counted

FIRST_YEAR = 2017  # the exchange opened in July 2017
SPAN = "span"
ROW_BYTES = 512  # several times the longest line seen, so that repeated rows still fit under the size cap

_CELLS = {name: dtype for name, dtype in BRONZE.items() if name != "line"}
_FUNDING_CELLS = {name: dtype for name, dtype in BRONZE_FUNDING.items() if name != "line"}
_HEADER = re.compile(rb"[^\d,\n]*[A-Za-z][^\d\n]*(\n|\Z)")  # words and not one digit: no row of klines looks like that
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, OverflowError)


def read_zip(data: bytes, dataset: Dataset, period: date) -> pl.DataFrame:
    """Rows of one archive file, in the columns and types of `schemas.BRONZE`, in the file's own order.

    Args:
        data: the zip as downloaded.
        dataset: the series; its data frequency says whether the file spans a month or a day.
        period: first day of the file's month or day.

    Returns:
        One row per CSV line. Times stay in the file's own unit: milliseconds below 1e14, else microseconds. Empty
        cells are null; NaN and infinite numbers pass, for silver to quarantine.

    Raises:
        KlinesRefused: zip, member, columns, numbers, time unit or period are not those of this file.
    """
    stem = dataset.archive_stem(period)
    rows = parse(unzip(data, stem, limit=most_bytes(dataset, period)), stem)
    _check_times(rows["open_time"], stem, period, _end(dataset, period))
    return rows


def made_at(rows: pl.DataFrame, dataset: Dataset, period: date, at: datetime, modified: datetime | None) -> datetime:
    """The latest instant (UTC) at which an archive file can have been made: a later bar was still open.

    Args:
        rows: from `read_zip`.
        at: when the file was fetched; modified: when it was last changed, by the archive. The earlier one counts, but
            no file can have been made before the newest of its bars began: such a `modified` says nothing.
    """
    if modified is None:
        return at
    times = rows["open_time"]
    scale = 1_000 if cast(int, times.min()) < MILLISECONDS_BELOW else 1_000_000
    newest = times.filter(times < epoch(_end(dataset, period)) * scale).max()
    begun = newest is None or modified.timestamp() * scale >= cast(int, newest)
    return min(at, modified) if begun else at


def span_of(rows: pl.DataFrame) -> dict[str, list[int]]:
    """What a footer says of the first and the last open time (microseconds), by `SPAN`; nothing where there is none.

    Args:
        rows: as `schemas.BRONZE`, in any order.
    """
    ends = [rows["open_time"].min(), rows["open_time"].max()]
    times = [as_microseconds(time) for time in ends if isinstance(time, int)]
    return {SPAN: times} if times else {}


def most_bytes(dataset: Dataset, period: date) -> int:
    """The size limit for the file of a period: a larger zip or CSV is not read to its end."""
    bars = (_end(dataset, period) - period).days * 86400 // dataset.interval_seconds
    return (bars + 128) * ROW_BYTES


def _end(dataset: Dataset, period: date) -> date:
    return period + timedelta(1) if dataset.data_frequency == "daily" else (period + timedelta(31)).replace(day=1)


def unzip(data: bytes, stem: str, limit: int) -> bytes:
    """Bytes of the only member, read in memory up to `limit` whatever sizes the zip claims."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if [member.filename for member in members] != [f"{stem}.csv"]:
                names = ", ".join(repr(member.filename[:80]) for member in members[:3])
                refuse(stem, f"holds {counted(len(members), 'file')} ({names}), not exactly one named {stem}.csv")
            member = members[0]
            # Python bounds what it unpacks per call for these two methods only.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                refuse(stem, f"is packed by method {member.compress_type}, not stored or deflated")
            with archive.open(member) as stream:
                csv = stream.read(limit + 1)
    except _ZIP_ERRORS as error:
        refuse(stem, f"is not a valid zip: {error}", error)
    if len(csv) > limit:
        refuse(stem, f"unpacks to more than {limit:,} bytes, too many for its period")
    if len(csv) != member.file_size:
        refuse(stem, f"claims {member.file_size:,} bytes and unpacks to {len(csv):,}")
    return csv


def parse(csv: bytes, stem: str) -> pl.DataFrame:
    """Every line of the CSV bound to the columns by position; a header, where there is one, only counts as a line.

    Raises:
        KlinesRefused: columns, text or numbers are not those of klines; `stem` names the file.
    """
    csv = csv.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    header = int(_HEADER.match(csv) is not None)
    # Polars would fill short lines with nulls and skip blank ones, so the columns are counted here.
    for number, line in enumerate(io.BytesIO(csv), 1):
        if line.count(b",") != len(_CELLS) - 1:
            refuse(stem, f"has {counted(line.count(b',') + 1, 'column')} on line {number}, not {len(_CELLS)}")
    if csv.count(b"\n") + 1 == header or not csv:
        refuse(stem, "has no rows")
    if not csv.isascii():
        refuse(stem, "has bytes that are not plain text")
    try:
        return _read_csv(csv, header, _CELLS)
    except pl.exceptions.PolarsError as error:
        refuse(stem, _first_bad_cell(csv, header), error)


def _read_csv(csv: bytes, header: int, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.read_csv(
        csv,
        has_header=False,
        skip_rows=header,
        schema=columns,
        quote_char=None,
        row_index_name="line",
        row_index_offset=1 + header,
    )


def _first_bad_cell(csv: bytes, header: int) -> str:
    """Describe the first cell that is not a number of its column's type, for the error about the file."""
    text = _read_csv(csv, header, dict.fromkeys(_CELLS, pl.String()))
    for name, dtype in _CELLS.items():
        cell = pl.col(name).str.strip_chars_start(" \t")  # as the CSV reader does, for which blanks are empty
        bad = text.filter(cell.ne("") & cell.cast(dtype, strict=False).is_null())
        if len(bad):
            whole = "whole " if dtype == pl.Int64 else ""
            return f"has {bad[name][0][:40]!r} on line {bad['line'][0]} in column {name}, not a {whole}number"
    return "has a cell that is not a number"


def _check_times(times: pl.Series, stem: str, period: date, end: date) -> None:
    """Check for one unit, known years, and a row in [period, end). Silver handles nulls and single outliers."""
    low, high = cast(int | None, times.min()), cast(int | None, times.max())
    if low is None or high is None:
        refuse(stem, "has no open_time at all")
    if (low < MILLISECONDS_BELOW) != (high < MILLISECONDS_BELOW):
        refuse(stem, f"has open_time from {low} to {high}: milliseconds and microseconds are mixed")
    per_second = 1_000 if low < MILLISECONDS_BELOW else 1_000_000
    next_year = datetime.now(UTC).year + 1
    first, last = (epoch(date(year, 1, 1)) * per_second for year in (FIRST_YEAR, next_year + 1))
    if low < first or high >= last:
        stray = low if low < first else high
        refuse(
            stem,
            f"has open_time {stray}, no time from {FIRST_YEAR} to {next_year} in milliseconds or microseconds",
        )
    if not times.is_between(epoch(period) * per_second, epoch(end) * per_second, closed="left").any():
        seen = datetime.fromtimestamp(low / per_second, UTC)
        refuse(stem, f"starts at {seen:%Y-%m-%d} and has no row from {period} to before {end}")


def epoch(day: date) -> int:
    """Seconds from 1970 to the start of `day`, UTC."""
    return (day - date(1970, 1, 1)).days * 86400


def refuse(stem: str, why: str, error: Exception | None = None) -> NoReturn:
    """Refuse the archive file of this name."""
    raise KlinesRefused(
        f"{stem}.zip {why}", f"download it again; if it stays so, leave it out: --exclude {stem}"
    ) from error


def read_funding(data: bytes, rates: FundingRates, period: date) -> pl.DataFrame:
    """Rows of one archive file, in the columns and types of `schemas.BRONZE_FUNDING`, in the file's own order.

    Args:
        data: the zip as downloaded; period: first day of its month.

    Raises:
        KlinesRefused: zip, member, columns, numbers or times are not those of this file.
    """
    stem = rates.archive_stem(period)
    csv = unzip(data, stem, limit=most_bytes(rates, period)).removeprefix(b"\xef\xbb\xbf").strip()
    lines = csv.splitlines()
    header = int(bool(lines) and lines[0].startswith(b"calc_time"))
    for number, line in enumerate(lines, 1):
        if line.count(b",") != len(_FUNDING_CELLS) - 1:
            refuse(stem, f"has {counted(line.count(b',') + 1, 'column')} on line {number}, not {len(_FUNDING_CELLS)}")
    if len(lines) == header:
        refuse(stem, "has no rows")
    try:
        rows = pl.read_csv(
            csv,
            has_header=False,
            skip_rows=header,
            schema=_FUNDING_CELLS,
            row_index_name="line",
            row_index_offset=1 + header,
        )
    except pl.exceptions.PolarsError as error:
        refuse(stem, "has a cell that is not a number", error)
    known = pl.all_horizontal(pl.all().is_not_null()) & pl.col("last_funding_rate").is_between(-1, 1)
    if bad := rows.filter(~known.fill_null(value=False)).head(1).to_dicts():
        refuse(stem, f"has no rate between -1 and 1 on line {bad[0]['line']}")
    begin = datetime(period.year, period.month, 1, tzinfo=UTC)
    end = (begin + timedelta(31)).replace(day=1) + timedelta(minutes=1)
    times = rows["calc_time"]
    if not times.is_between(int(begin.timestamp()) * 1000, int(end.timestamp()) * 1000).all():
        refuse(stem, "has times outside its month, or not in milliseconds")
    minute = pl.from_epoch("calc_time", time_unit="ms").dt.round("1m").alias("at")
    twice = rows.group_by(minute).agg(rates=pl.col("last_funding_rate").n_unique()).filter(pl.col("rates") > 1)
    if twice.height:
        first: datetime = twice.sort("at")["at"][0]
        refuse(stem, f"has several rates for {first:%Y-%m-%d %H:%M}")
    return rows.select(BRONZE_FUNDING.keys())
