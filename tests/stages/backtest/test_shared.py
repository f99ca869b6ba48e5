"""Accounts that trade the same signals: each comes to the same, however their exits are found."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.random_markets import accounts, market, seeds, signals, wanted
from tests.stages.backtest.test_trading import rates

from hermes.stages.backtest import shared, trials
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.shared import are_worth_it

OFTEN, NEVER = 0, 10**9


@settings(max_examples=40, deadline=None)
@given(st.data(), seeds, st.lists(accounts(), min_size=2, max_size=6), st.sampled_from([13, 1000]))
def test_what_is_found_together_is_what_each_finds_alone(data, seed, terms, block):
    made = market(seed, 150, missing=0.1)
    funding = rates(made, seed, timedelta(hours=3), timedelta()) if data.draw(st.booleans()) else None
    bars = Bars(made.times, made.opens, made.close, made.high, made.low, funding)
    one = wanted(signals(seed, 150, data.draw(st.sampled_from([0.05, 0.4])), data.draw(st.sampled_from([2, 4]))))
    other = wanted(signals(seed + 3, 150, 0.3))
    asked = [data.draw(st.sampled_from([one, one, other])) for _ in terms]
    found = []
    for worth in (OFTEN, NEVER):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared, "WORTH", worth)
            patch.setattr(trials, "BLOCK_ROWS", block)
            found.append([each.metrics for each in trials.search(bars, asked, "1h", terms)])
    assert found[0] == found[1]


def test_what_no_entry_reaches_is_traded_once(monkeypatch):
    made, one = market(5, 300), wanted(signals(5, 300, 0.3))
    numbers = (0.01, 0.02, *(5.0 + more for more in range(10)))
    grid = [Account(stop_loss=0.01, take_profit=target) for target in numbers]
    traded, whole = [], trials._trial
    monkeypatch.setattr(trials, "_trial", lambda *given: traded.append(given[3]) or whole(*given))
    monkeypatch.setattr(shared, "WORTH", OFTEN)
    (found,) = trials.trials(made, [one] * len(grid), [trials.Span(0, 300)], "1h", grid)
    assert [account.take_profit for account in traded] == [0.01, 0.02, 5.0]
    monkeypatch.setattr(shared, "WORTH", NEVER)
    alone = trials.search(made, [one] * len(grid), "1h", grid)
    assert [each.metrics for each in found] == [each.metrics for each in alone]


def test_it_is_worth_it_where_levels_are_combined():
    grid = [Account(stop_loss=stop / 100, take_profit=target / 100) for stop in range(1, 13) for target in range(1, 13)]
    assert are_worth_it(grid)
    assert not are_worth_it(grid[:3])
    assert not are_worth_it([Account()] * 100)
