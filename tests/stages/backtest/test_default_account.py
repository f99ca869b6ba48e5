"""Orders, equity and trades, against a plain loop."""

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import accounts, bars, markets, plain_backtest

from hermes.errors import SettingsError
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.trading import Trading, equity_curve

CLOSE = [100.0, 110.0, 99.0, 120.0, 90.0]
OPEN = [101.0, 102.0, 103.0, 104.0, 105.0]


def trades_of(frame: pl.DataFrame, account: Account) -> pl.DataFrame:
    portfolio = Trading(account)
    portfolio.advance(frame)
    return portfolio.trades()


def market(buys: list[int], sells: list[int]) -> pl.DataFrame:
    rows = range(len(CLOSE))
    return bars(OPEN, CLOSE, [row in buys for row in rows], [row in sells for row in rows])


@settings(max_examples=200, deadline=None)
@given(markets(), accounts())
def test_equity_and_trades_are_those_of_a_plain_loop(frame, account):
    equity, trades = plain_backtest(frame, account)
    (curve,) = equity_curve([frame], account)
    assert curve["equity"].to_list() == pytest.approx(equity, rel=1e-12)

    mine = trades_of(frame, account).to_dicts()
    assert len(mine) == len(trades)
    for trade, plain in zip(mine, trades, strict=True):
        for name in ("entry_time", "bars", "open"):
            assert trade[name] == plain[name]
        assert trade["exit_time"] == plain.get("exit_time")
        assert trade["exit_price"] == plain.get("exit_price")
        for name in ("entry_price", "fees"):
            assert trade[name] == pytest.approx(plain[name], rel=1e-12)
        assert trade["profit"] == pytest.approx(plain["profit"], rel=1e-12, abs=1e-12 * account.initial_cash)
        assert trade["return_pct"] == pytest.approx(plain["return_pct"], rel=1e-12, abs=1e-10)


def test_one_trade_by_hand():
    trade = trades_of(market([1], [3]), Account(initial_cash=1_000, fees=0.01, slippage_bps=100)).row(0, named=True)
    entry, exit_ = 110 * 1.01, 120 * 0.99
    size = 1_000 / 1.01 / entry
    assert trade["entry_price"] == entry and trade["exit_price"] == exit_
    assert trade["bars"] == 2 and not trade["open"]
    assert trade["fees"] == pytest.approx(0.01 * size * (entry + exit_))
    assert trade["profit"] == pytest.approx(size * exit_ * 0.99 - 1_000)
    assert trade["entry_time"] == datetime(2023, 1, 30, 4) and trade["exit_time"] == datetime(2023, 1, 30, 12)


def test_next_open_fills_one_bar_later_at_its_open():
    trade = trades_of(market([1], [3]), Account(fill="next_open")).row(0, named=True)
    assert (trade["entry_price"], trade["exit_price"], trade["bars"]) == (103.0, 105.0, 2)


def test_a_signal_on_the_last_bar_stays_unfilled_at_the_next_open():
    assert trades_of(market([4], []), Account(fill="next_open")).is_empty()
    assert trades_of(market([1], [4]), Account(fill="next_open"))["open"].to_list() == [True]


def test_a_buy_while_long_a_sell_while_flat_and_both_at_once_do_nothing():
    frame = market(buys=[0, 1, 2, 4], sells=[0, 2, 4])
    assert trades_of(frame, Account())["entry_price"].to_list() == [110.0]
    assert trades_of(frame, Account())["open"].to_list() == [True]


def test_an_open_trade_has_no_exit_and_is_valued_at_the_last_close_without_an_exit_fee():
    trade = trades_of(market([3], []), Account(initial_cash=1_010, fees=0.01)).row(0, named=True)
    assert trade["exit_time"] is None and trade["exit_price"] is None and trade["open"]
    assert trade["bars"] == 2
    assert trade["profit"] == pytest.approx(1_000 * (90 / 120 - 1) - 10)


def test_a_ruined_account_buys_no_more():
    rows = 60
    frame = bars([1.0] * rows, [1.0] * rows, [True, False] * 30, [False, True] * 30)
    (curve,) = equity_curve([frame], Account(fees=0.9))
    trades = trades_of(frame, Account(fees=0.9))
    assert 0 < trades.height < 12 and not trades["open"].any()
    assert curve["equity"][-1] > 0


@settings(max_examples=100, deadline=None)
@given(markets(), accounts(), st.integers(1, 9))
def test_the_equity_curve_is_the_same_in_pieces(frame, account, step):
    (whole,) = equity_curve([frame], account)
    pieces = [frame.clear(), *frame.iter_slices(step)]
    assert pl.concat(equity_curve(pieces, account)).equals(whole)


def test_the_equity_curve_by_hand():
    (curve,) = equity_curve([market([1], [3])], Account(initial_cash=1_100, fees=0))
    assert curve["equity"].to_list() == pytest.approx([1_100, 1_100, 990, 1_200, 1_200])
    assert curve["benchmark"].to_list() == pytest.approx([1_100, 1_210, 1_089, 1_320, 990])
    assert curve["drawdown_pct"].to_list() == pytest.approx([0, 0, 10, 0, 0])
    assert curve["account_position"].to_list() == [0, 1, 1, 0, 0]
    assert curve["account_position"].dtype == pl.Int8


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial_cash": 0},
        {"initial_cash": float("nan")},
        {"initial_cash": float("inf")},
        {"fees": -0.001},
        {"fees": 1.0},
        {"fees": float("nan")},
        {"slippage_bps": -1},
        {"slippage_bps": 10_000},
        {"fill": "open"},
    ],
)
def test_impossible_terms_are_refused_by_name_and_value(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(SettingsError, match=name) as error:
        Account(**wrong)
    assert str(value) in error.value.message and error.value.cure
