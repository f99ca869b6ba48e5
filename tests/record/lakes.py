"""A lake that holds silver and a record of it."""

from pathlib import Path

import polars as pl
from tests.record.decisions import PARAMETERS

from hermes.lake.store import Lake
from hermes.record import ledger
from hermes.record.table import DecisionsTable
from hermes.schemas import SILVER
from hermes.settings import Settings


def settings_at(folder: Path) -> Settings:
    dataset = {"symbol": "SIMUSDT", "interval": "1h"}
    url = f"{folder}/lake/{{layer}}"
    return Settings.load({"lake.url": url}, dataset=dataset, strategy={"smart_momentum": PARAMETERS}, environ={})


def put_silver(settings: Settings, bars: pl.DataFrame) -> None:
    """Bring bars into silver as if they had been refined."""
    lake, dataset = Lake.open(settings), settings.dataset
    known = bars.with_columns(
        symbol=pl.lit(dataset.symbol), timeframe=pl.lit(dataset.interval), zero_volume=pl.lit(value=False)
    )
    rows = known.select(
        (pl.col(name) if name in known.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in SILVER.items()
    )
    for (year,), part in rows.group_by(pl.col("datetime").dt.year(), maintain_order=True):
        about = {"layer": "silver", "year": year, "fingerprint": "test", "rows": part.height}
        lake.silver.write(dataset.silver_key(year), part, about)


def put_record(settings: Settings, record: pl.DataFrame, *, hours: int = 12) -> DecisionsTable:
    """Publish a sealed record, as a service that was restarted every few hours would have."""
    lake = Lake.open(settings)
    chain = ledger.chain_of(settings.dataset, "smart_momentum")
    table = DecisionsTable.of(lake, chain)
    period = pl.col("server_time").dt.truncate(f"{hours}h")
    for _, part in record.group_by(period, maintain_order=True):
        table._create(f"{table.name}/{_folder(part)}/{part['hash'][0][:16]}.parquet", drop_empty(part))
    return table


def drop_empty(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(name for name in rows.columns if name in ledger._BEFORE or rows[name].null_count() < rows.height)


def _folder(rows: pl.DataFrame) -> str:
    day = rows["server_time"].dt.date()[0]
    return f"year={day.year}/month={day.month:02d}/day={day.day:02d}"
