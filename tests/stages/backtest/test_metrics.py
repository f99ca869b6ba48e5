"""What is undefined is None; the rest by hand and against a plain loop."""

import json
from datetime import timedelta
from math import isfinite, sqrt
from statistics import fmean, stdev

import polars as pl
import pytest
from hypothesis import given, settings
from tests.stages.backtest.plain_market import HOURS_4, accounts, bars, markets, plain_backtest

from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.portfolio import BARS, Account

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
OF_RETURNS = {"sharpe", "sortino", "calmar", "omega", "max_drawdown_pct", "max_drawdown_duration_s"}


def measures(close, buys=(), sells=(), **terms) -> dict:
    rows = range(len(close))
    frame = bars(close, close, [row in buys for row in rows], [row in sells for row in rows])
    return backtest(frame, HOURS_4, Account(**terms)).metrics.as_dict()


def undefined(found: dict) -> set[str]:
    return {name for name, value in found.items() if value is None}


def test_without_a_trade_only_the_account_itself_has_measures():
    found = measures([100.0, 90.0, 120.0])
    assert undefined(found) == OF_TRADES | OF_RETURNS
    assert found["total_return_pct"] == found["cagr_pct"] == found["fees_paid"] == found["exposure_pct"] == 0
    assert found["trades"] == 0 and found["open_trade"] is False
    assert found["end_value"] == 10_000 and found["benchmark_return_pct"] == pytest.approx(20)


def test_without_a_bar_there_is_no_time_in_which_to_earn():
    found = backtest(pl.DataFrame(schema=BARS), HOURS_4)
    nothing = OF_TRADES | OF_RETURNS | {"benchmark_return_pct", "cagr_pct", "exposure_pct"}
    assert undefined(found.metrics.as_dict()) == nothing
    assert found.trades.is_empty() and found.monthly.is_empty() and found.yearly.is_empty()


def test_one_bar_has_no_deviation():
    assert undefined(measures([100.0], buys=[0])) == OF_TRADES | OF_RETURNS - {"omega"}


def test_an_open_trade_counts_but_is_neither_won_nor_lost():
    found = measures([100.0, 90.0, 120.0], buys=[0])
    assert found["trades"] == 1 and found["open_trade"] is True
    assert undefined(found) == OF_TRADES
    assert found["exposure_pct"] == 100


def test_only_wins_leave_the_factor_and_the_losers_undefined():
    found = measures([100.0, 110.0, 121.0], buys=[0], sells=[2], fees=0)
    assert {"profit_factor", "avg_losing_trade_pct", "omega", "sortino", "calmar"} <= undefined(found)
    assert found["win_rate_pct"] == 100 and found["max_drawdown_pct"] is None


def test_only_losses_leave_the_winners_undefined():
    found = measures([100.0, 90.0], buys=[0], sells=[1])
    assert undefined(found) == {"avg_winning_trade_pct", "avg_winning_trade_duration_s"}
    assert found["win_rate_pct"] == found["profit_factor"] == found["omega"] == 0


def test_growth_beyond_any_float_is_undefined():
    frame = bars([1.0, 1.0], [1.0, 2.0], [True, False], [False, False], every=timedelta(seconds=1))
    found = backtest(frame, 1, Account(fees=0)).metrics
    assert found.cagr_pct is None and found.calmar is None


def test_drawdown_lasts_from_the_bar_below_the_peak_until_the_last_one_below_it():
    # Below the peak of 120: 4 bars, then back at it; the second time still below at the end.
    close = [100.0, 120.0, 110.0, 90.0, 100.0, 119.0, 120.0, 130.0, 129.0, 128.0]
    found = measures(close, buys=[0], fees=0)
    assert found["max_drawdown_duration_s"] == 4 * HOURS_4
    assert found["max_drawdown_pct"] == pytest.approx(25)


def test_a_hair_below_the_peak_is_below_it():
    found = measures([100.0, 120.0, 119.9999999, 120.0], buys=[0], fees=0)
    assert found["max_drawdown_duration_s"] == HOURS_4


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
