"""How much of the best of many trials is luck: the deflated Sharpe ratio and the probability of backtest overfitting.

Sharpe ratios are per bar here, mean(r) / std(r, ddof 1), not annualized; that of a trial that never traded is 0.

    [DSR] Bailey, D. & López de Prado, M. (2014). The deflated Sharpe ratio: correcting for selection bias, backtest
          overfitting and non-normality. Journal of Portfolio Management 40 (5), 94-107.
    [PBO] Bailey, D., Borwein, J., López de Prado, M. & Zhu, Q. (2017). The probability of backtest overfitting.
          Journal of Computational Finance 20 (4), 39-69.
    [Holm] Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics
          6 (2), 65-70.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import e, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.arrays import Floats, Rows

PARTS = 16  # of the bars in [PBO]: 12,870 ways to choose half of them
_SPLITS = 32  # looked at together, so that memory stays small
_SAME = 1e-12  # Sharpe ratios per bar that differ by less, differ by rounding
_EULER = 0.5772156649015329  # the Euler-Mascheroni constant
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Deflated:
    """The deflated Sharpe ratio and its inputs.

    Attributes:
        probability: confidence that the true Sharpe ratio is above what luck gives the best of as many trials whose
            own is 0. From 0 to 1.
        sharpe: of the best trial; expected: what luck gives. Both per bar.
        trials: how many were tried.
        skew, kurtosis: of the best trial's returns; the normal distribution has 0 and 3.
    """

    probability: float
    sharpe: float
    expected: float
    trials: int
    skew: float
    kurtosis: float


class Parts(NamedTuple):
    """Bars in `PARTS` successive parts: how many each has, and by part and trial the sum of returns, and of squares."""

    bars: Rows
    sums: Floats
    squares: Floats


@dataclass(frozen=True, slots=True)
class Overfitting:
    """The result of combinatorially symmetric cross-validation.

    Attributes:
        probability: share of the splits in which the best trial of one half is at or below the median of the other.
        loss: share of the splits in which it loses money in the other half.
        chosen: median Sharpe ratio per bar of the chosen trial in the half it was chosen in; later: in the other.
        splits: how many there were.
    """

    probability: float
    loss: float
    chosen: float
    later: float
    splits: int


def expected_best(variance: float, trials: int) -> float:
    """Sharpe ratio to expect of the best of `trials` whose true one is 0: [DSR] equation 1, the false strategy theorem.

        √V ((1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e)))

    Args:
        variance: of the trials' Sharpe ratios, V.
        trials: N; trials that resemble each other count in full, which asks more of the best rather than less.
    """
    if trials < 2:
        return 0.0
    usual, rare = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * ((1 - _EULER) * usual + _EULER * rare)


def probabilistic_sharpe(sharpe: float, threshold: float, bars: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio is above `threshold`: [DSR] equation 2.

    Φ((S - S₀) √(T - 1) / √(1 - γ₃ S + (γ₄ - 1) / 4 S²)) for T bars with skewness γ₃ and kurtosis γ₄ (normal: 3).
    """
    scale = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return _NORMAL.cdf((sharpe - threshold) * sqrt(bars - 1) / sqrt(max(scale, 1e-300)))


def deflated_sharpe(returns: Floats, sharpes: Sequence[float]) -> Deflated | None:
    """The deflated Sharpe ratio of the best of many trials.

    Args:
        returns: of every bar of the best trial.
        sharpes: Sharpe ratio per bar of every trial, 0 of one that never traded.

    Returns:
        None where the best trial's returns do not vary.
    """
    if len(returns) < 2:
        return None
    away = returns - returns.mean()
    spread = sqrt(np.mean(away**2))
    if not spread:
        return None
    skew, kurtosis = (float(np.mean((away / spread) ** k)) for k in (3, 4))
    sharpe = float(returns.mean() / returns.std(ddof=1))
    variance = float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else 0.0
    expected = expected_best(variance, len(sharpes))
    probability = probabilistic_sharpe(sharpe, expected, len(returns), skew, kurtosis)
    return Deflated(probability, sharpe, expected, len(sharpes), skew, kurtosis)


def effective_trials(returns: Floats) -> float:
    """How many independent trials would differ from each other as much as these do: N / (1 + (N - 1) q).

    q is the mean squared correlation of two trials, less what chance gives two that are independent, 1 / T for T
    periods. Copies of one trial count as 1, trials that share nothing as N. With q as it was found this is the
    participation ratio of the eigenvalues of the correlation matrix, (Σ λ)² / Σ λ².

    Args:
        returns: of each trial, a row, over the same periods; every row varies.
    """
    count, periods = returns.shape
    if count < 2:
        return float(count)
    away = returns - returns.mean(axis=1, keepdims=True)
    away /= np.sqrt(np.square(away).sum(axis=1, keepdims=True))
    between = away.T @ away if periods < count else away @ away.T  # both have the same sum of squares
    shared = (float(np.square(between).sum()) - count) / (count * (count - 1))
    chance = 1 / periods
    q = min(max((shared - chance) / (1 - chance), 0.0), 1.0)
    return float(count / (1 + (count - 1) * q))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """P values of many tests, each made so large that the chance of one false finding among all stays what it says.

    [Holm]'s step-down procedure: the i-th smallest of N is multiplied by N + 1 - i, and never below the one before. It
    holds however the tests depend on each other.
    """
    count = len(p_values)
    order = sorted(range(count), key=p_values.__getitem__)
    found, highest = [0.0] * count, 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (count - place) * p_values[index]))
        found[index] = highest
    return found


def probability(parts: Parts) -> Overfitting | None:
    """The probability of backtest overfitting by combinatorially symmetric cross-validation: [PBO] section 3.

    Half of the parts are joined, in every possible way; the trial with the best Sharpe ratio there is ranked among all
    trials in the other half. With rank ω of N trials, 1 the worst, λ = log(ω / (N + 1 - ω)); the probability is
    that of λ ≤ 0. Trials that tie share the mean of their ranks; one whose returns do not vary has a Sharpe ratio
    of 0.

    Returns:
        None with fewer than two trials, or fewer than two bars in a part.
    """
    trials = parts.sums.shape[1]
    if trials < 2 or parts.bars.min() < 2:
        return None
    found = np.concatenate([_both_ways(parts, masks) for masks in _halves(len(parts.bars))])
    logit, later, chosen = found.T
    return Overfitting(
        probability=float(np.mean(logit <= 0)),
        loss=float(np.mean(later < 0)),
        chosen=float(np.median(chosen)),
        later=float(np.median(later)),
        splits=len(found),
    )


def _halves(parts: int) -> Iterator[Floats]:
    """Every way to cut the parts in two halves, as rows of ones (the half with the first part) and zeros."""
    ways = combinations(range(1, parts), parts // 2 - 1)
    while chosen := list(islice(ways, _SPLITS)):
        masks = np.zeros((len(chosen), parts))
        masks[:, 0] = 1.0
        np.put_along_axis(masks, np.array(chosen), 1.0, axis=1)
        yield masks


def _both_ways(parts: Parts, masks: Floats) -> Floats:
    """Choose in one half and look at the other, then the other way round."""
    one, other = _sharpes(parts, masks), _sharpes(parts, 1 - masks)
    return np.concatenate([_chosen(one, other), _chosen(other, one)])


def _chosen(inside: Floats, outside: Floats) -> Floats:
    """For each row of trials: λ, and the chosen trial's Sharpe ratio in the other half and in its own."""
    best = inside.argmax(axis=1)[:, None]
    later = np.take_along_axis(outside, best, axis=1)
    away = outside - later
    below, equal = np.count_nonzero(away < -_SAME, axis=1), np.count_nonzero(np.abs(away) <= _SAME, axis=1)
    rank = below + (equal + 1) / 2
    return np.column_stack(
        [np.log(rank / (outside.shape[1] + 1 - rank)), later, np.take_along_axis(inside, best, axis=1)]
    )


def _sharpes(parts: Parts, masks: Floats) -> Floats:
    """Sharpe ratio per bar of every trial over the masked parts; 0 where its returns do not vary."""
    bars = (masks @ parts.bars)[:, None]
    mean = masks @ parts.sums / bars
    variance = (masks @ parts.squares - bars * mean**2) / (bars - 1)
    variance[variance <= 1e-24] = np.inf  # rounding leaves no more than that of nothing
    return mean / np.sqrt(variance)
