"""The luck test: every draw is what the engine would make of it, and draws are fair."""

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import HOURS_4, accounts, bars, markets
from tests.stages.backtest.random_markets import market, signals

from hermes.stages.backtest.account import Account, SignalEvents, signal_events
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.luck import luck, placed
from hermes.stages.backtest.trading import Trading

NEVER = SignalEvents(np.empty(0, np.intp), np.empty(0, np.uint8))


def events(frame: pl.DataFrame) -> SignalEvents:
    return signal_events(frame["buy_signal"].to_numpy(), frame["sell_signal"].to_numpy())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_trades_keep_their_lengths_and_never_touch(held, room, seed):
    total = sum(held) + len(held) + room
    entries, _, lengths = placed(total, np.array(held), 20, np.random.default_rng(seed))
    for row, each in zip(entries.tolist(), lengths.tolist(), strict=True):
        assert sorted(each) == sorted(held)
        ends = [begin + length for begin, length in zip(row, each, strict=True)]
        assert row[0] >= 0 and ends[-1] <= total - 1
        assert all(end < begin for end, begin in zip(ends, row[1:], strict=False))


def test_one_trade_enters_at_every_bar_as_often():
    entries, _, _ = placed(12, np.array([2]), 50_000, np.random.default_rng(1))
    counts = Counter(entries[:, 0].tolist())
    assert set(counts) == set(range(10))
    assert all(count == pytest.approx(5000, rel=0.06) for count in counts.values())


@settings(max_examples=20, deadline=None)
@given(markets(), accounts(fills=("close",)), st.integers(0, 2**32 - 1))
def test_a_plain_loop_finds_the_same(frame, account, seed):
    """Each draw traded by the engine, through signals, one after the other."""
    draws = 20
    found = luck(Bars.of(frame), events(frame), account, draws, seed)
    trades = backtest(frame, HOURS_4, account).trades
    if found is None:
        assert trades.is_empty()
        return
    last = frame.height - 1
    rows = {time: row for row, time in enumerate(frame["datetime"])}
    own = [(rows[each["entry_time"]], rows.get(each["exit_time"], last)) for each in trades.to_dicts()]

    def traded(spans: list[tuple[int, int]]) -> float:
        worth = 1.0
        for begin, end in spans:
            if begin == end:  # bought at the last bar or sold where it was bought: no signals can ask for that
                slip = account.slippage_bps / 10_000
                worth *= (1 - slip) / (1 + slip) * (1 - account.fees) / (1 + account.fees)
                continue
            buy, sell = ([row == wanted for row in range(frame.height)] for wanted in (begin, end))
            signalled = frame.with_columns(buy_signal=pl.Series(buy), sell_signal=pl.Series(sell))
            worth *= 1 + backtest(signalled, HOURS_4, account).metrics.total_return_pct / 100
        return 100 * (worth - 1)

    mine = traded(own)
    assert found.return_pct == pytest.approx(mine, rel=1e-9, abs=1e-9)
    held = np.array([end - begin for begin, end in own])
    entries, _, lengths = placed(frame.height, held, draws, np.random.default_rng(seed))
    plain = [
        traded([(begin, begin + length) for begin, length in zip(*each, strict=True)])
        for each in zip(entries.tolist(), lengths.tolist(), strict=True)
    ]
    assert found.median_pct == pytest.approx(np.median(plain), rel=1e-9, abs=1e-9)
    below = sum(each < mine - 1e-9 for each in plain) + sum(abs(each - mine) <= 1e-9 for each in plain) / 2
    assert found.percentile == pytest.approx(100 * below / draws, abs=100 / draws)


def test_foresight_beats_all_and_the_same_seed_draws_the_same():
    rng = np.random.default_rng(3)
    steps = rng.choice([-0.01, 0.01], 200)
    close = 100 * np.exp(np.cumsum(steps))
    up = np.append(steps[1:] > 0, [False])
    frame = bars(close, close, up, ~up)
    account = Account(fees=0)
    first = luck(Bars.of(frame), events(frame), account, 500, seed=5)
    assert first and first.percentile == 100
    assert first == luck(Bars.of(frame), events(frame), account, 500, seed=5)
    assert luck(Bars.of(frame), NEVER, account) is None


def test_next_open_trades_at_opens():
    frame = bars([1.0, 2.0, 3.0, 4.0], [9.0] * 4, [True] + [False] * 3, [False, False, True, False])
    found = luck(Bars.of(frame), events(frame), Account(fees=0, fill="next_open"), 50)
    assert found and found.return_pct == pytest.approx(100)  # bought at 2, sold at 4


def test_draws_that_are_the_same_trades_in_another_order_tie():
    # Three trades of different lengths that fill all bars: every draw is them in some order, worth the same but for
    # the last digit, so the strategy is neither better nor worse than any.
    close = np.array([1.1**row for row in range(12)])
    buy, sell = (np.isin(np.arange(12), rows) for rows in ([0, 3, 6], [2, 5, 11]))
    frame = bars(close, close, buy, sell)
    found = luck(Bars.of(frame), events(frame), Account(fees=0.001), 400)
    assert found and found.percentile == 50


@pytest.mark.parametrize(
    "account",
    [
        Account(side="both", stop_loss=0.03, take_profit=0.05),
        Account(side="short", size="fraction:0.3", slippage_bps=10),
        Account(size="fraction:0.5", trailing_stop=0.04, fill="next_open"),
        Account(side="both", inverse=True, stop_loss=0.05),
    ],
)
def test_other_accounts_are_held_against_trades_like_their_own(account):
    data = market(3, 400)
    kinds = signals(3, 400, 0.05)
    kinds[:, -1] = [False, True]  # nothing is held at the end
    wanted = signal_events(*kinds)
    trading = Trading(account)
    steps = trading.trade(data, wanted)
    found = luck(data, wanted, account, draws=500)
    if not trading.trades()["open"].any():
        assert found.return_pct == pytest.approx(100 * (steps.equity[-1] / account.initial_cash - 1), rel=1e-9)
    assert found.trades == trading.trades().height and found.low_pct < found.median_pct < found.high_pct
    assert found == luck(data, wanted, account, draws=500)


def test_the_default_account_is_the_same_either_way():
    data, account = market(5, 300), Account()
    wanted = signal_events(*signals(5, 300, 0.05))
    plain = luck(data, wanted, account, draws=300)
    other = luck(data, wanted, replace(account, min_order=1e-9), draws=300)
    assert other.return_pct == pytest.approx(plain.return_pct, rel=1e-9)
    assert other.median_pct == pytest.approx(plain.median_pct, rel=1e-9)
