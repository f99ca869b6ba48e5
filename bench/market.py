"""A simulated feature table of any length, laid out as Hermes does, made once for all peers."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.places import DATASET, feature_files
from hermes.lake.store import CODEC
from hermes.stages.gold.features import features

BLOCK = 2_000_000  # rows whose indicators are computed at once
LEAD = 2_000  # rows before them, so that every average has settled
MINUTE_US = 60_000_000
FIRST_US = 315_532_800_000_000  # 1980-01-01: 20 million minutes are 38 years


def bars(rows: int, seed: int = 7) -> pl.DataFrame:
    """A random walk of one-minute bars, in `schemas.SILVER`'s names as far as indicators need them."""
    random = np.random.default_rng(seed)
    close = random.normal(0, 0.0008, rows)
    np.exp(np.cumsum(close, out=close), out=close)
    close = np.round(close * 20_000, 2).clip(1)
    open_ = np.concatenate([[close[0]], close[:-1]])
    high = np.round(np.maximum(open_, close) * (1 + np.abs(random.normal(0, 0.0003, rows))), 2)
    low = np.round(np.minimum(open_, close) * (1 - np.abs(random.normal(0, 0.0003, rows))), 2)
    volume = np.round(random.gamma(2.0, 10.0, rows), 5)
    return pl.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}).select(
        (pl.int_range(rows) * MINUTE_US + FIRST_US).cast(pl.Datetime("us")).alias("datetime"),
        pl.lit(DATASET.symbol).alias("symbol"),
        pl.lit(DATASET.interval).alias("timeframe"),
        pl.all(),
    )


def make(lakes: Mapping[str, int]) -> Callable[[], dict[str, Any]]:
    """Make the longest of these lakes (folder → rows) in month files; the others share its first rows."""
    longest = max(lakes, key=lakes.__getitem__)
    rows = lakes[longest]

    def work() -> dict[str, Any]:
        table = bars(rows)
        begun = table.clear()  # a month whose end is in the next block
        for start in range(0, rows, BLOCK):
            lead = min(start, LEAD)
            block = features(table.slice(start - lead, BLOCK + lead).lazy()).collect().slice(lead)
            *whole, (period, begun) = _months(pl.concat([begun, block]) if begun.height else block)
            for key, month in whole:
                _write(longest, key, month)
        _write(longest, period, begun)
        for lake, wanted in lakes.items():
            if lake != longest:
                _share(longest, lake, wanted)
        return {"rows": rows}

    return work


def _months(table: pl.DataFrame) -> Iterator[tuple[tuple[int, int], pl.DataFrame]]:
    keyed = table.with_columns(year=pl.col("datetime").dt.year(), month=pl.col("datetime").dt.month())
    yield from keyed.partition_by("year", "month", as_dict=True, include_key=False, maintain_order=True).items()


def _write(lake: str, period: tuple[int, int], month: pl.DataFrame) -> None:
    path = Path(lake) / "gold" / DATASET.features_key(*period)
    path.parent.mkdir(parents=True)
    month.write_parquet(path, compression=CODEC)


def _share(longest: str, lake: str, wanted: int) -> None:
    """Hard-link the first `wanted` rows; the last file is cut."""
    for file in feature_files(longest):
        rows = pl.scan_parquet(file, hive_partitioning=False)
        height = rows.select(pl.len()).collect().item()
        path = Path(lake) / Path(file).relative_to(longest)
        path.parent.mkdir(parents=True)
        if height <= wanted:
            path.hardlink_to(file)
        else:
            rows.head(wanted).collect().write_parquet(path, compression=CODEC)
        wanted -= height
        if wanted <= 0:
            return
