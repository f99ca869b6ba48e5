"""The families that TA-Lib does not have equal their formula in plain Python; what divides by zero is null."""

from math import log, sqrt

import polars as pl
import pytest
from tests.stages.gold.ta_lib_oracle import oracle

from hermes.indicators import column, look_back
from hermes.indicators.shipped import SHIPPED
from hermes.testing import simulated_bars

BARS = simulated_bars(400)
ROWS = BARS.rows(named=True)
CLOSES = [row["close"] for row in ROWS]


def returns(bar: int, n: int) -> float:
    return CLOSES[bar] / CLOSES[bar - n] - 1


def zscore(bar: int, n: int) -> float:
    part = CLOSES[bar - n + 1 : bar + 1]
    mean = sum(part) / n
    return (CLOSES[bar] - mean) / sqrt(sum((close - mean) ** 2 for close in part) / n)


def realized_volatility(bar: int, n: int) -> float:
    return sqrt(sum(log(CLOSES[at] / CLOSES[at - 1]) ** 2 for at in range(bar - n + 1, bar + 1)))


def vwap(bar: int, n: int) -> float:
    part = ROWS[bar - n + 1 : bar + 1]
    traded = sum((row["high"] + row["low"] + row["close"]) / 3 * row["volume"] for row in part)
    return traded / sum(row["volume"] for row in part)


@pytest.mark.parametrize("formula", [returns, zscore, realized_volatility, vwap])
@pytest.mark.parametrize("n", [2, 5, 30])
def test_equals_the_formula(formula, n: int) -> None:
    name = f"{formula.__name__}_{n}"
    made, first = BARS.select(column(name)).to_series(), look_back(name)
    assert made.head(first).null_count() == first
    for bar in range(first, BARS.height):
        assert made[bar] == pytest.approx(formula(bar, n), rel=1e-9, abs=1e-12)


def test_keltner_channels_are_the_ema_and_the_atr() -> None:
    prices = [BARS[side].to_numpy() for side in ("high", "low", "close")]
    middle, width = oracle("ema_20", *prices), oracle("atr_10", *prices)
    made = BARS.select(column("keltner_upper_20_10_2.5"), column("keltner_lower_20_10_2.5"))
    for side, expected in zip(made, (middle + 2.5 * width, middle - 2.5 * width), strict=True):
        assert side.equals(pl.Series(expected, nan_to_null=True))
    assert look_back("keltner_upper_20_10_2.5") == 19, "that of the longer one of both"
    assert look_back("keltner_upper_5_10_2.5") == 10


def test_what_divides_by_zero_is_null() -> None:
    flat = BARS.head(60).with_columns(close=pl.lit(0.1), volume=pl.lit(0.0))
    made = flat.select(column("zscore_7"), column("vwap_7"))
    assert made.null_count().row(0) == (60, 60)


def test_every_family_has_a_formula_and_a_source() -> None:
    for family in SHIPPED.values():
        assert family.formula
        assert family.source
        assert family.usage.startswith(family.name)
