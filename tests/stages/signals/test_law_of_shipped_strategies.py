"""The law holds for every shipped strategy: over any frames, their signals are those of a plain loop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.signals.law import check_frames, cuts
from tests.stages.signals.plain_signals import AVERAGES, Judge, Row, bars, known, tables

from hermes.strategies import STRATEGIES, make_strategy

PRICES = (None, float("nan"), 1.0, 2.0, 2.0, 2.0000000000000004, 3.0)


def above(a: float | None, b: float | None) -> bool:
    return known(a) and known(b) and a > b


def not_above(a: float | None, b: float | None) -> bool:
    return known(a) and known(b) and a <= b


def crosses(one: str, other: str) -> Judge:
    def judge(rows: list[Row], i: int) -> dict[str, bool]:
        now, before = rows[i], rows[i - 1] if i else dict.fromkeys(rows[i])
        up = above(now[one], now[other]) and not_above(before[one], before[other])
        down = above(now[other], now[one]) and not_above(before[other], before[one])
        return {"up": up, "down": down}

    return judge


def ma_cross(rows: list[Row], i: int) -> dict[str, bool]:
    crossed = crosses("sma_50", "sma_200")(rows, i)
    up, down = crossed["up"], crossed["down"]
    return {"buy_signal": up, "sell_signal": down, "cross_up": up, "cross_down": down}


def macd_trend(rows: list[Row], i: int) -> dict[str, bool]:
    crossed = crosses("macd_12_26_9", "macd_signal_12_26_9")(rows, i)
    up, rising, down = crossed["up"], above(rows[i]["macd_12_26_9"], 0), crossed["down"]
    judged = {"macd_cross_up": up, "macd_above_zero": rising, "macd_cross_down": down}
    return {"buy_signal": up and rising, "sell_signal": down, **judged}


def donchian_breakout(rows: list[Row], i: int) -> dict[str, bool]:
    before = rows[i - 1] if i else dict.fromkeys(rows[i])
    up = above(rows[i]["close"], before["donchian_high_20"])
    down = above(before["donchian_low_10"], rows[i]["close"])
    return {"buy_signal": up, "sell_signal": down, "above_channel": up, "below_channel": down}


def bollinger_reversion(rows: list[Row], i: int) -> dict[str, bool]:
    now, before = rows[i], rows[i - 1] if i else dict.fromkeys(rows[i])
    middle, lower = "bb_middle_20_2", "bb_lower_20_2"
    back = above(now["close"], now[lower]) and not_above(before["close"], before[lower])
    out = not_above(now[middle], now["close"]) and above(before[middle], before["close"])
    return {"buy_signal": back, "sell_signal": out, "back_in_bands": back, "at_middle": out}


JUDGES = {judge.__name__: judge for judge in (ma_cross, macd_trend, donchian_breakout, bollinger_reversion)}


def test_every_shipped_strategy_is_judged():
    assert {"smart_momentum", *JUDGES} == set(STRATEGIES)


@pytest.mark.parametrize("name", JUDGES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_over_frames(name: str, data):
    strategy = make_strategy(name, {})
    values = {**bars((None,)), "close": PRICES, **dict.fromkeys(strategy.columns, AVERAGES)}
    rows = data.draw(tables(values))
    check_frames(rows, strategy, JUDGES[name], data.draw(cuts(len(rows), 1)))
