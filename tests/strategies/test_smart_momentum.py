"""Smart Momentum's parameters, and the edges of its rules."""

import re

import polars as pl
import pytest

from hermes.dataset import check_strategy_name
from hermes.errors import StrategyError
from hermes.indicators import column
from hermes.strategies import STRATEGIES, make_strategy
from hermes.strategies.contract import check_strategy
from hermes.strategies.smart_momentum import SmartMomentum


def judged(strategy: SmartMomentum, **columns: list) -> pl.DataFrame:
    """The conditions over these indicator columns, then buy and sell."""
    frame = pl.DataFrame(columns, strict=False).with_columns(**strategy.conditions())
    return frame.with_columns(buy=strategy.buy(), sell=strategy.sell())


def indicators(fast: list, slow: list, rsi: list, direction: list) -> dict[str, list]:
    return {"ema_12": fast, "ema_26": slow, "rsi_14": rsi, "supertrend_dir_10_3.0": direction}


def test_the_published_parameters_are_the_defaults():
    found = make_strategy("smart_momentum", {})
    assert isinstance(found, SmartMomentum)
    assert found.parameters.model_dump() == {
        "ema_fast": 12,
        "ema_slow": 26,
        "rsi_low": 45,
        "rsi_high": 55,
        "st_period": 10,
        "st_multiplier": 3.0,
    }
    assert found.columns == ("ema_12", "ema_26", "rsi_14", "supertrend_dir_10_3.0")
    assert found.look_back == 1


def test_parameters_name_the_columns():
    """Texts are numbers as well: that is how the environment and `--set` give them."""
    found = make_strategy("smart_momentum", {"ema_fast": "9", "ema_slow": 21, "rsi_low": "40.5"})
    assert found.columns[:2] == ("ema_9", "ema_21")
    assert found.parameters.rsi_low == 40.5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ema_fast": 26}, r"ema_fast \(26\) below ema_slow \(26\)"),
        ({"ema_fast": 30, "ema_slow": 10}, r"ema_fast \(30\) below ema_slow \(10\)"),
        ({"rsi_low": 60}, r"rsi_low \(60\.0\) not above rsi_high \(55"),
        ({"ema_fast": 1}, "ema_fast = 1: expected a whole number from 2 up to 10,000"),
        ({"ema_slow": 10_001}, "ema_slow = 10001: expected a whole number from 2 up to 10,000"),
        ({"ema_fast": 12.5}, r"ema_fast = 12\.5: expected a whole number"),
        ({"ema_fast": "twelve"}, r"ema_fast = 'twelve': expected a whole number"),
        ({"ema_fast": None}, r"ema_fast = None: expected a whole number"),
        ({"rsi_low": -1}, "rsi_low = -1: expected a number from 0 up to 100"),
        ({"rsi_high": 100.1}, r"rsi_high = 100\.1: expected a number from 0 up to 100"),
        ({"rsi_low": float("nan")}, "rsi_low = nan: expected a number from 0"),
        ({"rsi_high": "inf"}, "rsi_high = 'inf': expected a number from 0"),
        ({"ema_quick": 5}, "ema_quick is not a parameter"),
    ],
)
def test_impossible_parameters_are_refused(values, said):
    with pytest.raises(StrategyError, match=rf"smart_momentum: .*{said}") as error:
        make_strategy("smart_momentum", values)
    cure = error.value.cure.removeprefix("did you mean ema_fast? ")
    whole = "its parameters are: ema_fast, ema_slow, rsi_low, rsi_high, st_period, st_multiplier"
    assert cure == whole or re.fullmatch(r"correct it, or leave it out: then it is \d+", cure)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "cure"),
    [("smart_momentun", "did you mean smart_momentum?"), ("macd", "choose smart_momentum"), ("", "choose")],
)
def test_an_unknown_strategy_is_refused(name, cure):
    with pytest.raises(StrategyError, match="is not known") as error:
        make_strategy(name, {})
    assert repr(name) in error.value.message
    assert error.value.cure.startswith(cure)


def test_parameters_cannot_change():
    with pytest.raises(ValueError, match="frozen"):
        SmartMomentum().parameters.ema_fast = 5


def test_every_strategy_keeps_the_contract():
    for own_name, kind in STRATEGIES.items():
        strategy = kind()
        assert check_strategy_name(own_name) == own_name == strategy.name
        check_strategy(strategy)
        for name in strategy.columns:
            column(name)  # raises where the feature table could not have it


def test_equal_averages_cross_when_they_part_upwards():
    found = judged(
        SmartMomentum(), **indicators([2.0, 2.0, 3.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0], [50.0] * 5, [1] * 5)
    )
    assert found["ema_cross"].to_list()[1:] == [False, True, False, False]
    assert found["buy"].to_list()[1:] == [False, True, False, False]


def test_both_ends_of_the_neutral_band_are_neutral():
    rsi = [44.999999, 45.0, 50.0, 55.0, 55.000001]
    found = judged(SmartMomentum(), **indicators([1.0] * 5, [2.0] * 5, rsi, [1] * 5))
    assert found["rsi_neutral"].to_list() == [False, True, True, True, False]


def test_only_a_turn_from_bullish_to_bearish_sells():
    direction = [-1, 1, -1, -1, None, -1, 1, None, -1, 1, 0, -1]
    n = len(direction)
    found = judged(SmartMomentum(), **indicators([1.0] * n, [2.0] * n, [50.0] * n, direction))
    assert found["sell"].fill_null(value=False).arg_true().to_list() == [2]
    assert found["st_bullish"].fill_null(value=False).arg_true().to_list() == [1, 6, 9]
