"""Positions that follow one another: the same whether exits are found one by one, side by side or all at once."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.random_markets import accounts, market, seeds, signals, wanted

from hermes.stages.backtest import entries
from hermes.stages.backtest.account import transitions
from hermes.stages.backtest.entries import Entries
from hermes.stages.backtest.exits import Exits


def followed(account, bars, found, begin: int) -> list[tuple]:
    """Entry, exit and reason of every position from an entry on."""
    quotes = bars.opens if account.fill == "next_open" else bars.close
    places = Entries(Exits(account), bars, quotes, 0.0, found)
    made: list[Any] = []
    while begin < len(places):
        positions = places.follow(begin)
        begin = positions.following
        columns = positions.place, positions.entry, positions.ends.row, positions.ends.reason, positions.ends.quote
        made += zip(*(each.tolist() for each in columns), strict=True)
    return made


@settings(max_examples=80, deadline=None)
@given(st.data(), seeds, accounts(inverse=False), st.sampled_from([0.1, 0.5, 1.0]))
def test_chains_of_positions_are_the_same_however_they_are_found(data, seed, account, share):
    bars, given_ = market(seed, 150), signals(seed, 150, share)
    given_[1] &= signals(seed + 7, 150, data.draw(st.sampled_from([0.0, 0.1])))[0]
    found = transitions(wanted(given_), account)
    if not len(found.enter):
        return
    begin = data.draw(st.integers(0, len(found.enter) - 1))
    ways = []
    for chains, step, fewest in ((1, 0, 1), (5, 0, 2), (5, 20, 64), (1, 10**6, 3)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(entries, "CHAINS", chains)
            patch.setattr(entries, "STEP", step)
            patch.setattr(entries, "FEWEST", fewest)
            ways.append(followed(account, bars, found, begin))
    assert all(each == ways[0] for each in ways)
    for (_, _, row, *_), (_, entry, *_) in zip(ways[0], ways[0][1:], strict=False):
        assert entry >= row
