"""Deflated Sharpe ratio and probability of overfitting: the papers' figures, and plain loops."""

from itertools import combinations
from math import log, sqrt
from statistics import NormalDist, mean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.stages.backtest import overfitting
from hermes.stages.backtest.overfitting import (
    Parts,
    adjusted,
    deflated_sharpe,
    effective_trials,
    expected_best,
    probabilistic_sharpe,
    probability,
)


def test_the_papers_example():
    """Bailey & López de Prado (2014), "A numerical example": SR 2.5 a year, 1250 days, N = 100, V = 1/2, -3, 10."""
    expected = expected_best(0.5 / 250, 100)
    assert expected == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(2.5 / sqrt(250), expected, 1250, -3, 10) == pytest.approx(0.9004, abs=5e-5)
    # The same after 46 trials, and with normal returns after 88, is 95 %: as the paper says in the same place.
    assert probabilistic_sharpe(2.5 / sqrt(250), expected_best(0.5 / 250, 46), 1250, -3, 10) == pytest.approx(
        0.95, abs=2e-3
    )
    assert probabilistic_sharpe(2.5 / sqrt(250), expected_best(0.5 / 250, 88), 1250, 0, 3) == pytest.approx(
        0.95, abs=2e-3
    )


def test_the_best_of_many_without_skill_is_as_good_as_expected():
    rng = np.random.default_rng(1)
    found = rng.normal(0, 0.3, (4000, 200)).max(axis=1).mean()
    assert expected_best(0.09, 200) == pytest.approx(found, rel=0.02)
    assert expected_best(0.09, 1) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=40), st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_deflated_sharpe_is_a_plain_calculation(returns, sharpes):
    n, average = len(returns), mean(returns)
    second, third, fourth = (mean((each - average) ** k for each in returns) for k in (2, 3, 4))
    found = deflated_sharpe(np.array(returns), sharpes)
    if second < 1e-9:
        return
    sharpe, skew, kurtosis = average / stdev(returns), third / second**1.5, fourth / second**2
    threshold = 0.0
    if len(sharpes) > 1:
        normal, gamma = NormalDist(), 0.577215664901533
        usual = normal.inv_cdf(1 - 1 / len(sharpes))
        rare = normal.inv_cdf(1 - 1 / (len(sharpes) * 2.718281828459045))
        threshold = stdev(sharpes) * ((1 - gamma) * usual + gamma * rare)
    scale = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if scale < 1e-6:
        return
    plain = NormalDist().cdf((sharpe - threshold) * sqrt(n - 1) / sqrt(scale))
    assert found is not None
    assert found.probability == pytest.approx(plain, abs=1e-9)


def test_returns_that_do_not_vary_have_none():
    assert deflated_sharpe(np.zeros(10), [0.1, 0.2]) is None


def plain_probability(returns: np.ndarray, parts: int) -> tuple[float, float]:
    """Share of logits at or below 0, and of losses, with lists and loops."""
    bars, trials = returns.shape
    pieces = [[row for row in range(bars) if row * parts // bars == part] for part in range(parts)]

    def sharpe(trial: int, chosen: tuple[int, ...]) -> float:
        values = [float(returns[row, trial]) for part in chosen for row in pieces[part]]
        return mean(values) / stdev(values) if stdev(values) > 1e-12 else 0.0

    logits, losses = [], []
    for inside in combinations(range(parts), parts // 2):
        outside = tuple(part for part in range(parts) if part not in inside)
        best = max(range(trials), key=lambda trial: sharpe(trial, inside))
        later = [sharpe(trial, outside) for trial in range(trials)]
        rank = sum(each < later[best] for each in later) + (sum(each == later[best] for each in later) + 1) / 2
        logits.append(log(rank / (trials + 1 - rank)))
        losses.append(later[best] < 0)
    return mean(logit <= 0 for logit in logits), mean(losses)


def parts_of(returns: np.ndarray, parts: int) -> Parts:
    which = np.arange(len(returns)) * parts // len(returns)
    sums = [np.array([power[which == part].sum(axis=0) for part in range(parts)]) for power in (returns, returns**2)]
    return Parts(np.bincount(which, minlength=parts), *sums)


@pytest.mark.parametrize("seed", range(6))
def test_probability_is_a_plain_loop(seed, monkeypatch):
    monkeypatch.setattr(overfitting, "_SPLITS", 7)
    rng = np.random.default_rng(seed)
    returns = rng.normal(rng.normal(0, 0.004, 7), 0.01, (61, 7))
    returns[:, 3] = 0  # never traded
    found = probability(parts_of(returns, 6))
    assert found is not None and found.splits == 20
    assert (found.probability, found.loss) == pytest.approx(plain_probability(returns, 6))


def test_noise_is_overfitted_and_skill_is_not():
    rng = np.random.default_rng(2)
    markets = [rng.normal(0, 0.01, (800, 20)) for _ in range(20)]
    chances = [probability(parts_of(noise, 8)) for noise in markets]
    assert mean(each.probability for each in chances if each) == pytest.approx(0.5, abs=0.1)
    skill = rng.normal(0, 0.01, (1600, 50))
    skill[:, 7] += 0.003
    found = probability(parts_of(skill, 16))
    assert found and found.splits == 12_870
    assert found.probability < 0.01 and found.loss < 0.01 and found.later > 0.2


def test_too_little_to_say():
    assert probability(parts_of(np.ones((64, 1)), 16)) is None
    assert probability(parts_of(np.ones((20, 5)), 16)) is None


def test_effective_trials_of_noise_of_copies_and_of_a_mixture():
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((40, 256))
    assert effective_trials(noise) == pytest.approx(40, rel=0.15)
    assert effective_trials(rng.standard_normal((500, 256))) == pytest.approx(500, rel=0.25)
    assert effective_trials(np.repeat(noise[:1], 40, axis=0)) == pytest.approx(1)
    assert effective_trials(np.repeat(noise[:1], 1, axis=0)) == 1
    assert effective_trials(np.repeat(noise[:4], 10, axis=0)) == pytest.approx(4, rel=0.15)


def test_adjusted_p_values_are_holms():
    # Holm (1979) by hand: 4 x 0.01, 3 x 0.02, then never below the one before, never above 1.
    assert adjusted([0.03, 0.01, 0.02, 0.9]) == pytest.approx([0.06, 0.04, 0.06, 0.9])
    assert adjusted([0.4, 0.5]) == pytest.approx([0.8, 0.8])
    assert adjusted([]) == []


def test_among_many_datasets_without_any_gain_a_false_finding_is_rare():
    rng = np.random.default_rng(6)
    found = sum(min(adjusted(rng.random(200).tolist())) < 0.05 for _ in range(400))
    assert found / 400 == pytest.approx(0.05, abs=0.035)
