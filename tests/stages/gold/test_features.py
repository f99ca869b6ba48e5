"""The feature table: TA-Lib's values on real bars, the published figures, a past that the future cannot change."""

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.gold.ta_lib_oracle import oracle

from hermes.indicators import column, look_back
from hermes.schemas import DATETIME, FEATURES, INDICATORS
from hermes.stages.gold.features import features


@pytest.fixture(scope="module")
def table(bars: pl.DataFrame) -> pl.DataFrame:
    return features(bars.lazy()).collect()


def test_the_contract(table: pl.DataFrame, bars: pl.DataFrame, published: dict) -> None:
    assert dict(table.schema) == dict(FEATURES)
    assert len(INDICATORS) == published["gold_features"]["indicators"]
    assert table.height == published["gold_features"]["rows"]
    unchanged = ["datetime", "symbol", "timeframe", "open", "high", "low", "close", "volume"]
    assert table.select(unchanged).equals(bars.select(unchanged))


@pytest.mark.parametrize("name", INDICATORS)
def test_equals_ta_lib_bit_for_bit_on_the_real_bars(table: pl.DataFrame, name: str) -> None:
    theirs = oracle(name, *(table[side].to_numpy() for side in ("high", "low", "close")))
    assert table[name].cast(pl.Float64).equals(pl.Series(theirs, nan_to_null=True))
    assert table[name].null_count() == table[name].head(look_back(name)).null_count() == look_back(name)


def test_the_published_figures(table: pl.DataFrame, published: dict) -> None:
    wanted = published["gold_features"]
    head, figures = table.head(5000), wanted["first_5000_rows"]
    fast, slow, rsi = pl.col("ema_12"), pl.col("ema_26"), pl.col("rsi_14")
    direction = pl.col("supertrend_dir_10_3.0")
    assert head["datetime"].max() == datetime.fromisoformat(figures["last_datetime"])
    counted = head.select(
        ema_fast_above_slow=(fast > slow).sum(),
        ema_cross=((fast > slow) & (fast.shift() <= slow.shift())).sum(),
        rsi_neutral=rsi.is_between(45, 55).sum(),
        supertrend_bullish=(direction == 1).sum(),
        supertrend_bearish=(direction == -1).sum(),
        supertrend_warm_up=direction.null_count(),
    ).row(0, named=True)
    assert counted == {name: figures[name] for name in counted}
    for row in wanted["tail"]:
        found = table.row(by_predicate=pl.col("datetime") == datetime.fromisoformat(row["datetime"]), named=True)
        assert found["close"] == row["close"]
        for name in ("sma_20", "ema_20", "rsi_14"):
            assert found[name] == pytest.approx(row[name], abs=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 5, 11, 200, 5000])
def test_the_first_rows_do_not_depend_on_later_ones(table: pl.DataFrame, bars: pl.DataFrame, rows: int) -> None:
    assert features(bars.head(rows).lazy()).collect().equals(table.head(rows))


def test_files_and_streaming_give_one_series(table: pl.DataFrame, bars: pl.DataFrame, tmp_path: Path) -> None:
    paths = []
    for (year,), part in bars.group_by(pl.col("datetime").dt.year(), maintain_order=True):
        paths.append(tmp_path / f"{year}.parquet")
        part.write_parquet(paths[-1], row_group_size=100)
    scanned = features(pl.scan_parquet(paths, glob=False, hive_partitioning=False))
    assert scanned.collect().equals(table)
    assert scanned.collect(engine="streaming").equals(table)
    scanned.sink_parquet(tmp_path / "sunk.parquet", row_group_size=1000)
    assert pl.read_parquet(tmp_path / "sunk.parquet").equals(table)


def test_is_what_the_single_expressions_give(table: pl.DataFrame) -> None:
    assert table.select(column(name) for name in INDICATORS).equals(table.select(*INDICATORS))


# From dust to hyperinflation, flat stretches included.
PRICES = st.floats(min_value=1e-300, max_value=1e100, exclude_max=True)
NEAR = st.sampled_from([0.5, 0.999, 1.0, 1.0, 1.001, 2.0])


@given(start=PRICES, steps=st.lists(NEAR, max_size=260), far=st.lists(PRICES, max_size=60), cut=st.integers(0, 320))
@settings(max_examples=25, deadline=None)
def test_no_prices_make_nan_or_change_the_past(start: float, steps: list[float], far: list[float], cut: int) -> None:
    closes = [start]
    for step in steps:
        closes.append(min(max(closes[-1] * step, 1e-300), 9e99))
    closes += far
    silver = pl.DataFrame({"close": closes}).select(
        datetime=pl.int_range(pl.len()).cast(DATETIME),
        symbol=pl.lit("XY"),
        timeframe=pl.lit("1s"),
        open="close",
        high="close",
        low=pl.col("close") / 2,
        close="close",
        volume=pl.lit(0.0),
    )
    table = features(silver.lazy()).collect()
    for name in INDICATORS:
        assert table[name].null_count() == min(table.height, look_back(name))
        assert not table[name].cast(pl.Float64).is_nan().any()
    assert features(silver.head(cut).lazy()).collect().equals(table.head(cut))
