"""Every family equals TA-Lib, bit for bit, over a grid of parameters; names are read strictly; no value is NaN."""

import itertools
import random

import numpy as np
import polars as pl
import pytest
from tests.stages.gold.ta_lib_oracle import oracle

from hermes.errors import UnknownIndicator, UsageError
from hermes.indicators.columns import column, look_back, parse
from hermes.indicators.definition import MOST
from hermes.schemas import INDICATORS

PERIODS = (2, 3, 7, 14, 50)


def names() -> list[str]:
    one = [f"{family}_{n}" for family in ("sma", "ema", "rsi", "atr") for n in PERIODS]
    one += ["sma_1", "ema_1", "atr_1", "ema_500"]
    one += [f"donchian_{side}_{n}" for side in ("high", "low") for n in PERIODS]
    bands = [f"bb_{band}_{n}_{k}" for band in ("upper", "middle", "lower") for n in (2, 20) for k in ("0", "2", "2.5")]
    triples = ("12_26_9", "2_3_1", "5_35_5")
    lines = [f"macd{line}_{values}" for line in ("", "_signal", "_hist") for values in triples]
    stoch = [f"stoch_{line}_{k}_{d}" for line in "kd" for k, d in itertools.product((1, 5, 14), (1, 3))]
    trend = [f"supertrend{dr}_{n}_{m}" for dr in ("", "_dir") for n in (2, 7, 14) for m in ("0.5", "2.5", "3")]
    volume = ["obv", *(f"{family}_{n}" for family in ("mfi", "adx", "cci") for n in PERIODS)]
    return one + bands + lines + stoch + trend + volume


@pytest.fixture(scope="module")
def walk() -> pl.DataFrame:
    """1,000 bars of a random walk with flat stretches, seeded."""
    rng = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(np.where(rng.random(1000) < 0.2, 0, rng.normal(0, 0.01, 1000))))
    high, low = close * (1 + rng.random(1000) / 90), close * (1 - rng.random(1000) / 90)
    return pl.DataFrame({"high": high, "low": low, "close": close, "volume": rng.lognormal(3, 1, 1000)})


@pytest.mark.parametrize("name", names())
def test_equals_ta_lib_bit_for_bit(walk: pl.DataFrame, name: str) -> None:
    ours = walk.select(column(name)).to_series()
    assert ours.name == name
    assert ours.dtype == (pl.Int8 if "_dir_" in name else pl.Float64)
    theirs = pl.Series(
        oracle(name, *(walk[side].to_numpy() for side in ("high", "low", "close", "volume"))), nan_to_null=True
    )
    assert ours.cast(pl.Float64).equals(theirs)
    assert ours.null_count() == look_back(name), "the look-back is the warm-up, no more and no less"
    assert ours.slice(look_back(name)).null_count() == 0


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_a_series_shorter_than_the_period_is_all_null(walk: pl.DataFrame, rows: int) -> None:
    long = [name for name in names() if look_back(name) >= 5]
    assert len(long) > 30
    short = walk.head(rows).select(column(name) for name in long)
    assert short.height == rows
    assert all(column.null_count() == rows for column in short)


@pytest.mark.parametrize("hole", [None, float("nan")])
@pytest.mark.parametrize("at", [0, 30, 99])
def test_a_hole_in_the_bars_never_becomes_nan_or_a_number_out_of_it(
    walk: pl.DataFrame, hole: float | None, at: int
) -> None:
    row = pl.int_range(pl.len())
    holed = walk.head(100).with_columns(pl.when(row != at).then(pl.all()).otherwise(pl.lit(hole, pl.Float64)))
    found = holed.select(column(name) for name in names() if "dir" not in name)
    assert not any(column.is_nan().any() for column in found)
    assert found.row(at) == (None,) * found.width
    assert found.head(at).equals(walk.head(100).select(column(name) for name in names() if "dir" not in name).head(at))


def test_one_call_over_many_chunks_and_morsels_is_one_series(walk: pl.DataFrame) -> None:
    wanted = [column(name) for name in ("ema_12", "rsi_14", "supertrend_dir_10_3.0", "macd_hist_12_26_9")]
    whole = walk.select(wanted)
    chunked = pl.concat([walk.slice(start, 37) for start in range(0, 1000, 37)], rechunk=False)
    assert chunked.n_chunks() > 20
    assert chunked.select(wanted).equals(whole)
    assert chunked.lazy().select(wanted).collect(engine="streaming").equals(whole)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("emma_12", "did you mean ema_12"),
        ("bb_uper_20_2", "did you mean bb_upper_20_2"),
        ("close", "it can be sma_N, ema_N"),
        ("", "it can be"),
        ("ema", "it takes N from 1 to 100000 (whole)"),
        ("ema_", "it can be"),
        ("EMA_12", "did you mean ema_12"),
        ("ema_cross", "it can be"),
        ("supertrend_10_-1", "N from 2 to 100000 (whole), M from 0 to 100000"),
        ("ema_012", "it takes N from 1 to 100000 (whole)"),
        ("ema_-5", "it takes N from 1 to 100000 (whole)"),
        ("ema_12\n", "it takes N from 1 to 100000 (whole)"),
        ("ema_٣", "it takes N from 1 to 100000 (whole)"),
        ("ema_" + "9" * 5000, "it takes N from 1 to 100000 (whole)"),
        ("ema_1.5", "N from 1 to 100000 (whole)"),
        ("ema_0", "N from 1 to 100000"),
        ("ema_100001", "N from 1 to 100000"),
        ("rsi_1", "N from 2 to 100000"),
        ("ema_12_26", "not a valid ema_N"),
        ("bb_upper_20", "not a valid bb_upper_N_K"),
        ("supertrend_1_3.0", "not a valid supertrend_N_M"),
        ("macd_26_12_9", "F below S"),
        ("macd_12_12_9", "F below S"),
    ],
)
def test_refuses_what_it_cannot_make(name: str, words: str) -> None:
    with pytest.raises(UnknownIndicator) as refused:
        column(name)
    assert words in str(refused.value)
    assert len(refused.value.message) < 150
    assert isinstance(refused.value, UsageError)


def test_ta_lib_takes_every_limit_that_names_allow(walk: pl.DataFrame) -> None:
    limits = [f"{family}_{MOST}" for family in ("sma", "ema", "rsi", "atr", "donchian_high")]
    limits += ["rsi_2", "donchian_low_2", f"bb_lower_{MOST}_{MOST}", f"supertrend_{MOST}_{MOST}", "supertrend_2_0"]
    limits += [f"stoch_k_{MOST}_{MOST}", f"macd_{MOST - 1}_{MOST}_{MOST}"]
    random.Random(1).shuffle(limits)
    assert walk.select(column(name) for name in limits).height == walk.height


def test_multipliers_may_be_written_either_way(walk: pl.DataFrame) -> None:
    both = walk.select(column("supertrend_10_3"), column("supertrend_10_3.0"))
    assert both.columns == ["supertrend_10_3", "supertrend_10_3.0"]
    assert both["supertrend_10_3"].equals(both["supertrend_10_3.0"])


def test_columns_of_one_call_share_it() -> None:
    keys = {name: parse(name).key for name in INDICATORS}
    assert len(set(keys.values())) == 17
    assert keys["bb_upper_20_2"] == keys["bb_lower_20_2"] == parse("bb_middle_20_2.0").key
    assert parse("supertrend_dir_10_3").key == keys["supertrend_10_3.0"] != parse("supertrend_10_2.0").key
