"""The paired bootstrap: swapped it says the opposite, noise is luck as often as it should be, an edge is found."""

import numpy as np
import pytest

from hermes.stages.backtest.paired import difference

PERIODS = 2190.0


def noise(seed: int, bars: int = 1_500) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, bars)


def test_what_it_measures_is_the_difference() -> None:
    first, second = noise(1) + 0.0005, noise(2)
    found = difference(first, second, PERIODS)
    assert found is not None
    growth = np.log1p(first).sum() - np.log1p(second).sum()
    sharpe = [each.mean() / each.std(ddof=1) * PERIODS**0.5 for each in (first, second)]
    assert found.log_growth == pytest.approx(growth, rel=1e-9)
    assert found.sharpe == pytest.approx(sharpe[0] - sharpe[1], rel=1e-9)
    assert found.log_growth_interval[0] < growth < found.log_growth_interval[1]
    assert (found.bars, found.differing) == (1_500, 1_500)


def test_swapped_it_says_the_opposite() -> None:
    there, back = difference(noise(3), noise(4), PERIODS), difference(noise(4), noise(3), PERIODS)
    assert there is not None
    assert back is not None
    assert there.log_growth == -back.log_growth
    assert there.growth_p == back.growth_p
    assert there.log_growth_interval == pytest.approx((-back.log_growth_interval[1], -back.log_growth_interval[0]))


def test_noise_is_called_more_than_luck_about_as_often_as_it_should_be() -> None:
    found = [difference(noise(2 * seed), noise(2 * seed + 1), PERIODS) for seed in range(150)]
    wrong = sum(each is not None and not each.is_luck for each in found)
    assert 1 <= wrong <= 18, "5 % of 150 are 7.5"


def test_a_small_edge_on_shared_noise_is_found() -> None:
    """The same bars move both: an edge far below their common noise is no luck."""
    common = noise(7)
    edge = np.random.default_rng(8).normal(0.0002, 0.001, len(common))
    found = difference(common + edge, common, PERIODS)
    assert found is not None
    assert not found.is_luck
    unpaired = [difference(noise(seed) + edge, common, PERIODS) for seed in range(10, 21)]
    assert np.median([each.growth_p for each in unpaired if each]) > 0.05, "without the pairing it is lost in the noise"


def test_where_nothing_differs_there_is_nothing_to_test() -> None:
    assert difference(noise(1), noise(1), PERIODS) is None
    assert difference(noise(1, 20), noise(2, 20), PERIODS) is None


def test_one_that_never_trades_has_no_sharpe() -> None:
    found = difference(noise(5), np.zeros(1_500), PERIODS)
    assert found is not None
    assert (found.sharpe, found.sharpe_p) == (None, None)
