"""Every kind of account, against exact fractions."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_account import Plain
from tests.stages.backtest.random_markets import HOUR, accounts, market, seeds, signals, wanted

from hermes.stages.backtest.account import Account
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.funding import Funding
from hermes.stages.backtest.trading import Trading


def traded(bars: Bars, given, account: Account, funding: Funding | None = None, step: int | None = None):
    """The account after all bars, cut into pieces of `step`, and its equity bar by bar."""
    trading, equity, asks = Trading(account), [], wanted(given)
    bars = replace(bars, funding=funding)
    for begin in range(0, len(bars), step or len(bars)):
        end = min(begin + (step or len(bars)), len(bars))
        steps = trading.trade(bars.between(begin, end), asks.between(begin, end))
        equity.append(np.repeat(steps.equity, np.diff(steps.rows, append=steps.bars)))
    return trading, np.concatenate(equity)


def plain(bars: Bars, given, account: Account, funding: Funding | None = None) -> Plain:
    times = bars.times.tolist()
    charges = list(zip(funding.times.tolist(), funding.rates.tolist(), strict=False)) if funding else []
    opens, highs, lows, closes = (each.tolist() for each in (bars.opens, bars.high, bars.low, bars.close))
    return Plain(account, charges, HOUR if funding else None).run(times, opens, highs, lows, closes, given.T.tolist())


def rates(bars: Bars, seed: int, every: timedelta, offset: timedelta) -> Funding:
    """Funding every few hours, before, during and after the bars."""
    begin, end = bars.times[0] - np.timedelta64(1, "D"), bars.times[-1] + np.timedelta64(1, "D")
    times = np.arange(begin + np.timedelta64(offset), end, np.timedelta64(every)).astype("datetime64[us]")
    return Funding(times, np.random.default_rng(seed).normal(0, 0.002, len(times)), 3600)


def check(trading: Trading, equity, expected: Plain, times) -> None:
    near = {"rel": 1e-9, "abs": 1e-9 * expected.account.initial_cash}
    assert equity.tolist() == pytest.approx([float(each) for each in expected.equity], **near)
    trades = trading.trades().to_dicts()
    closed = [each for each in trades if not each["open"]]
    assert len(trades) - len(closed) == (expected.trade is not None)
    assert len(closed) == len(expected.trades)
    for mine, theirs in zip(closed, expected.trades, strict=True):
        assert mine["reason"] == theirs["reason"]
        assert mine["side"] == ("long" if theirs["side"] > 0 else "short")
        assert (mine["entry_time"], mine["exit_time"]) == (times[theirs["row"]], times[theirs["exit_row"]])
        assert mine["bars"] == theirs["exit_row"] - theirs["row"]
        for name in ("entry_price", "exit_price"):
            assert mine[name] == pytest.approx(float(theirs[name]), rel=1e-9)
        for name in ("profit", "funding"):
            assert mine[name] == pytest.approx(float(theirs[name]), **near)
    assert trading.position == expected.positions[-1]


@settings(max_examples=150, deadline=None)
@given(st.data(), seeds, st.integers(1, 160), accounts())
def test_every_account_is_that_of_exact_fractions(data, seed, rows, account):
    share = data.draw(st.sampled_from([0.0, 0.03, 0.2, 0.9]))
    kinds = data.draw(st.sampled_from([2, 4]))
    bars = market(
        seed,
        rows,
        volatility=data.draw(st.sampled_from([0.005, 0.03, 0.3])),
        tick=data.draw(st.sampled_from([None, 1.0])),
        missing=data.draw(st.sampled_from([0.0, 0.1])),
    )
    given = signals(seed, rows, share, kinds)
    funding = None
    if data.draw(st.booleans()):
        every, offset = data.draw(st.sampled_from([(8, 0), (1, 0), (8, 0.5), (3, 0.25)]))
        funding = rates(bars, seed, timedelta(hours=every), timedelta(hours=offset))
    trading, equity = traded(bars, given, account, funding)
    check(trading, equity, plain(bars, given, account, funding), bars.times.tolist())
    step = data.draw(st.integers(1, 40))
    again, pieces = traded(bars, given, account, funding, step)
    assert pieces.tolist() == equity.tolist()
    assert again.trades().equals(trading.trades())


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(20, 120), accounts(side="short", stop_loss=None, trailing_stop=None, max_bars=None))
def test_a_short_that_loses_everything_is_closed(seed, rows, account):
    bars = market(seed, rows, volatility=0.25)
    given = signals(seed, rows, 0.1)
    trading, equity = traded(bars, given, account)
    check(trading, equity, plain(bars, given, account), bars.times.tolist())
    ruined = np.flatnonzero(equity <= 0)
    assert not len(ruined) or (equity[ruined[0] :] == equity[ruined[0]]).all()


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(["close", "next_open"]), st.booleans())
def test_funding_in_gaps_and_inside_bars(seed, fill, inverse):
    rows = 60
    bars, given = market(seed, rows, missing=0.4), signals(seed, rows, 0.4)
    account = Account(fill=fill, side="both", inverse=inverse, stop_loss=0.03)
    for every in (1, 2, 0.75):
        funding = rates(bars, seed, timedelta(hours=every), timedelta())
        trading, equity = traded(bars, given, account, funding)
        check(trading, equity, plain(bars, given, account, funding), bars.times.tolist())
