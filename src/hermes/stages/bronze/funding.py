"""The archive's zips of funding rates → bronze rows, one per line."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from hermes.dataset import FundingRates
from hermes.schemas import BRONZE_FUNDING
from hermes.stages.bronze.klines import most_bytes, refuse, unzip
from hermes.text import counted

_CELLS = {name: dtype for name, dtype in BRONZE_FUNDING.items() if name != "line"}


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
        if line.count(b",") != len(_CELLS) - 1:
            refuse(stem, f"has {counted(line.count(b',') + 1, 'column')} on line {number}, not {len(_CELLS)}")
    if len(lines) == header:
        refuse(stem, "has no rows")
    try:
        rows = pl.read_csv(
            csv, has_header=False, skip_rows=header, schema=_CELLS, row_index_name="line", row_index_offset=1 + header
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
    return rows.select(BRONZE_FUNDING.keys())
