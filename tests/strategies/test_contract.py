"""What a strategy can get wrong in its rules: each in one clear line; and its input is out of its reach."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from hermes.errors import StrategyError
from hermes.strategies import base
from hermes.strategies.contract import check_strategy
from hermes.testing import judged, simulated_bars

CLOSE = pl.col("close")


class Mine(base.Strategy):
    """Keeps its contract; tests replace one part of it."""

    name = "mine"
    columns: Any = ("ema_9",)
    look_back: Any = 1

    def conditions(self) -> Any:
        return {"up": pl.col("ema_9") < CLOSE}

    def buy(self) -> Any:
        return pl.col("up")

    def sell(self) -> Any:
        return ~pl.col("up")


def mine(**parts: Any) -> base.Strategy:
    return type("Mine", (Mine,), parts)()


def rule(expression: Any) -> base.Strategy:
    """Its only condition is this."""
    return mine(conditions=lambda _: {"up": expression})


def raises(_: object) -> None:
    raise RuntimeError("first\nsecond")


def refused(strategy: base.Strategy, do: Callable = check_strategy) -> str:
    with pytest.raises(StrategyError) as error:
        do(strategy)
    assert error.value.cure
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("mine: ")
    return str(error.value)


def test_a_strategy_that_keeps_it():
    check_strategy(mine())
    check_strategy(mine(columns=[], conditions=lambda _: {}, buy=lambda _: CLOSE > 1, sell=lambda _: pl.lit(None)))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"columns": "ema_9"}, "columns gives 'ema_9' → expected a tuple of names"),
        ({"columns": ("ema_9", 7)}, "columns gives ('ema_9', 7)"),
        ({"columns": None}, "columns gives None"),
        ({"columns": lambda _: ("ema_9",)}, "columns gives"),
        ({"columns": property(raises)}, "columns raised RuntimeError: first"),
        ({"columns": ("ema_9", "close")}, "columns lists close, which every"),
        ({"columns": ("ema_9", "position")}, "columns lists position, which every"),
        ({"look_back": -1}, "look_back gives -1 → expected a whole number"),
        ({"look_back": 1.0}, "look_back gives 1.0"),
        ({"look_back": True}, "look_back gives True"),
        ({"look_back": None}, "look_back gives None"),
        ({"look_back": property(raises)}, "look_back raised RuntimeError"),
        ({"conditions": lambda _: [CLOSE > 1]}, "conditions gives"),
        ({"conditions": lambda _: {1: CLOSE > 1}}, "conditions gives"),
        ({"conditions": lambda _: {"up": True}}, "condition 'up' gives True → expected a Polars expression"),
        ({"conditions": lambda _: {"up": pl.Series([True])}}, "condition 'up' gives Series"),
        ({"conditions": raises}, "conditions raised RuntimeError: first"),
        ({"conditions": lambda _: {"up": [x for x in CLOSE]}}, "conditions raised TypeError"),  # noqa: C416
        ({"conditions": lambda _: {"up": CLOSE > 1 and CLOSE < 2}}, "conditions raised TypeError"),
        ({"buy": lambda _: "up"}, "buy() gives 'up' → expected a Polars expression"),
        ({"buy": lambda _: None}, "buy() gives None"),
        ({"sell": raises}, "sell raised RuntimeError"),
        ({"buy": lambda _: pl.col("upp")}, "buy() uses upp, which is not declared → add it to columns, or use"),
        ({"sell": lambda _: CLOSE + 1}, "sell() gives Float64 → expected a Boolean"),
        ({"ranks": lambda _: [CLOSE]}, "ranks gives"),
        ({"ranks": lambda _: {"r": 1}}, "rank 'r' gives 1 → expected a Polars expression"),
        ({"ranks": lambda _: {"r": pl.col("upp")}}, "rank 'r' uses upp, which is not declared"),
        ({"ranks": lambda _: {"r": CLOSE.cast(pl.String)}}, "rank 'r' gives String → expected a number"),
    ],
)  # fmt: skip
def test_parts_of_a_wrong_type(parts: dict, said: str):
    assert said in refused(mine(**parts))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (pl.col("rsi_14") > pl.col("ema_21"), "condition 'up' uses rsi_14, ema_21, which is not declared"),
        (pl.col("close").over("symbol") > 1, "uses symbol"),
        (pl.all() > 1, "selects columns by a pattern"),
        (pl.all_horizontal(pl.col("^ema.*$") > 1), "selects columns by a pattern"),
        (CLOSE, "gives Float64"),
        (CLOSE.cast(pl.Int8), "gives Int8"),
        (CLOSE.cast(pl.String), "gives String"),
        (CLOSE.struct.field("x") > 1, "cannot be computed"),
        (CLOSE.filter(CLOSE > 1) > 1, "changes the number of rows"),
        (CLOSE.head(5) > 1, "changes the number of rows"),
        (CLOSE.repeat_by(2).explode() > 1, "changes the number of rows"),
        (CLOSE.map_elements(bool, return_dtype=pl.Boolean), "calls a Python function for every row"),
        (CLOSE.rolling_map(lambda s: s.sum(), 3) > 1, "calls a Python function for every row"),
        (pl.struct("close").map_elements(bool, return_dtype=pl.Boolean), "calls a Python function"),
    ],
)
@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_rules_that_cannot_be_rules(expression: pl.Expr, said: str):
    assert said in refused(rule(expression))


@pytest.mark.parametrize("name", ["close", "datetime", "symbol", "buy_signal", "position", "year", "strategy", "ema_9"])
def test_a_condition_cannot_take_the_name_of_a_column(name: str):
    told = refused(mine(conditions=lambda _: {name: CLOSE > 1}))
    assert f"condition {name} has the name of another column" in told


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (CLOSE.str.to_uppercase() == "X", "expected `String`"),
        ((CLOSE * 1e9).cast(pl.Int8) > 1, "conversion from `f64` to `i8` failed"),
        (CLOSE.map_batches(lambda s: s.head(3) > 1, return_dtype=pl.Boolean), "length"),
        (CLOSE.map_batches(lambda s: s, return_dtype=pl.Boolean), "expected output type"),
        (CLOSE.map_batches(lambda _: 5, return_dtype=pl.Boolean), "must return a Series"),
        (CLOSE.map_batches(raises, return_dtype=pl.Boolean), "first"),
    ],
)
def test_rules_that_fail_on_the_data_name_the_rule_and_the_bars(expression: pl.Expr, said: str):
    strategy = mine(conditions=lambda _: {"fine": CLOSE > 1, "up": expression})
    told = refused(strategy, lambda each: judged(each, simulated_bars(50)))
    assert told.startswith("mine: up fails on the bars 2020-01-01 00:00:00 to 2020-01-09 04:00:00: ")
    assert said in told


def test_a_rule_that_writes_into_its_input_hurts_nobody():
    """A Series handed to Python is copied when it is written to; its memory is read-only for NumPy."""
    bars = simulated_bars(60)
    before = bars.clone().to_dicts()
    tried = []

    def writes(values: pl.Series) -> pl.Series:
        values[0] = -1.0
        values.extend(values)
        with pytest.raises(ValueError, match="read-only"):
            values.to_numpy()[1] = -1.0
        tried.append(values.len())
        return values.head(60) > 0

    rules = {"up": CLOSE.map_batches(writes, return_dtype=pl.Boolean), "same": CLOSE == CLOSE}
    made = judged(mine(conditions=lambda _: rules), bars)
    assert tried == [120]
    assert made.select(bars.columns).to_dicts() == before == bars.to_dicts()
    assert made["same"].all()


def test_buy_and_sell_may_look_back_at_conditions():
    """Whatever the chunk size: the condition on the bar before a chunk is part of its context."""
    strategy = mine(buy=lambda _: pl.col("up") & ~pl.col("up").shift(1), sell=lambda _: pl.col("up").shift(1))
    bars = simulated_bars(200)
    whole = judged(strategy, bars)
    for chunk_rows in (1, 7, 199):
        assert judged(strategy, bars, chunk_rows).equals(whole)
