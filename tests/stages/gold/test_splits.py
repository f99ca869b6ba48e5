"""Redenominations: prices before one are in the units after it, and the account does not see a jump."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from hermes.schemas import JUMP_FACTOR
from hermes.stages.gold.features import adjusted

START = datetime(2022, 1, 1)


def bars(*closes: float) -> pl.LazyFrame:
    times = [START + timedelta(days=number) for number in range(len(closes))]
    prices = {name: list(closes) for name in ("open", "high", "low", "close")}
    return pl.LazyFrame({"datetime": times, **prices, "volume": [1000.0] * len(closes)})


def test_prices_before_are_in_the_units_after_and_worth_the_same() -> None:
    # Ten old units become one on day 2, then a thousand old ones one on day 3.
    series = bars(1.0, 1.0, 10.0, 10_000.0)
    splits = [(START + timedelta(days=3), 1000.0), (START + timedelta(days=2), 10.0)]
    found = adjusted(series, splits).collect()
    assert found["close"].to_list() == pytest.approx([10_000.0] * 4)
    assert found["volume"].to_list() == pytest.approx([0.1, 0.1, 1.0, 1000.0])
    turnover = (series.collect()["close"] * series.collect()["volume"]).to_list()
    assert (found["close"] * found["volume"]).to_list() == pytest.approx(turnover)
    factor = found["open"] / found["close"].shift()
    assert not (factor >= JUMP_FACTOR).any()
    assert found.columns == series.collect_schema().names()


def test_without_a_split_bars_are_as_they_were() -> None:
    series = bars(1.0, 2.0)
    assert_frame_equal(adjusted(series, []).collect(), series.collect())
