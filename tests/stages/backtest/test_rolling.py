"""The Sharpe ratio of a moving window, against each window computed by itself."""

from math import isnan, sqrt
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import HOURS_4, markets

from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.rolling import rolling_sharpe
from hermes.stages.backtest.trading import equity_curve

returns = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.01, -0.02]) | st.floats(-0.2, 0.2), min_size=1, max_size=60)


@settings(deadline=None)
@given(returns, st.integers(1, 4), st.integers(1, 8))
def test_each_window_is_that_of_its_bars_alone(values, each, groups):
    parts = [values[at : at + each] for at in range(0, len(values), each)]
    sums, squares, counts = (
        np.array([sum(part) for part in parts]),
        np.array([sum(value**2 for value in part) for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )
    found = rolling_sharpe(sums, squares, counts, groups, 100)
    assert len(found) == len(parts)
    for at, value in enumerate(found):
        bars = [each for part in parts[max(0, at + 1 - groups) : at + 1] for each in part]
        if at + 1 < groups or len(bars) < 2 or len(set(bars)) == 1:
            assert isnan(value) or abs(value) > 1e6  # a deviation that is nothing but rounding
        elif stdev(bars) > 1e-6:
            assert value == pytest.approx(10 * mean(bars) / stdev(bars), rel=1e-6, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(markets())
def test_a_window_of_all_bars_is_the_measure(frame):
    account = Account()
    equity = np.concatenate([each["equity"].to_numpy() for each in equity_curve([frame], account)])
    moved = equity / np.concatenate([[account.initial_cash], equity[:-1]]) - 1
    ones = np.ones(len(moved))
    metrics = backtest(frame, HOURS_4, account).metrics
    last = rolling_sharpe(moved, moved**2, ones, len(moved), metrics.periods_per_year)[-1]
    if metrics.sharpe is None:
        assert isnan(last)
    else:
        assert last == pytest.approx(metrics.sharpe, rel=1e-9)


def test_no_window_is_full():
    ones = np.ones(3)
    assert np.isnan(rolling_sharpe(ones, ones, ones, 4, sqrt(2))).all()
