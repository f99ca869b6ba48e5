"""Walk-forward: the past alone decides, and the parts add up."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import HOURS_4, bars

from hermes.errors import TableRefused, UsageError
from hermes.stages.backtest.account import BUY, Account, signal_events
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.trading import Trading
from hermes.stages.backtest.trials import Bars, trials
from hermes.stages.backtest.walk_forward import spans as spans_of
from hermes.stages.backtest.walk_forward import walk_forward, windows

DAY = "1d"
TIMES = "entry_time", "exit_time"


def market(days: int, seed: int, trials: int = 5):
    """Daily bars, and what some random strategies ask for."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, days)))
    nothing = [False] * days
    frame = bars(close, close, nothing, nothing, start=datetime(2020, 1, 31), every=timedelta(days=1))
    wanted = [signal_events(rng.random(days) < 0.1, rng.random(days) < 0.1) for _ in range(trials)]
    return Bars.of(frame), wanted


def walked(data: Bars, wanted: list, cut: list, interval: str, account: Account, by: str = "sharpe"):
    measured = trials(data, wanted, spans_of(cut), interval, account)
    return walk_forward(data, wanted.__getitem__, measured, cut, interval, account, by)


def cut(data: Bars, wanted: list, end: int):
    return data.between(0, end), [each.between(0, end) for each in wanted]


def test_windows_follow_the_calendar():
    data, _ = market(800, 1)
    found = windows(data.times, "1y", "6m")
    days = [[str(data.times[row])[:10] for row in (each.train, each.test, each.end - 1)] for each in found]
    assert days == [
        ["2020-01-31", "2021-01-31", "2021-07-30"],
        ["2020-07-31", "2021-07-31", "2022-01-30"],
        ["2021-01-31", "2022-01-31", "2022-04-09"],  # the last one ends with the bars
    ]
    assert {each.train for each in windows(data.times, "1y", "6m", anchored=True)} == {0}


def test_spans_and_bars_that_will_not_do():
    data, _ = market(30, 1)
    for span in ("", "2", "0d", "-1y", "1h", "1.5y", "9999y"):
        with pytest.raises(UsageError, match="not a span"):
            windows(data.times, span, "1d")
    with pytest.raises(TableRefused, match="before 1y of training"):
        windows(data.times, "1y", "6m")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(60, 200), st.booleans(), st.sampled_from(["close", "next_open"]))
def test_later_bars_change_nothing_of_earlier_windows(seed, end, anchored, fill):
    data, wanted = market(200, seed)
    account = Account(fill=fill)

    def run(some: Bars, signals: list):
        spans = windows(some.times, "30d", "20d", anchored=anchored)
        return walked(some, signals, spans, DAY, account)

    whole, part = run(data, wanted), run(*cut(data, wanted, end))
    complete = [each for each in part.windows if each.window.end < end]
    assert complete == whole.windows[: len(complete)]
    if len(part.windows) > len(complete):  # what is chosen for a window that has begun stands already
        assert part.windows[-1].chosen == whole.windows[len(complete)].chosen


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_choices_and_measures_are_those_of_a_plain_loop(seed, anchored):
    data, wanted = market(150, seed)
    account, spans = Account(), windows(data.times, "40d", "25d", anchored=anchored)
    found = walked(data, wanted, spans, DAY, account, by="total_return_pct")

    def frame(signals, begin: int, end: int) -> pl.DataFrame:
        buy, sell = np.zeros(end - begin, bool), np.zeros(end - begin, bool)
        for row, is_buy in zip(signals.rows, (signals.bits & BUY) > 0, strict=True):
            if begin <= row < end:
                (buy if is_buy else sell)[row - begin] = True
        some = data.between(begin, end)
        return pl.DataFrame(
            {"datetime": some.times, "open": some.opens, "close": some.close, "buy_signal": buy, "sell_signal": sell}
        )

    last = pl.int_range(pl.len()) == pl.len() - 1
    at_end = [pl.col("buy_signal") & ~last, pl.col("sell_signal") | last]
    worth = 1.0
    for each in found.windows:
        window = each.window
        before = [backtest(frame(s, window.train, window.test), DAY, account).metrics for s in wanted]
        values = [metrics.total_return_pct for metrics in before]
        assert each.chosen == values.index(max(values)) and each.train == before[each.chosen]
        after = frame(wanted[each.chosen], window.test, window.end)
        after = after.with_columns(at_end)
        assert each.test == backtest(after, DAY, account).metrics
        worth *= 1 + each.test.total_return_pct / 100
    assert 1 + found.out_of_sample.total_return_pct / 100 == pytest.approx(worth)
    assert found.curve["out_of_sample"][-1] == pytest.approx(worth * account.initial_cash)

    def foreseen(signals) -> float:
        worth = 1.0
        for window in spans:
            part = frame(signals, window.test, window.end).with_columns(at_end)
            worth *= 1 + backtest(part, DAY, account).metrics.total_return_pct / 100
        return worth

    begin, end = spans[0].test, spans[-1].end
    hindsight = [foreseen(each) for each in wanted]
    assert found.best == hindsight.index(max(hindsight))
    assert found.in_sample.total_return_pct == pytest.approx(100 * (max(hindsight) - 1), rel=1e-9, abs=1e-9)
    assert found.curve["in_sample"][-1] == pytest.approx(max(hindsight) * account.initial_cash)
    assert found.curve["holding"][-1] / found.curve["holding"][0] == pytest.approx(
        1 + found.out_of_sample.benchmark_return_pct / 100
    )
    assert data.times[begin] == found.bars.times[0] and data.times[end - 1] == found.bars.times[-1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["close", "next_open"]), st.sampled_from(["1d", "2d", "3d", "20d"]))
def test_windows_compound_and_end_flat_with_either_fill(seed, fill, test):
    rng = np.random.default_rng(seed)
    data, wanted = market(120, seed)
    opens = data.close * np.exp(rng.normal(0, 0.01, 120))
    data = Bars(data.times, opens, data.close)
    account, spans = Account(fill=fill, slippage_bps=5.0), windows(data.times, "30d", test)
    found = walked(data, wanted, spans, DAY, account)
    for each in found.windows:
        assert not each.test.open_trade
    for metrics in (found.out_of_sample, found.in_sample):
        assert metrics is None or not metrics.open_trade
    worth = np.prod([1 + each.test.total_return_pct / 100 for each in found.windows])
    assert 1 + found.out_of_sample.total_return_pct / 100 == pytest.approx(worth, rel=1e-9)
    assert sum(each.test.trades for each in found.windows) == found.out_of_sample.trades
    assert found.fills[fill] == found.out_of_sample and set(found.fills) == {"close", "next_open"}
    assert not any(metrics.open_trade for metrics in found.fills.values())
    # Every trade begins and ends in one window, the last at the window's last bar at the latest.
    portfolio = Trading(account)
    portfolio.trade(found.bars, found.wanted)
    starts = np.array([data.times[window.test] for window in spans])
    for trade in portfolio.trades().to_dicts():
        entered, left = (np.searchsorted(starts, np.datetime64(trade[name]), side="right") for name in TIMES)
        assert entered == left


def test_nothing_to_choose_from_stays_flat():
    data, wanted = market(100, 1)
    never = [each.between(0, 0) for each in wanted]
    found = walked(data, never, windows(data.times, "30d", "20d"), HOURS_4, Account())
    assert [each.chosen for each in found.windows] == [None] * 4
    assert found.out_of_sample.trades == 0 and found.best is None and found.in_sample is None
