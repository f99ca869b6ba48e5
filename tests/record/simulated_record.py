"""Records of a simulated market, for the tests of this folder."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from hermes.dataset import Dataset
from hermes.record import ledger
from hermes.strategies.smart_momentum import SmartMomentum

START = datetime(2025, 3, 1)
DATASET = Dataset(interval="1h", symbol="SIMUSDT")
STRATEGY = SmartMomentum()


def judged(bars: int, *, seed: int = 1, start: datetime = START) -> pl.DataFrame:
    """Bars with everything that a strategy's judgement adds to them; about a tenth has no indicator yet."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, bars)))
    flags = {name: random.random(bars) > 0.7 for name in (*STRATEGY.conditions(), "buy_signal", "sell_signal")}
    warm = pl.int_range(bars, eager=True) >= bars // 10
    return pl.DataFrame(
        {
            "datetime": [start + timedelta(hours=n) for n in range(bars)],
            "open": close * 0.999,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": random.random(bars) * 10.0 ** random.integers(-9, 20, bars),
            **{name: close * (1 + random.random()) for name in STRATEGY.columns[:3]},
            STRATEGY.columns[3]: random.integers(0, 2, bars) * 2 - 1,
            **flags,
            "position": random.integers(0, 2, bars),
        },
        schema_overrides={"datetime": pl.Datetime("us")},
    ).with_columns(pl.when(warm).then(pl.col(STRATEGY.columns)))


def decided(bars: pl.DataFrame, *, dataset: Dataset = DATASET, after: float = 0.4) -> pl.DataFrame:
    """One row for each bar, each decided on `after` seconds after its close."""
    close = pl.col("datetime").dt.offset_by(dataset.interval)
    known = close + pl.duration(microseconds=round(after * 1_000_000))
    rows = ledger.decisions(bars, dataset, STRATEGY, decided_at=START, server_time=START, late_seconds=60)
    return rows.with_columns(decided_at=known, server_time=known, late=pl.lit(after > 60))


def record(bars: int = 100, *, symbol: str = "SIMUSDT", seed: int = 1) -> pl.DataFrame:
    """A sealed record of one symbol."""
    return ledger.seal(decided(judged(bars, seed=seed), dataset=DATASET.with_symbol(symbol)), {}).rows
