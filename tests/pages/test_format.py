from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.pages import format

THIN = format.THIN


def test_figures_have_separators_signs_and_units():
    assert format.number(-1234567.891) == "−1,234,567.89"
    assert format.change(80.0154) == f"+80.02{THIN}%"
    assert format.change(-3.5, 1) == f"−3.5{THIN}%"
    assert format.change(0.0) == f"0.00{THIN}%"
    assert format.amount(18001.5451, "USDT") == f"18,001.55{THIN}USDT"
    assert format.amount(5, "") == "5.00"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(62971200, "728 d 20 h"), (86400, "1 d"), (11700, "3 h 15 min"), (3600, "1 h"), (90, "1 min 30 s"), (60, "1 min")],
)
def test_durations_are_told_in_their_two_largest_units(seconds, said):
    assert format.duration(seconds) == said.replace(" d", f"{THIN}d").replace(" h", f"{THIN}h").replace(
        " min", f"{THIN}min"
    ).replace(" s", f"{THIN}s")


def test_fewer_than_thirty_trades_are_too_few():
    assert format.few_trades(1) == "1 trade: too few to conclude"
    assert format.few_trades(29) == "29 trades: too few to conclude"
    assert format.few_trades(30) == ""


def test_names_for_people():
    assert format.indicator("ema_12") == "EMA 12"
    assert format.indicator("supertrend_10_3.0") == "SuperTrend 10 3.0"
    assert format.indicator("close") == "close"
    assert format.family("macd_signal_12_26_9") == "MACD"
    assert format.title("smart_momentum") == "Smart Momentum"
    assert format.quote_currency("BTCUSDT") == "USDT"
    assert format.quote_currency("币安人生USDT") == "USDT"
    assert format.quote_currency("BTCUSDT_210326") == ""
    assert format.day(datetime(2017, 9, 1)) == "1 September 2017"


@settings(deadline=None)
@given(st.floats(1e-7, 1e7))
def test_a_price_keeps_four_digits_and_two_decimals(price):
    decimals = format.price_decimals(price)
    shown = float(format.number(price, decimals).replace(",", ""))
    assert abs(shown - price) <= max(0.005, price * 1e-3)
    assert 2 <= decimals <= 9


def test_terms_of_an_account():
    account = {"fees": 0.001, "slippage_bps": 0.0, "fill": "close"}
    assert f"0.1{THIN}% fee on each side, filled at the signal bar's close;" in format.terms(account)
    sober = format.terms({"fees": 0.00075, "slippage_bps": 2.5, "fill": "next_open"})
    assert f"0.075{THIN}% fee on each side, 2.5 basis points of slippage, filled at the next bar's open;" in sober
