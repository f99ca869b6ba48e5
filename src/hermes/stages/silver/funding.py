"""Bronze funding rates → one clean series: to the minute, in order, each instant once."""

from collections.abc import Mapping

import polars as pl

from hermes.schemas import SILVER_FUNDING


def clean_funding(files: Mapping[str, pl.DataFrame], symbol: str) -> pl.DataFrame:
    """The rates of a contract in `schemas.SILVER_FUNDING`.

    Args:
        files: rows (`schemas.BRONZE_FUNDING`) by the stem of their archive file.

    Where two files name one instant, the later file counts.
    """
    parts = [rows.with_columns(source=pl.lit(stem)) for stem, rows in sorted(files.items())]
    if not parts:
        return pl.DataFrame(schema=SILVER_FUNDING)
    time = pl.from_epoch("calc_time", time_unit="ms").cast(pl.Datetime("us")).dt.round("1m")
    rows = pl.concat(parts).select(
        datetime=time,
        symbol=pl.lit(symbol),
        rate="last_funding_rate",
        interval_hours="funding_interval_hours",
        source="source",
    )
    kept = rows.unique("datetime", keep="last", maintain_order=True).sort("datetime")
    return kept.cast(dict(SILVER_FUNDING))  # type: ignore[arg-type]
