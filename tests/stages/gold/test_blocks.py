"""A block's features are those of the whole series, whatever comes after it."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes.schemas import INDICATORS
from hermes.stages.gold import blocks
from hermes.stages.gold.blocks import block_features
from hermes.stages.gold.features import features


def walk(rows: int, seed: int, still: tuple[int, int] = (0, 0)) -> pl.DataFrame:
    """Bars of a random walk; from `still[0]` up to `still[1]` nothing is traded."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, 0.001, rows)
    steps[slice(*still)] = 0
    close = 100 * np.exp(np.cumsum(steps))
    spread = np.abs(random.normal(0, 0.0005, (2, rows)))
    spread[:, slice(*still)] = 0
    return pl.DataFrame(
        {
            "datetime": [datetime(2024, 1, 1) + timedelta(seconds=number) for number in range(rows)],
            "symbol": "SIMUSDT",
            "timeframe": "1s",
            "open": close,
            "high": close * (1 + spread[0]),
            "low": close * (1 - spread[1]),
            "close": close,
            "volume": 1.0,
        }
    )


def made(bars: pl.DataFrame, begin: int, end: int) -> pl.DataFrame:
    return block_features(lambda first, after: bars.slice(first, after - first), begin, end)


def assert_same(found: pl.DataFrame, whole: pl.DataFrame) -> None:
    assert found.schema == whole.schema and found["datetime"].equals(whole["datetime"])
    for name in INDICATORS:
        if name.startswith("supertrend_dir"):
            assert found[name].equals(whole[name]), name
        else:
            one, other = (each[name].fill_null(float("nan")).to_numpy() for each in (found, whole))
            assert one == pytest.approx(other, rel=1e-8, abs=1e-8, nan_ok=True), name


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(0, 9_000), st.integers(1, 999))
def test_a_block_is_a_part_of_the_whole(monkeypatch, seed, begin, height):
    monkeypatch.setattr(blocks, "LEAD", 3_000)
    bars = walk(10_000, seed)
    assert_same(made(bars, begin, begin + height), features(bars.lazy()).collect().slice(begin, height))


@pytest.mark.parametrize("seed", range(12))
def test_the_lead_grows_until_what_is_before_it_is_forgotten(monkeypatch, seed):
    monkeypatch.setattr(blocks, "LEAD", 2_000)
    bars = walk(30_000, seed, still=(9_000, 26_000))  # a SuperTrend does not turn while nothing is traded
    read: list[int] = []

    def counted(first: int, after: int) -> pl.DataFrame:
        read.append(after - first)
        return bars.slice(first, after - first)

    begin = 26_001
    assert_same(block_features(counted, begin, 27_000), features(bars.lazy()).collect().slice(begin, 999))
    assert max(read) >= 26_001 or seed in (0, 6, 9)  # there it turns within the stretch, by rounding


def test_a_lead_too_short_is_found_out(monkeypatch):
    monkeypatch.setattr(blocks, "LEAD", 210)  # an ema_100 still remembers
    bars = walk(20_000, 3)
    read: list[int] = []
    block_features(lambda a, b: (read.append(b - a), bars.slice(a, b - a))[1], 15_000, 15_100)
    assert read[-1] >= 1_680 + 100


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(5_001, 9_999))
def test_bars_after_a_block_change_nothing(monkeypatch, seed, until):
    monkeypatch.setattr(blocks, "LEAD", 1_000)
    bars = walk(10_000, seed)
    assert made(bars.head(until), 5_000, until).equals(made(bars, 5_000, until))


def test_the_first_block_has_the_warm_up(monkeypatch):
    bars = walk(1_000, 1)
    assert made(bars, 0, 600).equals(features(bars.lazy()).collect().head(600))
