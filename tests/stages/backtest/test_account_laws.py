"""What holds of every account: causality, money that adds up, finer bars that never fill worse."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import bars as frame_of
from tests.stages.backtest.random_markets import accounts, market, seeds, signals, wanted
from tests.stages.backtest.test_trading import traded

from hermes.errors import SettingsError
from hermes.stages.backtest.account import Account, signal_events
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.trading import Trading
from hermes.stages.backtest.trials import search


@settings(max_examples=60, deadline=None)
@given(seeds, accounts(), st.integers(1, 99))
def test_later_bars_never_change_an_earlier_fill(seed, account, row):
    bars, kinds = market(seed, 100), signals(seed, 100, 0.1)
    _, whole = traded(bars, kinds, account)
    _, equity = traded(bars.between(0, row), kinds[:, :row], account)
    assert whole[:row].tolist() == equity.tolist()


@settings(max_examples=60, deadline=None)
@given(seeds, accounts())
def test_equity_is_what_was_there_plus_profits_and_a_long_account_never_owes(seed, account):
    bars, kinds = market(seed, 100), signals(seed, 100, 0.1)
    trading = Trading(account)
    steps = trading.trade(bars, wanted(kinds))
    profit = float(trading.outcomes().profit.sum())
    assert steps.equity[-1] == pytest.approx(account.initial_cash + profit, rel=1e-9, abs=1e-7)
    if account.side == "long" and not account.inverse:
        assert (steps.equity - steps.value).min() >= -1e-9 * account.initial_cash


def finer(bars: Bars, seed: int, parts: int) -> Bars:
    """Each bar as several whose opens are the closes before them, and which have the same extremes."""
    rng, columns = np.random.default_rng(seed), []
    for open_, high, low, close in zip(bars.opens, bars.high, bars.low, bars.close, strict=True):
        path = np.concatenate([[open_], rng.uniform(low, high, parts - 1), [close]])
        opens, closes = path[:-1], path[1:]
        highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
        highs[rng.integers(parts)], lows[rng.integers(parts)] = high, low
        columns.append(np.stack([opens, highs, lows, closes]))
    opens, highs, lows, closes = np.concatenate(columns, axis=1)
    times = bars.times[0] + np.arange(len(closes)) * np.timedelta64(1, "m")
    return Bars(times, opens, closes, highs, lows)


@settings(max_examples=80, deadline=None)
@given(seeds, st.sampled_from(["long", "short"]), st.floats(0.005, 0.1), st.floats(0.005, 0.1), st.integers(2, 8))
def test_finer_bars_never_fill_worse(seed, side, stop, target, parts):
    account = Account(fees=0, side=side, stop_loss=stop, take_profit=target, fill="next_open")
    coarse = market(seed, 40, gaps=0.0)
    fine = finer(coarse, seed, parts)
    found = []
    for bars, row in ((coarse, 0), (fine, parts - 1)):  # known at the first coarse bar's close
        kinds = np.zeros((2, len(bars)), bool)
        kinds[0 if side == "long" else 1, row] = True
        trading = Trading(account)
        trading.trade(bars, wanted(kinds))
        found.append(trading.trades().to_dicts()[0])
    one, other = found
    assert one["entry_price"] == other["entry_price"]
    if not one["open"]:
        assert other["profit"] >= one["profit"] - 1e-9


def test_a_search_over_accounts_is_each_alone():
    bars, kinds = market(7, 500), signals(7, 500, 0.05)
    terms = [Account(stop_loss=stop, take_profit=target) for stop in (None, 0.01, 0.03) for target in (None, 0.02)]
    found = search(bars, [wanted(kinds)] * len(terms), "1h", terms)
    columns = {"high": bars.high, "low": bars.low}
    frame = (
        frame_of(bars.opens, bars.close, *kinds).with_columns(**columns).with_columns(datetime=pl.Series(bars.times))
    )
    for account, trial in zip(terms, found, strict=True):
        assert trial.metrics == backtest(frame, "1h", account).metrics


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial_cash": float("nan")},
        {"initial_cash": 1e300},
        {"stop_loss": 0},
        {"stop_loss": 1.0},
        {"take_profit": -0.1},
        {"take_profit": float("nan")},
        {"trailing_stop": 1.5},
        {"max_bars": 0},
        {"min_order": -1},
        {"lot_step": float("inf")},
        {"side": "up"},
        {"size": "fraction:0"},
        {"size": "fraction:1.1"},
        {"size": "half"},
    ],
)
def test_impossible_terms_are_refused_by_name_and_value(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(SettingsError, match=name) as error:
        Account(**wrong)
    assert str(value) in error.value.message and error.value.cure and error.value.exit_code == 2


def test_whole_lots_are_bought_though_floats_round():
    bars = market(1, 10)
    bars = replace(bars, close=np.full(10, 0.1), opens=np.full(10, 0.1), high=np.full(10, 0.1), low=np.full(10, 0.1))
    buys = np.zeros(10, bool)
    buys[2] = True
    trading = Trading(Account(initial_cash=0.3, fees=0.0, lot_step=1.0))
    steps = trading.trade(bars, signal_events(buys, np.zeros(10, bool)))
    assert trading.trades()["size"].to_list() == [3.0] and (steps.equity - steps.value).min() >= 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("terms", [{"lot_step": 5e-324}, {"take_profit": 1e308}, {"size": "value:1e308"}])
@pytest.mark.parametrize("side", ["long", "both"])
def test_terms_so_small_or_so_far_away_that_they_change_nothing(terms, side):
    bars, kinds = market(3, 200), signals(3, 200, 0.1)
    _, equity = traded(bars, kinds, Account(side=side, **terms))
    _, plain = traded(bars, kinds, Account(side=side))
    assert equity.tolist() == pytest.approx(plain.tolist(), rel=1e-9)
