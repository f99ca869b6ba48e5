"""Every shared measure and every trade, against vectorbt.

One Hypothesis example is one vectorbt portfolio of many columns, each a case of its own: other prices, signals and terms.
"""

from math import isfinite, sqrt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_market import HOURS_4, accounts, markets_of

from hermes.backtest.engine import Result, backtest
from hermes.backtest.portfolio import Account

vbt = pytest.importorskip("vectorbt")

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
    """The same cases as columns of one vectorbt portfolio; the next open is its own bar's open under older signals."""

    def columns(name: str):
        return np.column_stack([frame[name].to_numpy() for frame, _ in book])

    def signals(name: str):
        given = columns(name)
        return np.where(late, np.vstack([np.zeros_like(given[:1]), given[:-1]]), given)

    def terms(name: str):
        return np.array([getattr(account, name) for _, account in book])

    import pandas as pd

    late = terms("fill") == "next_open"
    return vbt.Portfolio.from_signals(
        pd.DataFrame(columns("close")),
        signals("buy_signal"),
        signals("sell_signal"),
        price=np.where(late, columns("open"), columns("close")),
        init_cash=terms("initial_cash"),
        fees=terms("fees")[None, :],
        slippage=terms("slippage_bps")[None, :] / 10_000,
        freq="4h",
    )


def number(value) -> float | None:
    """A figure of vectorbt; its NaN, NaT and infinity are what Hermes calls undefined."""
    value = value.total_seconds() if hasattr(value, "total_seconds") else value
    return float(value) if isfinite(value) else None


@settings(max_examples=EXAMPLES, deadline=None)
@given(books())
def test_measures_and_trades_are_vectorbts(book):
    portfolio = portfolio_of(book)
    stats = portfolio.stats(agg_func=None)
    cagr, held = portfolio.annualized_return(), portfolio.position_coverage()
    trades = portfolio.trades.records
    for column, (frame, account) in enumerate(book):
        result = backtest(frame, HOURS_4, account)
        theirs = {name: number(stats[title].iloc[column]) for name, title in SHARED.items()}
        theirs["cagr_pct"] = number(100 * cagr.iloc[column])
        theirs["exposure_pct"] = number(100 * held.iloc[column])
        check_measures(result, theirs)
        check_trades(result, trades[trades["col"] == column], frame)
