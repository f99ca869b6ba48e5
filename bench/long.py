"""One long series: bronze of one-second bars, month by month, as ingest would have left it."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from bench.places import settings_of
from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.schemas import BRONZE

SECONDS = Dataset(symbol="SIMUSDT", interval="1s")
FIRST = date(2024, 1, 1)
_MS = 1_000


def make(lakes: Mapping[str, int]) -> Callable[[], dict[str, Any]]:
    """Bronze of so many rows in each of these lakes (folder → rows): whole months and a part of one."""

    def work() -> dict[str, Any]:
        for folder, wanted in lakes.items():
            lake = Lake.open(settings_of(folder, SECONDS))
            random, month, price = np.random.default_rng(7), FIRST, 20_000.0
            rows = wanted
            while rows > 0:
                after = (month + timedelta(31)).replace(day=1)
                height = min(rows, (after - month).days * 86_400)
                frame = _bars(random, month, height, price)
                price = frame["close"][-1]
                about = {"layer": "bronze", "sha256": f"{month}", "verified": True, "rows": height}
                lake.bronze.write(SECONDS.bronze_key(month), frame, about)
                rows -= height
                month = after
        return {}

    return work


def _bars(random: np.random.Generator, month: date, rows: int, price: float) -> pl.DataFrame:
    close = np.round(price * np.exp(np.cumsum(random.normal(0, 0.0001, rows))), 2)
    open_ = np.concatenate([[price], close[:-1]])
    volume = np.round(random.gamma(2.0, 1.0, rows), 5)
    begin = int(np.datetime64(month, "ms").astype(np.int64))
    opened = np.arange(rows, dtype=np.int64) * _MS + begin
    columns = {
        "open_time": opened,
        "open": open_,
        "high": np.round(np.maximum(open_, close) * 1.00005, 2),
        "low": np.round(np.minimum(open_, close) * 0.99995, 2),
        "close": close,
        "volume": volume,
        "close_time": opened + _MS - 1,
        "quote_volume": np.round(volume * close, 5),
        "count": np.full(rows, 9),
        "taker_buy_volume": np.round(volume / 2, 5),
        "taker_buy_quote_volume": np.round(volume * close / 2, 5),
    }
    frame = pl.DataFrame(columns).with_columns(line=pl.int_range(1, rows + 1), ignore=pl.lit("0"))
    return frame.select(pl.col(name).cast(dtype) for name, dtype in BRONZE.items())
