"""The signals of one table, made by Hermes and by others. Each function prepares and returns the work to measure.

All of them answer how many rows, buys and sells they wrote, and leave their file synced to the disk.
"""
# ruff: noqa: PLC0415 (a peer's process imports only what that peer needs)

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hermes.lake.backends.hash_records import sync

FAST, SLOW, RSI, DIRECTION = "ema_12", "ema_26", "rsi_14", "supertrend_dir_10_3.0"
PRICES = ["open", "high", "low", "close", "volume"]
CONDITIONS = ["ema_cross", "rsi_neutral", "st_bullish", "st_exit"]
WRITTEN = ["datetime", "symbol", *PRICES, "buy_signal", "sell_signal", *CONDITIONS, FAST, SLOW, RSI, DIRECTION]
STAMPS = {
    "strategy": "smart_momentum",
    "generated_at": "2025-01-01T00:00:00",
    "layer": "gold",
    "data_type": "trading_signals",
    "validated_return_pct": 1.0,
    "validated_sharpe_ratio": 1.0,
}
Peer = Callable[[], Mapping[str, int]]


def finished(lake: str) -> list[Path]:
    """The files of signals that Hermes wrote there, the latest one last."""
    return sorted(Path(lake, "gold").glob("trading_signals_*/*/signals.parquet"))


def take_away(*files: Path) -> None:
    """Remove what a run before left, and let the disk come to rest.

    So each peer writes a new file into memory that has just become free. A virtual machine gives free memory back to
    its host after a while, and asks for it anew page by page: that took up to half a second of whoever wrote next.
    """
    for file in files:
        file.unlink(missing_ok=True)
    os.sync()


def hermes(lake: str, chunk_rows: int = 100_000) -> Peer:
    """`hermes signals`: two passes, a backtest with both fills, lineage, hash, create-only publishing."""
    from bench.places import settings_of
    from hermes.lake.store import Lake
    from hermes.steps.signals import signals

    settings = settings_of(lake, **{"signals.chunk_rows": chunk_rows})
    take_away(*finished(lake))

    def work() -> Mapping[str, int]:
        tally = signals(settings, Lake.open(settings)).tally
        return {"rows": tally.rows, "buys": tally.buys, "sells": tally.sells}

    return work


def copy(lake: str, target: str) -> Peer:
    """Polars alone: scan the finished signals file, sink it with the same codec and row groups."""
    import polars as pl

    from hermes.stages.signals.generate import ROW_GROUP_ROWS

    take_away(Path(target))

    def work() -> Mapping[str, int]:
        pl.scan_parquet(finished(lake)[-1], hive_partitioning=False).sink_parquet(
            target, compression="snappy", row_group_size=ROW_GROUP_ROWS
        )
        sync(Path(target))
        return {}

    return work


def in_pandas(lake: str, target: str) -> Peer:
    """The rules in pandas, over the needed columns only; files are given to it in the order of time."""
    import pandas as pd

    from bench.places import feature_files

    files = feature_files(lake)
    take_away(Path(target))

    def work() -> Mapping[str, int]:
        needed = ["datetime", "symbol", *PRICES, FAST, SLOW, RSI, DIRECTION]
        table = pd.read_parquet(files, columns=needed, partitioning=None)
        table = pandas_signals(table)
        turn = table["buy_signal"].astype("int8") - table["sell_signal"].astype("int8")
        held = turn.where(turn != 0).ffill() > 0
        calendar = {"year": table["datetime"].dt.year, "month": table["datetime"].dt.month}
        table = table[WRITTEN].assign(**calendar, **STAMPS, position=held.astype("int8"))
        table.to_parquet(target, compression="snappy", index=False)
        sync(Path(target))
        return {"rows": len(table), "buys": int(table["buy_signal"].sum()), "sells": int(table["sell_signal"].sum())}

    return work


def pandas_signals(table: Any) -> Any:
    """The rules on a pandas frame; NaN compares false in pandas, so unknown never signals."""
    fast, slow, direction = table[FAST], table[SLOW], table[DIRECTION]
    table["ema_cross"] = (fast > slow) & (fast.shift(1) <= slow.shift(1))
    table["rsi_neutral"] = table[RSI].between(45, 55)
    table["st_bullish"] = direction == 1
    table["st_exit"] = (direction == -1) & (direction.shift(1) == 1)
    table["buy_signal"] = table["ema_cross"] & table["rsi_neutral"] & table["st_bullish"]
    table["sell_signal"] = table["st_exit"]
    return table


def notebook(lake: str, target: str, chunk_rows: int, only: int | None = None) -> Peer:
    """The original notebook's way, with its context corrected: each chunk sorts the whole table again in DuckDB.

    `only` measures that many chunks, evenly spread, instead of all, and writes nothing.
    """
    import duckdb
    import polars as pl

    from bench.places import DATASET, gold

    source = f"read_parquet('{gold(lake)}/**/*.parquet') WHERE symbol = '{DATASET.symbol}'"
    context_rows = 50
    take_away(Path(target))

    def rules(table: pl.DataFrame) -> pl.DataFrame:
        fast, slow, rsi, direction = (pl.col(name) for name in (FAST, SLOW, RSI, DIRECTION))
        return table.with_columns(
            ema_cross=((fast > slow) & (fast.shift(1) <= slow.shift(1))).fill_null(value=False),
            rsi_neutral=((rsi >= 45) & (rsi <= 55)).fill_null(value=False),
            st_bullish=(direction == 1).fill_null(value=False),
            st_exit=((direction.shift(1) == 1) & (direction == -1)).fill_null(value=False),
        ).with_columns(
            buy_signal=pl.col("ema_cross") & pl.col("rsi_neutral") & pl.col("st_bullish"), sell_signal=pl.col("st_exit")
        )

    def work() -> Mapping[str, int]:
        connection = duckdb.connect()
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {source}").fetchall()
        made, context = [], None
        offsets = range(0, rows, chunk_rows)
        for offset in offsets[:: -(-len(offsets) // only)] if only else offsets:
            query = f"SELECT * FROM {source} ORDER BY datetime LIMIT {chunk_rows} OFFSET {offset}"
            chunk = pl.from_arrow(connection.sql(query).to_arrow_table())
            window = chunk if context is None else pl.concat([context, chunk])
            made.append(rules(window).slice(window.height - chunk.height).select(WRITTEN))
            context = chunk.tail(context_rows)
        whole = pl.concat(made).with_columns(
            year=pl.col("datetime").dt.year(),
            month=pl.col("datetime").dt.month(),
            **{name: pl.lit(value) for name, value in STAMPS.items()},
        )
        if not only:
            connection.register("made", whole.to_arrow())
            copying = (
                f"COPY (SELECT * FROM made ORDER BY datetime) TO '{target}' (FORMAT PARQUET, COMPRESSION 'snappy')"
            )
            connection.execute(copying).fetchall()
            sync(Path(target))
        return {"rows": whole.height, "buys": int(whole["buy_signal"].sum()), "sells": int(whole["sell_signal"].sum())}

    return work
