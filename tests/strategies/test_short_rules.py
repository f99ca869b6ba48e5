"""Rules for shorts: their columns, the position they make, and what is refused."""

import polars as pl
import pytest

from hermes.errors import StrategyError
from hermes.stages.signals.plan import many_signals
from hermes.strategies.base import Strategy
from hermes.strategies.columns import decided_columns, output_schema
from hermes.strategies.contract import check_strategy
from hermes.testing import judged, simulated_bars


class Swing(Strategy):
    """Long above a moving average, short below it, flat near to it."""

    name = "swing"

    @property
    def columns(self):
        return ("sma_10",)

    @property
    def look_back(self):
        return 1

    def conditions(self):
        close, average = pl.col("close"), pl.col("sma_10")
        return {
            "rises": (close > average * 1.01) & (close.shift(1) <= average.shift(1) * 1.01),
            "falls": (close < average * 0.99) & (close.shift(1) >= average.shift(1) * 0.99),
            "near": (close / average - 1).abs() < 0.002,
        }

    def buy(self):
        return pl.col("rises")

    def sell(self):
        return pl.col("near")

    def short(self):
        return pl.col("falls")

    def cover(self):
        return pl.col("near")


class OneSided(Swing):
    name = "one_sided"

    def cover(self):
        return None


def plain_positions(rows):
    held = 0
    for buy, sell, short, cover in rows:
        long_in, short_in = buy and not sell, short and not cover
        if long_in and short_in:
            long_in = short_in = leave = False
        leave = (held == 1 and sell and not buy) or (held == -1 and cover and not short)
        if long_in or short_in:
            held = 1 if long_in else -1
        elif leave:
            held = 0
        yield held


SIGNALS = ("buy_signal", "sell_signal", "short_signal", "cover_signal")


@pytest.mark.parametrize("chunk_rows", [None, 1, 7, 100])
def test_the_position_may_be_minus_one_whatever_the_chunks(chunk_rows):
    made = judged(Swing(), simulated_bars(600), chunk_rows)
    assert made["position"].to_list() == list(plain_positions(made.select(SIGNALS).rows()))
    assert set(made["position"]) == {-1, 0, 1}


def test_the_columns_come_after_the_position():
    assert list(output_schema(Swing()))[-3:] == ["position", "short_signal", "cover_signal"]
    assert decided_columns(Swing())[-2:] == ["short_signal", "cover_signal"]


def test_many_signals_are_those_of_the_rows():
    made = judged(Swing(), simulated_bars(300))
    (found,) = many_signals(made, [Swing()])
    assert [each.tolist() for each in found] == [made[name].to_list() for name in SIGNALS]


def test_one_rule_for_shorts_without_the_other_is_refused():
    with pytest.raises(StrategyError, match=r"has short\(\) and no cover\(\)"):
        check_strategy(OneSided())
