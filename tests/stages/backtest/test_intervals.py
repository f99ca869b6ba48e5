"""Intervals by the stationary bootstrap: the block length is arch's, and the ends are those of arch's resamples."""

import json

import numpy as np
import pytest

from hermes.stages.backtest.intervals import MOST_GROUPS, Groups, Intervals, _geometric, block_length, intervals


def series(bars: int, phi: float, seed: int, drift: float = 0.0) -> np.ndarray:
    """Returns of 1 % a bar that remember a share `phi` of the one before."""
    shocks = np.random.default_rng(seed).standard_normal(bars)
    values = np.empty(bars)
    last = 0.0
    for bar, shock in enumerate(shocks):
        last = values[bar] = phi * last + shock
    return drift + 0.01 * values


def pooled(returns: np.ndarray, block: int = 131_072) -> Groups:
    groups = Groups()
    for begin in range(0, len(returns), block):
        piece = returns[begin : begin + block]
        rows = np.flatnonzero(piece)
        groups.add(rows, piece[rows], len(piece))
    return groups


def found(returns: np.ndarray, years: float | None = 1.0, periods: float = 365.0, seed: int = 0) -> Intervals:
    made = intervals(pooled(returns), years, periods, seed)
    assert made
    return made


@pytest.mark.parametrize("bars", [40, 365, 2000])
@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.3, 0.9])
def test_block_length_is_that_of_arch(bars: int, phi: float) -> None:
    from arch.bootstrap import optimal_block_length  # takes seconds: not while tests are being collected

    values = series(bars, phi, seed=bars)
    expected = max(1.0, optimal_block_length(values)["stationary"].iloc[0])
    assert block_length(values) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("phi", [0.0, 0.4])
def test_ends_are_those_that_resamples_of_arch_give(phi: float) -> None:
    from arch.bootstrap import StationaryBootstrap

    returns = series(1000, phi, seed=3, drift=0.001)
    made = found(returns)
    oracle = StationaryBootstrap(made.block_bars, returns, seed=5)  # type: ignore[arg-type] # any positive number

    def figures(drawn: np.ndarray) -> np.ndarray:
        sharpe = drawn.mean() / drawn.std(ddof=1) * np.sqrt(365)
        return np.array([100 * (np.prod(1 + drawn) - 1), sharpe])

    drawn = oracle.apply(figures, 4000)
    (low, high), width = (
        np.quantile(drawn, (0.025, 0.975), axis=0),
        np.ptp(np.quantile(drawn, (0.025, 0.975), axis=0), axis=0),
    )
    assert made.total_return_pct == pytest.approx((low[0], high[0]), abs=0.1 * width[0])
    assert made.sharpe == pytest.approx((low[1], high[1]), abs=0.1 * width[1])


def test_the_mean_lies_inside_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(200):
        made = found(series(400, 0.3, seed=1000 + seed))
        assert made.sharpe
        inside += made.sharpe[0] <= 0 <= made.sharpe[1]
    assert 0.88 <= inside / 200 <= 0.99


def test_rate_per_year_is_that_of_the_total_return_over_the_elapsed_time() -> None:
    made = found(series(500, 0.0, seed=1), years=2.5)
    assert made.total_return_pct
    expected = [100 * ((1 + each / 100) ** (1 / 2.5) - 1) for each in made.total_return_pct]
    assert made.cagr_pct == pytest.approx(expected, rel=1e-2)  # a quantile lies between two resamples
    assert found(series(500, 0.0, seed=1), years=None).cagr_pct is None


def test_long_series_are_pooled_and_keep_every_sum() -> None:
    returns = series(5 * MOST_GROUPS, 0.0, seed=2)
    groups = pooled(returns, block=4096)
    assert groups.size == 8
    assert groups.sums.shape[1] <= MOST_GROUPS
    grown, mean, squares = groups.sums.sum(axis=1)
    assert (grown, mean, squares) == pytest.approx(
        (np.log1p(returns).sum(), returns.sum(), (returns**2).sum()), rel=1e-9
    )


def test_pooling_hardly_moves_the_ends() -> None:
    returns = series(4 * MOST_GROUPS, 0.2, seed=4)
    whole = Groups()
    whole._sums = np.array([np.log1p(returns), returns, returns**2])
    whole.bars = len(returns)
    plain, groups = intervals(whole, 1.0, 365.0), found(returns)
    assert plain
    assert plain.sharpe
    width = plain.sharpe[1] - plain.sharpe[0]
    assert groups.sharpe == pytest.approx(plain.sharpe, abs=0.1 * width)


def test_same_seed_same_ends_and_another_seed_other_ends() -> None:
    returns = series(300, 0.1, seed=8)
    assert found(returns) == found(returns)
    assert found(returns, seed=1) != found(returns)


@pytest.mark.parametrize("returns", [np.zeros(500), np.full(500, 0.001), series(29, 0.0, seed=0)])
def test_nothing_to_say_about_too_few_bars_or_returns_that_never_vary(returns: np.ndarray) -> None:
    assert intervals(pooled(returns), 1.0, 365.0) is None


def test_a_loss_of_everything_is_no_worse_than_everything() -> None:
    returns = series(100, 0.0, seed=9)
    returns[50] = -1.0
    made = found(returns)
    assert made.total_return_pct
    assert made.total_return_pct[0] == pytest.approx(-100)


@pytest.mark.parametrize("mean", [1.0, 1.3, 7.0, 400.0])
def test_lengths_of_blocks_are_geometric(mean: float) -> None:
    drawn = _geometric(mean, (400, 1000), np.random.default_rng(1))
    assert drawn.min() == 1
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    for length in (1, 2, 5):
        assert (drawn > length).mean() == pytest.approx((1 - 1 / mean) ** length, abs=0.005)


@pytest.mark.filterwarnings("error")
def test_a_few_wild_minutes_have_no_rate_per_year_and_no_warning() -> None:
    returns = np.random.default_rng(4).normal(0.05, 0.3, 60).clip(-0.9)
    made = found(returns, years=60 / 525_600, periods=525_600.0)
    assert made.cagr_pct is None
    low, high = made.total_return_pct or (0.0, 0.0)
    assert -100 < low < high < 1e12
    json.dumps(made.as_dict(), allow_nan=False)
