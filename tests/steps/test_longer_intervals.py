"""Columns of a longer interval in a strategy: audited, compared with the longer archive, the same on real bars."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from hermes.lake.store import Lake
from hermes.pipeline import features
from hermes.schemas import SILVER
from hermes.settings import Settings
from hermes.stages.audit.lookahead import look_ahead
from hermes.stages.gold import features as features_module
from hermes.stages.gold.features import with_indicators
from hermes.stages.gold.timeframes import longer_bars
from hermes.steps.audit import QUICK_CUTS, audit
from hermes.steps.features import read_features

STRATEGY = """
import polars as pl
from hermes.strategies.base import Strategy

class Daily(Strategy):
    name = "daily"
    columns = ("ema_5@1d",)
    look_back = 1

    def conditions(self):
        above = pl.col("close") > pl.col("ema_5@1d")
        return {"is_above": above, "was_below": ~above.shift(1)}

    def buy(self):
        return pl.col("is_above") & pl.col("was_below")

    def sell(self):
        return ~pl.col("is_above") & ~pl.col("was_below")
"""


@pytest.fixture
def load(simulated_lake: Path, tmp_path: Path) -> Callable[..., Settings]:
    for layer in ("silver", "gold", "_hashes"):
        shutil.copytree(simulated_lake / layer, tmp_path / layer)
    (tmp_path / "daily.py").write_text(STRATEGY)
    named = {
        "lake.url": f"{tmp_path}/{{layer}}",
        "dataset.symbol": "SIMUSDT",
        "signals.strategy": f"{tmp_path}/daily.py",
    }

    def settings(**flags: str) -> Settings:
        return Settings.load(named | {name.replace("__", "."): value for name, value in flags.items()}, environ={})

    return settings


def early(patch: pytest.MonkeyPatch) -> None:
    """A longer bar is taken for known from its first moment on: what a join by open time does."""
    original = features_module.with_longer

    def with_longer(bars: pl.LazyFrame, interval: str, longer: str, names: Any, compute: Any) -> pl.LazyFrame:
        made = original(bars, interval, longer, names, compute).collect()
        columns = [f"{name}@{longer}" for name in names]
        day = pl.col("datetime").dt.truncate(longer)
        return made.lazy().with_columns(pl.col(columns).last().over(day))

    patch.setattr(features_module, "with_longer", with_longer)


def test_the_audit_finds_a_longer_bar_that_is_known_before_its_close(load, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load()
    honest = audit(settings, cuts=QUICK_CUTS)
    assert honest.faults == []
    assert honest.checks["rules"].verdict == "proven"
    assert honest.checks["columns"].verdict == "proven"
    early(monkeypatch)
    peeks = audit(settings, cuts=QUICK_CUTS).checks["cuts"]
    assert peeks.verdict == "fault", peeks
    assert "ema_5@1d at " in peeks.detail


def test_the_audit_finds_it_in_a_table_that_another_tool_filled(load, tmp_path: Path) -> None:
    trial = load(features__feature_set="test", features__columns="ema_5@1d")
    features(trial)
    for file in (tmp_path / "test").rglob("*.parquet"):
        rows, about = pl.read_parquet(file), pl.read_parquet_metadata(file)
        early_ones = pl.col("ema_5@1d").last().over(pl.col("datetime").dt.truncate("1d"))
        about.pop("ARROW:schema", None)
        rows.with_columns(early_ones).write_parquet(file, metadata=about)
    found = audit(trial, cuts=QUICK_CUTS).checks["columns"]
    assert found.verdict == "fault", found
    assert "ema_5@1d at " in found.detail


def test_longer_bars_are_compared_with_the_archive_of_the_longer_interval(load) -> None:
    settings = load()
    lake = Lake.open(settings)
    assert "archive's own" not in audit(settings, lake, cuts=QUICK_CUTS).checks["columns"].detail
    days = longer_bars(read_features(settings, lake), "1d").collect()
    put_silver(settings, lake, days)
    detail = audit(settings, lake, cuts=QUICK_CUTS).checks["columns"].detail
    assert f"{days.height:,} bars of 1d made of 4h are those of the archive's own 1d" in detail
    at = days["datetime"][7]
    put_silver(settings, lake, days.with_columns(high=pl.when(pl.col("datetime") == at).then(1e9).otherwise("high")))
    changed = audit(settings, lake, cuts=QUICK_CUTS)
    detail = changed.checks["columns"].detail
    assert (
        f"1 of {days.height:,} bars of 1d made of 4h differ from the archive's own 1d, first the high of {at}" in detail
    )
    assert "1000000000.0 there" in detail
    assert changed.faults == [], "the column is what the row's own bars give"


def put_silver(settings: Settings, lake: Lake, days: pl.DataFrame) -> None:
    """Bars of a day into silver, as if they had been refined."""
    dataset = replace(settings.dataset, interval="1d")
    known = days.with_columns(symbol=pl.lit(dataset.symbol), timeframe=pl.lit("1d"), zero_volume=pl.lit(value=False))
    rows = known.select(
        (pl.col(name) if name in known.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in SILVER.items()
    )
    for (year,), part in rows.group_by(pl.col("datetime").dt.year(), maintain_order=True):
        about = {"layer": "silver", "year": year, "fingerprint": "test", "rows": part.height}
        lake.silver.write(dataset.silver_key(year), part, about)


@pytest.fixture(scope="module")
def real_bars(real_lake: Path) -> pl.DataFrame:
    settings = Settings.load({"lake.url": f"{real_lake}/{{layer}}"}, environ={})
    return read_features(settings).select("datetime", "open", "high", "low", "close", "volume").collect()


def test_on_the_real_bars_it_is_what_a_plain_loop_makes(real_bars: pl.DataFrame) -> None:
    made = with_indicators(real_bars.lazy(), ["ema_50@1d"], "4h").collect()["ema_50@1d"]
    n, closes, average, expected = 50, list[float](), None, []
    rows = list(zip(real_bars["datetime"], real_bars["close"], strict=True))
    for at, (opens, close) in enumerate(rows):
        end = opens.replace(hour=0) + timedelta(days=1)
        over = opens + timedelta(hours=4) == end
        # The archive lacks bars: a day whose last rows are missing is known to be over at the next row's close.
        ended = [before for before in rows[at - 1 : at] if at and before[0].date() != opens.date()]
        for price in [before[1] for before in ended if before[0].hour != 20] + ([close] if over else []):
            closes.append(price)
            if len(closes) == n:
                average = sum(closes) / n
            elif average is not None:
                average += (price - average) * 2 / (n + 1)
        expected.append(average)
    for ours, theirs in zip(made, expected, strict=True):
        assert (ours is None) == (theirs is None)
        assert theirs is None or ours == pytest.approx(theirs, rel=1e-11)


def test_on_the_real_bars_200_cuts_find_no_look_ahead(real_bars: pl.DataFrame) -> None:
    def compute(bars: pl.DataFrame) -> pl.DataFrame:
        return with_indicators(bars.lazy(), ["ema_50@1d", "rsi_14@1w"], "4h").collect()

    random = Random(21)
    cuts = [random.randrange(1, real_bars.height) for _ in range(200)]
    assert look_ahead(real_bars, compute, cuts, compute(real_bars)) is None
