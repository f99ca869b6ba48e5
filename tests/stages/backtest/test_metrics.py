"""What is undefined is None; the rest by hand and against a plain loop."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite, prod, sqrt
from statistics import fmean, stdev

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from tests.stages.backtest.plain_market import HOURS_4, accounts, bars, markets, plain_backtest

from hermes.stages.backtest import engine, tally
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.trading import BARS

OF_TRADES = {
    "win_rate_pct",
    "profit_factor",
    "expectancy",
    "best_trade_pct",
    "worst_trade_pct",
    "avg_winning_trade_pct",
    "avg_losing_trade_pct",
    "avg_winning_trade_duration_s",
    "avg_losing_trade_duration_s",
}
OF_EVERY_TRADE = {"return_without_best_trade_pct", "break_even_fee"}
AGAINST_HOLDING = {"beta", "alpha_pct", "sharpe_over_holding", "p_value_over_holding"}
AT_RISK = {"value_at_risk_pct", "conditional_value_at_risk_pct"}
OF_RETURNS = {"sharpe", "sortino", "calmar", "omega", "max_drawdown_pct", "max_drawdown_duration_s", *AT_RISK}


def measures(close, buys=(), sells=(), **terms) -> dict:
    rows = range(len(close))
    frame = bars(close, close, [row in buys for row in rows], [row in sells for row in rows])
    return backtest(frame, HOURS_4, Account(**terms)).metrics.as_dict()


def undefined(found: dict) -> set[str]:
    return {name for name, value in found.items() if value is None}


def test_without_a_trade_only_the_account_itself_has_measures():
    found = measures([100.0, 90.0, 120.0])
    assert undefined(found) == OF_TRADES | OF_EVERY_TRADE | OF_RETURNS | AGAINST_HOLDING
    assert found["total_return_pct"] == found["cagr_pct"] == found["fees_paid"] == found["exposure_pct"] == 0
    assert found["trades"] == 0 and found["open_trade"] is False
    assert found["end_value"] == 10_000 and found["benchmark_return_pct"] == pytest.approx(20)


def test_without_a_bar_there_is_no_time_in_which_to_earn():
    found = backtest(pl.DataFrame(schema=BARS), HOURS_4)
    nothing = OF_TRADES | OF_EVERY_TRADE | OF_RETURNS | AGAINST_HOLDING
    of_bars = {"benchmark_return_pct", "same_exposure_return_pct", "elapsed_days", "cagr_pct", "exposure_pct"}
    assert undefined(found.metrics.as_dict()) == nothing | of_bars
    assert found.trades.is_empty() and found.monthly.is_empty() and found.yearly.is_empty()


def test_one_bar_has_no_deviation():
    found = measures([100.0], buys=[0])
    assert undefined(found) == OF_TRADES | OF_RETURNS - {"omega"} | AGAINST_HOLDING | {"break_even_fee"}


def test_an_open_trade_counts_but_is_neither_won_nor_lost():
    found = measures([100.0, 90.0, 120.0], buys=[0])
    assert found["trades"] == 1 and found["open_trade"] is True
    assert undefined(found) == OF_TRADES | {"p_value_over_holding"}  # of too few bars
    assert found["exposure_pct"] == 100


def test_only_wins_leave_the_factor_and_the_losers_undefined():
    found = measures([100.0, 110.0, 121.0], buys=[0], sells=[2], fees=0)
    assert {"profit_factor", "avg_losing_trade_pct", "omega", "sortino", "calmar"} <= undefined(found)
    assert found["win_rate_pct"] == 100 and found["max_drawdown_pct"] is None


def test_only_losses_leave_the_winners_undefined():
    found = measures([100.0, 90.0], buys=[0], sells=[1])
    never_won = {"avg_winning_trade_pct", "avg_winning_trade_duration_s", "break_even_fee"}
    assert undefined(found) == never_won | {"p_value_over_holding"}  # of too few bars
    assert found["win_rate_pct"] == found["profit_factor"] == found["omega"] == 0


def test_growth_beyond_any_float_is_undefined():
    frame = bars([1.0, 1.0], [1.0, 2.0], [True, False], [False, False], every=timedelta(seconds=1))
    found = backtest(frame, "1s", Account(fees=0)).metrics
    assert found.cagr_pct is None and found.calmar is None


def test_drawdown_lasts_from_the_bar_below_the_peak_until_the_last_one_below_it():
    # Below the peak of 120: 4 bars, then back at it; the second time still below at the end.
    close = [100.0, 120.0, 110.0, 90.0, 100.0, 119.0, 120.0, 130.0, 129.0, 128.0]
    found = measures(close, buys=[0], fees=0)
    assert found["max_drawdown_duration_s"] == 4 * 14_400
    assert found["max_drawdown_pct"] == pytest.approx(25)


def test_a_hair_below_the_peak_is_below_it():
    found = measures([100.0, 120.0, 119.9999999, 120.0], buys=[0], fees=0)
    assert found["max_drawdown_duration_s"] == 14_400


@settings(max_examples=200, deadline=None)
@given(markets(), accounts())
def test_measures_are_those_of_a_plain_loop(frame, account):
    equity, trades = plain_backtest(frame, account)
    found = backtest(frame, HOURS_4, account).metrics
    values = [account.initial_cash, *equity]
    returns = [after / before - 1 for before, after in zip(values, equity, strict=False)]
    noise = 1e-9  # equity that only a rounding moved has ratios of roundings

    deviation = stdev(returns) if len(returns) > 1 else 0
    if deviation > noise:
        assert found.sharpe == pytest.approx(fmean(returns) / deviation * sqrt(2190), rel=1e-9, abs=1e-9)
    losses = -sum(r for r in returns if r < 0)
    if losses > noise:
        assert found.omega == pytest.approx(sum(r for r in returns if r > 0) / losses, rel=1e-9, abs=1e-12)
    drawdown = max(1 - value / max(equity[: row + 1]) for row, value in enumerate(equity))
    if drawdown > noise:
        assert found.max_drawdown_pct == pytest.approx(100 * drawdown, rel=1e-9)

    assert found.end_value == pytest.approx(equity[-1], rel=1e-12)
    assert found.exposure_pct == pytest.approx(100 * sum(trade["bars"] for trade in trades) / frame.height)
    assert found.fees_paid == pytest.approx(sum(trade["fees"] for trade in trades))
    closed = [trade["profit"] for trade in trades if not trade["open"]]
    if closed:
        assert found.expectancy == pytest.approx(fmean(closed), rel=1e-9, abs=1e-9 * account.initial_cash)


@settings(max_examples=100, deadline=None)
@given(markets(), accounts())
def test_every_measure_is_a_json_number_or_null(frame, account):
    found = json.loads(json.dumps(backtest(frame, HOURS_4, account).metrics.as_dict(), allow_nan=False))
    assert all(value is None or isinstance(value, str) or isfinite(value) for value in found.values())


def on_days(days: list[int], close: list[float], buys=(), sells=(), interval="1d", fees=0.0, fill="close"):
    """One bar at midnight of each of these days of 2023, counted from 1 January."""
    rows = range(len(days))
    frame = bars(close, close, [row in buys for row in rows], [row in sells for row in rows]).with_columns(
        datetime=pl.Series([datetime(2023, 1, 1) + timedelta(day) for day in days])
    )
    return backtest(frame, interval, Account(fees=fees, fill=fill)).metrics


def test_time_is_the_calendars_where_bars_are_missing():
    # Bought on day 1, below the peak from day 2 on, then no bar for a year; sold on day 400.
    found = on_days([0, 1, 2, 3, 400, 401], [100.0, 100.0, 90.0, 95.0, 99.0, 120.0], buys=[1], sells=[5])
    assert found.elapsed_days == 402
    assert found.cagr_pct == pytest.approx(100 * (1.2 ** (365 / 402) - 1))
    assert found.avg_winning_trade_duration_s == 400 * 86_400
    assert found.max_drawdown_duration_s == 399 * 86_400  # from day 2 until day 401, which is at the peak again
    assert found.calmar == pytest.approx(found.cagr_pct / found.max_drawdown_pct)
    assert not found.short_span


def test_a_drawdown_that_is_not_over_lasts_until_the_last_bars_close():
    found = on_days([0, 1, 2, 50], [100.0, 110.0, 100.0, 105.0], buys=[0])
    assert found.max_drawdown_duration_s == (51 - 2) * 86_400


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_a_drawdown_is_as_long_however_the_bars_are_cut(block, monkeypatch):
    days, close = [0, 1, 5, 9, 10, 30, 31, 90], [100.0, 110.0, 105.0, 100.0, 110.0, 90.0, 111.0, 100.0]
    whole = on_days(days, close, buys=[0]).max_drawdown_duration_s
    monkeypatch.setattr(engine, "BLOCK_ROWS", block)
    assert on_days(days, close, buys=[0]).max_drawdown_duration_s == whole == 5 * 86_400


def test_months_are_twelve_a_year_and_as_long_as_they_are():
    months = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]  # days at which the months of 2023 begin
    close = [100.0, 110.0, 105.0, 115.0, 111.0, 120.0, 119.0, 130.0, 125.0, 140.0, 135.0, 150.0]
    found = on_days(months, close, buys=[0], sells=[11], interval="1mo")
    assert found.periods_per_year == 12
    assert found.elapsed_days == 365
    assert found.cagr_pct == pytest.approx(50)
    assert found.avg_winning_trade_duration_s == 334 * 86_400
    returns = [after / before - 1 for before, after in pairwise([100.0, *close])]
    assert found.sharpe == pytest.approx(fmean(returns) / stdev(returns) * sqrt(12))


def test_what_is_annualized_from_less_than_90_days_and_fewer_than_30_trades_are_marked():
    short = on_days([0, 88], [100.0, 101.0], buys=[0])
    assert (short.elapsed_days, short.short_span, short.few_trades) == (89, True, True)
    assert not on_days([0, 89], [100.0, 101.0], buys=[0]).short_span
    days = list(range(61))
    many = on_days(days, [100.0] * 61, buys=range(0, 60, 2), sells=range(1, 60, 2))
    assert (many.trades, many.few_trades) == (30, False)


@settings(max_examples=100, deadline=None)
@given(markets(), accounts(slippage=(0.0, 5.0)))
def test_with_the_break_even_fee_nothing_is_gained(frame, account):
    found = backtest(frame, HOURS_4, account).metrics
    if found.break_even_fee is None:
        assert backtest(frame, HOURS_4, replace(account, fees=0.0)).metrics.total_return_pct <= 1e-9
    else:
        again = backtest(frame, HOURS_4, replace(account, fees=found.break_even_fee)).metrics
        assert again.total_return_pct == pytest.approx(0, abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(markets(), accounts())
def test_without_its_best_trade_an_account_has_grown_by_all_others(frame, account):
    found = backtest(frame, HOURS_4, account)
    worth, grown = account.initial_cash, []
    for profit in found.trades["profit"]:
        grown.append((worth + profit) / worth)
        worth += profit
    if not grown:
        assert found.metrics.return_without_best_trade_pct is None
        return
    grown.remove(max(grown))
    assert found.metrics.return_without_best_trade_pct == pytest.approx(100 * (prod(grown) - 1), rel=1e-7, abs=1e-7)


def test_the_tail_is_exact_though_only_the_worst_returns_are_kept(monkeypatch):
    monkeypatch.setattr(tally, "MOST_LOSSES", 64)
    returns = np.random.default_rng(3).standard_normal(1000)
    tail = tally._Tail()
    for begin in range(0, 1000, 37):
        tail.add(returns[begin : begin + 37])
    at_risk, beyond = tail.risk(1000)
    assert at_risk == pytest.approx(-np.quantile(returns, 0.05))
    assert beyond == pytest.approx(-np.sort(returns)[: int(999 * 0.05) + 1].mean())
    assert tail.risk(10_000) == (None, None)  # more than were kept could lie in its tail


def test_orders_too_small_to_fill_are_counted():
    close = [1e12, 1e12, 1e13, 1e12]
    found = measures(close, buys=[0, 2], sells=[1, 3], initial_cash=9_000.0)
    assert (found["trades"], found["refused_orders"]) == (0, 2)


@pytest.mark.parametrize("block", [1, 2, 5, 100])
@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_trades_that_were_held_while_the_price_jumped_are_marked(block, fill, monkeypatch):
    monkeypatch.setattr(engine, "BLOCK_ROWS", block)
    close = [100.0, 101.0, 102.0, 5.0, 5.0, 5.1, 5.2, 26.0, 26.0, 27.0]
    opens = [100.0, 100.0, 101.0, 5.0, 5.0, 5.0, 5.1, 26.0, 26.0, 26.0]
    buys, sells = [0, 5, 8], [1, 7, 9]
    # Bars 3 (a twentieth of the close before) and 7 (five times) jump; only the second trade is held through one.
    rows = range(len(close))
    frame = bars(opens, close, [row in buys for row in rows], [row in sells for row in rows])
    found = backtest(frame, HOURS_4, Account(fill=fill))
    assert (found.metrics.price_jumps, found.metrics.trades_over_jumps) == (2, 1)
    assert found.trades["price_jump"].to_list() == [False, True, False][: found.trades.height]


def test_a_fall_to_less_than_a_fifth_within_a_bar_is_no_jump():
    frame = bars([100.0, 100.0, 10.0], [100.0, 10.0, 10.0], [True, False, False], [False] * 3)
    found = backtest(frame, HOURS_4)
    assert found.metrics.price_jumps == 0 and not found.trades["price_jump"].any()
