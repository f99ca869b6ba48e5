"""Many trials at once: each is what the engine says of it alone."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import HOURS_4, accounts, bars, markets, markets_of

from hermes.stages.backtest import engine
from hermes.stages.backtest import trials as search
from hermes.stages.backtest.account import Account, SignalEvents, signal_events
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.overfitting import PARTS
from hermes.stages.backtest.trading import equity_curve
from hermes.stages.backtest.trials import Bars, effective_number, parts_of, returns_of
from hermes.stages.signals.plan import many_signals, signals
from hermes.strategies.smart_momentum import SmartMomentum


def events(frame: pl.DataFrame):
    return signal_events(frame["buy_signal"].to_numpy(), frame["sell_signal"].to_numpy())


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60).flatmap(lambda n: st.lists(markets_of(n), min_size=1, max_size=4)), accounts())
def test_every_trial_is_the_engines_bit_for_bit(signalled, account):
    prices = signalled[0]
    columns = ["buy_signal", "sell_signal"]
    frames = [prices.with_columns(each.select(columns)) for each in signalled]
    trials = search.search(Bars.of(prices), [events(each) for each in frames], HOURS_4, account)
    for frame, trial in zip(frames, trials, strict=True):
        assert trial.metrics == backtest(frame, HOURS_4, account).metrics


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(markets(), accounts())
def test_longer_series_are_cut_where_the_engine_cuts_them(monkeypatch, frame, account):
    monkeypatch.setattr(engine, "BLOCK_ROWS", 7)
    monkeypatch.setattr(search, "BLOCK_ROWS", 7)
    (trial,) = search.search(Bars.of(frame), [events(frame)], HOURS_4, account)
    assert trial.metrics == backtest(frame, HOURS_4, account).metrics


@settings(max_examples=50, deadline=None)
@given(markets(), accounts())
def test_returns_and_their_parts_are_those_of_the_equity(frame, account):
    (curve,) = equity_curve([frame], account)
    values = [account.initial_cash, *curve["equity"]]
    plain = [after / before - 1 for before, after in pairwise(values)]
    bars, wanted = Bars.of(frame), events(frame)
    returns, above = returns_of(bars, wanted, account)
    assert returns.tolist() == pytest.approx(plain, rel=1e-9, abs=1e-12)
    held = [0.0, *(after / before - 1 for before, after in pairwise(frame["close"]))]
    share = curve["account_position"][1:].mean() or 0.0
    expected = [each - share * holding for each, holding in zip(plain, held, strict=True)]
    assert above.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    parts = parts_of(search.search(bars, [wanted], HOURS_4, account), len(bars))
    for part in range(PARTS):
        mine = [each for row, each in enumerate(plain) if row * PARTS // len(plain) == part]
        assert parts.bars[part] == len(mine)
        assert parts.sums[part, 0] == pytest.approx(sum(mine), abs=1e-9)
        assert parts.squares[part, 0] == pytest.approx(sum(each**2 for each in mine), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10), st.lists(st.sampled_from([3, 4, 5, 6]), min_size=1, max_size=4))
def test_many_strategies_signal_as_each_does_alone(seed, first, fasts):
    rng = np.random.default_rng(seed)
    names = {f"ema_{n}": rng.choice([1.0, 2.0, 3.0, None], 40).tolist() for n in (*range(3, 7), 26)}
    frame = pl.DataFrame(
        {
            "datetime": np.datetime64("2024-01-01", "us") + np.arange(40) * np.timedelta64(4, "h"),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), rng.random(40) + 1),
            **names,
            "rsi_14": rng.uniform(40, 60, 40),
            "supertrend_dir_10_3.0": rng.choice([1, -1], 40),
        },
        schema_overrides=dict.fromkeys(names, pl.Float64) | {"supertrend_dir_10_3.0": pl.Int8},
    )
    strategies = [SmartMomentum(ema_fast=fast) for fast in fasts]
    for strategy, (buys, sells) in zip(strategies, many_signals(frame, strategies, first), strict=True):
        alone = signals(frame, strategy, first, 0)
        assert buys.tolist() == alone["buy_signal"].to_list() and sells.tolist() == alone["sell_signal"].to_list()


def test_copies_of_a_trial_count_once_and_trials_that_share_nothing_each():
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 6000)))
    frame = bars(close, close, [False] * 6000, [False] * 6000)
    market = Bars.of(frame)

    def traded(seed: int) -> SignalEvents:
        own = np.random.default_rng(seed)
        return signal_events(own.random(6000) < 0.1, own.random(6000) < 0.1)

    def effective(wanted: list) -> float:
        return effective_number(search.search(market, wanted, HOURS_4, Account(fees=0)), 6000)

    never = signal_events(np.zeros(6000, bool), np.zeros(6000, bool))
    assert effective([traded(1)] * 20) == pytest.approx(1)
    assert effective([traded(1)] * 20 + [never] * 5) == pytest.approx(2)
    assert effective([traded(1)] * 10 + [traded(2)] * 10) < 4
    # Random positions on the same bars share half of their time with each other.
    assert 2 < effective([traded(seed) for seed in range(20)]) < 12
    assert effective([never]) == 1
