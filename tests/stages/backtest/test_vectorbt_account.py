"""Stops, sides, sizes and one cash, against vectorbt where it means the same.

Where it does not: within a bar vectorbt looks at a target that is gapped over after the stop, Hermes before it, so bars
that open beyond the target and come back to the stop are left out; with the next open its stops hold from the bar after
the entry; it has no ruin, so prices are calm; a short there may be for more than the account has.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
from tests.stages.backtest.random_markets import market, signals, wanted

from hermes.stages.backtest.account import Account
from hermes.stages.backtest.portfolio import Piece, Portfolio
from hermes.stages.backtest.trading import Trading

ROWS = 120
CASES = int(os.environ.get("VECTORBT_CASES", "60"))  # random markets; `VECTORBT_CASES=600` tries many more
NEAR = {"rel": 1e-9, "abs": 1e-6}


def terms(number: int) -> Account:
    """A different account for each number."""
    rng = np.random.default_rng(number)
    trail = rng.random() < 0.3
    size = rng.choice(["all", "value:700", "value:3000"]) if number % 3 else "all"
    return Account(
        fees=float(rng.choice([0.0, 0.001, 0.01])),
        slippage_bps=float(rng.choice([0.0, 20.0])),
        side=str(rng.choice(["long", "short", "both"])),
        size=str(size),
        stop_loss=None if trail else rng.choice([None, 0.01, 0.04]),
        trailing_stop=float(rng.choice([0.02, 0.05])) if trail else None,
        take_profit=rng.choice([None, 0.02, 0.06]),
    )


def vectorbt(bars, given, accounts, **shared):
    """The cases as columns of one vectorbt portfolio."""
    import pandas as pd
    import vectorbt as vbt  # takes seconds: not while tests are being collected

    def each(value):
        return np.array([value(account) for account in accounts])[None, :]

    def stop(account):
        found = account.stop_loss or account.trailing_stop
        return np.nan if found is None else found

    def column(name):
        return pd.DataFrame(np.column_stack([getattr(one, name) for one in bars]))

    kinds = {"long": 0, "short": 1, "both": 2}  # vectorbt's `Direction`
    buys, sells = (np.column_stack([one[kind] for one in given]) for kind in (0, 1))
    shorts = np.array([account.side == "short" for account in accounts])
    entries, exits = np.where(shorts, sells, buys), np.where(shorts, buys, sells)
    sized = [account.size.partition(":") for account in accounts]
    return vbt.Portfolio.from_signals(
        column("close"),
        entries,
        exits,
        open=column("opens"),
        high=column("high"),
        low=column("low"),
        direction=each(lambda account: kinds[account.side]),
        size=np.array([float(amount) if amount else np.inf for _, _, amount in sized])[None, :],
        size_type=np.array([int(bool(amount)) for _, _, amount in sized])[None, :],
        fees=each(lambda account: account.fees),
        slippage=each(lambda account: account.slippage_bps / 10_000),
        sl_stop=each(stop),
        sl_trail=each(lambda account: account.trailing_stop is not None),
        tp_stop=each(lambda account: np.nan if account.take_profit is None else account.take_profit),
        stop_entry_price="fillprice",
        stop_exit_price="stopmarket",
        upon_opposite_entry="reverse",
        init_cash=10_000.0,
        freq="1h",
        **shared,
    )


def without_ties(bars, accounts):
    """No bar opens beyond a target and comes back to a stop: highs and lows stay near to the open and the close."""
    made = []
    for one, account in zip(bars, accounts, strict=True):
        opens = np.concatenate([one.opens[:1], one.close[:-1]])
        high, low = np.maximum(opens, one.close) * 1.001, np.minimum(opens, one.close) * 0.999
        made.append(replace(one, opens=opens, high=high, low=low))
        assert account.fill == "close"
    return made


def test_stops_sides_and_sizes_are_those_of_vectorbt():
    accounts = [terms(number) for number in range(CASES)]
    bars = without_ties([market(number, ROWS, volatility=0.01) for number in range(CASES)], accounts)
    given = [signals(number, ROWS, 0.08) for number in range(CASES)]
    theirs = vectorbt(bars, given, accounts)
    value, records = theirs.value(), theirs.orders.records
    stopped = 0
    for number, account in enumerate(accounts):
        trading = Trading(account)
        steps = trading.trade(bars[number], wanted(given[number]))
        equity = np.repeat(steps.equity, np.diff(steps.rows, append=steps.bars))
        expected = value[number].to_numpy()
        assert equity.tolist() == pytest.approx(expected.tolist(), **NEAR), account
        stopped += int(trading.trades()["reason"].is_in(["stop_loss", "take_profit", "trailing_stop"]).sum())
    assert stopped > CASES and len(records) > 8 * CASES


def test_one_cash_is_that_of_vectorbts_cash_sharing():
    count = 9
    account = Account(size="value:2500", stop_loss=0.02, take_profit=0.05)
    accounts = [account] * count
    bars = without_ties([market(number, ROWS, volatility=0.01) for number in range(count)], accounts)
    given = [signals(number + 100, ROWS, 0.08) for number in range(count)]
    theirs = vectorbt(bars, given, accounts, cash_sharing=True, group_by=True, call_seq="auto")
    portfolio = Portfolio(account, [f"S{number}USDT" for number in range(count)], count)
    curve = portfolio.advance([Piece(one, wanted(each)) for one, each in zip(bars, given, strict=True)])
    assert curve.equity.tolist() == pytest.approx(theirs.value().to_numpy().ravel().tolist(), **NEAR)
    assert curve.positions.max() >= 4
