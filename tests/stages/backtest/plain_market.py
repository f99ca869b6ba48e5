"""Random bars for the tests of the backtest, and a backtest in a plain loop to compare with."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from hermes.stages.backtest.account import Account

HOURS_4 = "4h"


def bars(open_, close, buy, sell, start=datetime(2023, 1, 30), every=timedelta(hours=4)) -> pl.DataFrame:
    """Bars of the given columns; a month ends soon after the start."""
    times = pl.select(pl.lit(start) + pl.lit(every) * pl.int_range(len(close))).to_series()
    columns = {"datetime": times, "open": open_, "close": close, "buy_signal": buy, "sell_signal": sell}
    return pl.DataFrame(columns, schema_overrides={"buy_signal": pl.Boolean, "sell_signal": pl.Boolean})


def markets() -> st.SearchStrategy[pl.DataFrame]:
    """Random markets of 1 to 60 bars."""
    return st.integers(1, 60).flatmap(markets_of)


@st.composite
def markets_of(draw, n: int) -> pl.DataFrame:
    """A random market of `n` bars: smooth or in coarse ticks (so that equity ties), signals from none to always."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
    open_ = close * np.exp(rng.normal(0, 0.005, n))
    if tick := draw(st.sampled_from([None, 0.01, 5.0])):
        close, open_ = (np.round(prices / tick).clip(1) * tick for prices in (close, open_))
    share = st.sampled_from([0.0, 0.05, 0.3, 0.9])
    buy, sell = rng.random(n) < draw(share), rng.random(n) < draw(share)
    for edge in (0, -1):
        buy[edge], sell[edge] = draw(st.booleans()), draw(st.booleans())
    return bars(open_, close, buy, sell)


def accounts(fills=("close", "next_open"), slippage=(0.0, 5.0, 250.0)) -> st.SearchStrategy[Account]:
    """Terms of trade: no, usual and large fees and slippage."""
    return st.builds(
        Account,
        initial_cash=st.sampled_from([10_000.0, 137.31]),
        fees=st.sampled_from([0.0, 0.001, 0.1]),
        slippage_bps=st.sampled_from(slippage),
        fill=st.sampled_from(fills),
    )


def plain_backtest(frame: pl.DataFrame, account: Account) -> tuple[list[float], list[dict]]:
    """Bar by bar: what was ordered on the bar before fills at this open, what is ordered here may fill at this close.

    Returns:
        Equity at each close, and the trades.
    """
    slippage = account.slippage_bps / 10_000
    cash, size = account.initial_cash, 0.0
    equity: list[float] = []
    trades: list[dict] = []
    wish = None  # "buy" or "sell", decided on the bar before
    for t, open_, close, buy, sell in frame.iter_rows():

        def fill(order, price, t=t):
            nonlocal cash, size
            if order == "buy" and size == 0:
                price *= 1 + slippage
                fee = cash - cash / (1 + account.fees)
                size = (cash - fee) / price
                cash = 0.0
                trades.append(
                    {"entry_time": t, "entry_price": price, "size": size, "fees": fee, "open": True, "bars": 0}
                )
            elif order == "sell" and size > 0:
                price *= 1 - slippage
                fee = size * price * account.fees
                cash = size * price - fee
                size = 0.0
                trades[-1] |= {"exit_time": t, "exit_price": price, "fees": trades[-1]["fees"] + fee, "open": False}

        order = None if buy == sell else "buy" if buy else "sell"
        if account.fill == "next_open":
            fill(wish, open_)
            wish = order
        else:
            fill(order, close)
        equity.append(cash + size * close)
        if size:
            trades[-1]["bars"] += 1
    for trade in trades:
        spent = trade["size"] * trade["entry_price"]
        trade["profit"] = trade["size"] * trade.get("exit_price", close) - spent - trade["fees"]
        trade["return_pct"] = 100 * trade["profit"] / spent
    return equity, trades
