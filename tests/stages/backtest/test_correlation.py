"""The correlation of many series is that of the returns that both have, however the bars were cut."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.random_markets import market, seeds

from hermes.stages.backtest import correlation
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.correlation import Correlation
from hermes.stages.backtest.grid import Grids


def found(series: list[Bars], hours: int | None = None):
    """The matrix, from bars that came in pieces of so many hours."""
    grids, made = Grids(len(series)), Correlation(len(series))
    times = np.unique(np.concatenate([each.times for each in series]))
    step = np.timedelta64(hours or 10**6, "h")
    for begin in np.arange(times[0], times[-1] + np.timedelta64(1, "h"), step):
        cuts = [np.searchsorted(each.times, [begin, begin + step]) for each in series]
        pieces = [each.between(*cut) if cut[0] < cut[1] else None for each, cut in zip(series, cuts, strict=True)]
        if any(pieces):
            made.take(grids.of(pieces))
            made.sum_up()
    return made.matrix()


def returns(bars: Bars, times) -> dict:
    """The return of every bar that has one before it at the time before."""
    closes = dict(zip(bars.times.tolist(), bars.close.tolist(), strict=True))
    return {now: closes[now] / closes[before] - 1 for before, now in itertools.pairwise(times)
            if before in closes and now in closes}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 70), st.sampled_from([0.0, 0.2]), st.sampled_from([1, 3, 25]))
def test_it_is_that_of_shared_returns_however_bars_are_cut(seed, rows, missing, hours):
    series = [market(seed + number, rows, missing=missing) for number in range(3)]
    series[1] = replace(series[1], times=series[1].times + np.timedelta64(2, "h"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlation, "TIMES", 16)
        patch.setattr(correlation, "TILE", 2)
        patch.setattr(correlation, "DEPTH", 4)
        matrix = found(series)
        assert found(series, hours) == matrix
    times = np.unique(np.concatenate([each.times for each in series])).tolist()
    each = [returns(bars, times) for bars in series]
    for i, one in enumerate(each):
        for j, other in enumerate(each):
            both = sorted(one.keys() & other.keys())
            if len(both) < 3:
                assert matrix[i][j] is None
                continue
            expected = np.corrcoef([one[time] for time in both], [other[time] for time in both])[0, 1]
            assert matrix[i][j] == pytest.approx(expected, abs=1e-9)
