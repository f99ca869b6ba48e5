"""The four well-known strategies on simulated bars: TA-Lib's indicators and a plain loop say the same."""

from itertools import pairwise

import polars as pl
import pytest
import talib

from hermes.errors import StrategyError
from hermes.strategies import STRATEGIES, make_strategy
from hermes.testing import judged, simulated_bars

BARS = simulated_bars(3_000, seed=11)
HIGH, LOW, CLOSE = (BARS[name].to_numpy() for name in ("high", "low", "close"))


def crossings(one, other) -> tuple[list[bool], list[bool]]:
    """Bars on which `one` crosses above `other`, and below; NaN compares false in plain Python."""
    pairs = list(pairwise(zip(one.tolist(), other.tolist(), strict=True)))
    ups = [a > b and a_before <= b_before for (a_before, b_before), (a, b) in pairs]
    downs = [a < b and a_before >= b_before for (a_before, b_before), (a, b) in pairs]
    return [False, *ups], [False, *downs]


def ma_cross() -> tuple[list[bool], list[bool]]:
    return crossings(talib.SMA(CLOSE, 50), talib.SMA(CLOSE, 200))


def macd_trend() -> tuple[list[bool], list[bool]]:
    macd, signal, _ = talib.MACD(CLOSE, 12, 26, 9)
    ups, downs = crossings(macd, signal)
    return [up and value > 0 for up, value in zip(ups, macd, strict=True)], downs


def donchian_breakout() -> tuple[list[bool], list[bool]]:
    bars = range(len(CLOSE))
    ups = [i >= 20 and CLOSE[i] > max(HIGH[i - 20 : i]) for i in bars]
    return ups, [i >= 10 and CLOSE[i] < min(LOW[i - 10 : i]) for i in bars]


def bollinger_reversion() -> tuple[list[bool], list[bool]]:
    _, middle, lower = talib.BBANDS(CLOSE, 20, 2, 2)
    back, _ = crossings(CLOSE, lower)
    pairs = pairwise(zip(CLOSE, middle, strict=True))
    return back, [False, *(bool(c >= m and c_before < m_before) for (c_before, m_before), (c, m) in pairs)]


PLAIN = (ma_cross, macd_trend, donchian_breakout, bollinger_reversion)


@pytest.mark.parametrize("plain", PLAIN, ids=lambda plain: plain.__name__)
def test_a_plain_loop_says_the_same(plain):
    made = judged(make_strategy(plain.__name__, {}), BARS)
    buys, sells = plain()
    assert made["buy_signal"].to_list() == buys
    assert made["sell_signal"].to_list() == sells
    assert sum(buys) >= 3
    assert sum(sells) >= 3


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_looks_ahead_and_the_look_back_is_enough(name):
    strategy = make_strategy(name, {})
    whole = judged(strategy, BARS)
    for bars in range(1, BARS.height, 173):
        assert judged(strategy, BARS.head(bars)).equals(whole.head(bars))
    assert judged(strategy, BARS, chunk_rows=13).equals(whole)


def test_no_bar_breaks_out_of_its_own_channel():
    """Each close of a rising market is above the highs before it, and none above a channel that holds its own high."""
    close = pl.int_range(1, 101, eager=True).cast(pl.Float64)
    bars = simulated_bars(100).with_columns(open=close, high=close, low=close, close=close)
    made = judged(make_strategy("donchian_breakout", {}), bars)
    assert made["above_channel"].to_list() == [False] * 20 + [True] * 80
    assert not made["below_channel"].any()


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("ma_cross", {"fast": 200}, r"fast \(200\) below slow \(200\)"),
        ("ma_cross", {"kind": "wma"}, "kind = 'wma'"),
        ("ma_cross", {"fast": 0}, "fast = 0"),
        ("macd_trend", {"slow": 12}, r"fast \(12\) below slow \(12\)"),
        ("macd_trend", {"signal": 0}, "signal = 0"),
        ("donchian_breakout", {"entry": 1}, "entry = 1"),
        ("donchian_breakout", {"exit": "x"}, "exit = 'x'"),
        ("bollinger_reversion", {"width": 0}, "width = 0"),
        ("bollinger_reversion", {"width": 2.005}, r"width = 2\.005"),
        ("bollinger_reversion", {"window": 1}, "window = 1"),
    ],
)
def test_impossible_parameters_are_refused(name, values, said):
    with pytest.raises(StrategyError, match=rf"{name}: .*{said}"):
        make_strategy(name, values)


@pytest.mark.parametrize(
    ("name", "values", "columns"),
    [
        ("ma_cross", {"kind": "ema", "fast": "9", "slow": 21}, ("ema_9", "ema_21")),
        ("macd_trend", {"fast": 5, "slow": 35, "signal": 5}, ("macd_5_35_5", "macd_signal_5_35_5")),
        ("donchian_breakout", {"entry": 55, "exit": 20}, ("donchian_high_55", "donchian_low_20")),
        ("bollinger_reversion", {"window": 10, "width": "1.55"}, ("bb_middle_10_1.55", "bb_lower_10_1.55")),
    ],
)
def test_parameters_name_the_columns(name, values, columns):
    assert make_strategy(name, values).columns == columns
    judged(make_strategy(name, values), BARS.head(50))
