"""Walk-forward: the past alone decides, and the parts add up."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import HOURS_4, bars

from hermes.errors import TableRefused, UsageError
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.portfolio import Account, asked
from hermes.stages.backtest.trials import Bars, trials
from hermes.stages.backtest.walk_forward import spans as spans_of
from hermes.stages.backtest.walk_forward import walk_forward, windows

DAY = "1d"


def market(days: int, seed: int, trials: int = 5):
    """Daily bars, and what some random strategies ask for."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, days)))
    nothing = [False] * days
    frame = bars(close, close, nothing, nothing, start=datetime(2020, 1, 31), every=timedelta(days=1))
    wanted = [asked(rng.random(days) < 0.1, rng.random(days) < 0.1) for _ in range(trials)]
    return Bars.of(frame), wanted


def walked(data: Bars, wanted: list, cut: list, seconds: int, account: Account, by: str = "sharpe"):
    measured = trials(data, wanted, spans_of(cut), seconds, account)
    return walk_forward(data, wanted.__getitem__, measured, cut, seconds, account, by)


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
    for span in ("", "2", "0d", "-1y", "1h", "1.5y"):
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
        for row, is_buy in zip(signals.rows, signals.buys, strict=True):
            if begin <= row < end:
                (buy if is_buy else sell)[row - begin] = True
        some = data.between(begin, end)
        return pl.DataFrame(
            {"datetime": some.times, "open": some.opens, "close": some.close, "buy_signal": buy, "sell_signal": sell}
        )

    worth = 1.0
    for each in found.windows:
        window = each.window
        before = [backtest(frame(s, window.train, window.test), DAY, account).metrics for s in wanted]
        values = [metrics.total_return_pct for metrics in before]
        assert each.chosen == values.index(max(values)) and each.train == before[each.chosen]
        after = frame(wanted[each.chosen], window.test, window.end)
        last = pl.int_range(pl.len()) == pl.len() - 1
        after = after.with_columns(buy_signal=pl.col("buy_signal") & ~last, sell_signal=pl.col("sell_signal") | last)
        assert each.test == backtest(after, DAY, account).metrics
        worth *= 1 + each.test.total_return_pct / 100
    assert 1 + found.out_of_sample.total_return_pct / 100 == pytest.approx(worth)
    assert found.curve["out_of_sample"][-1] == pytest.approx(worth * account.initial_cash)

    begin, end = spans[0].test, spans[-1].end
    hindsight = [backtest(frame(s, begin, end), DAY, account).metrics.total_return_pct for s in wanted]
    assert found.best == hindsight.index(max(hindsight))
    assert found.in_sample.total_return_pct == max(hindsight)
    assert found.curve["in_sample"][-1] == pytest.approx((1 + max(hindsight) / 100) * account.initial_cash)
    assert found.curve["holding"][-1] / found.curve["holding"][0] == pytest.approx(
        1 + found.out_of_sample.benchmark_return_pct / 100
    )


def test_nothing_to_choose_from_stays_flat():
    data, wanted = market(100, 1)
    never = [each.between(0, 0) for each in wanted]
    found = walked(data, never, windows(data.times, "30d", "20d"), HOURS_4, Account())
    assert [each.chosen for each in found.windows] == [None] * 4
    assert found.out_of_sample.trades == 0 and found.best is None and found.in_sample is None
