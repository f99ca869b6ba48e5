"""Bronze funding rates → one clean series: to the minute, in order, each instant once."""

from collections.abc import Sequence

import polars as pl

from hermes.schemas import SILVER_FUNDING


def clean_funding(files: Sequence[tuple[str, pl.DataFrame]], symbol: str) -> tuple[pl.DataFrame, int]:
    """The rates of a contract in `schemas.SILVER_FUNDING`, and at how many instants files name different ones.

    Args:
        files: what each is called, and its rows (`schemas.BRONZE_FUNDING`); of an instant the last one counts.
    """
    if not files:
        return pl.DataFrame(schema=SILVER_FUNDING), 0
    time = pl.from_epoch("calc_time", time_unit="ms").cast(pl.Datetime("us")).dt.round("1m")
    rows = pl.concat([rows.with_columns(source=pl.lit(name)) for name, rows in files]).select(
        datetime=time,
        symbol=pl.lit(symbol),
        rate="last_funding_rate",
        interval_hours="funding_interval_hours",
        source="source",
    )
    differing = rows.group_by("datetime").agg(pl.col("rate").n_unique()).filter(pl.col("rate") > 1).height
    kept = rows.unique("datetime", keep="last", maintain_order=True).sort("datetime")
    return kept.cast(dict(SILVER_FUNDING)), differing  # type: ignore[arg-type]
