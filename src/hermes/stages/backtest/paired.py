"""Tests whether one account is better than another on the same bars: the paired stationary bootstrap.

Both accounts are resampled together, the same bars at the same time: what moves both cancels out, and what is left is
their difference. Sources: Politis & Romano (1994) and, for Sharpe ratios, Ledoit & Wolf (2008), Robust performance
hypothesis testing with the Sharpe ratio, Journal of Empirical Finance 15 (5), 850-859.
"""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from hermes.stages.backtest.arrays import Floats
from hermes.stages.backtest.intervals import (
    LEAST_GROUPS,
    LEVEL,
    RESAMPLES,
    Groups,
    block_length,
    middle,
    resampled,
    with_level,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first account minus the second.

    Attributes:
        log_growth: difference of log(end value / initial cash); interval: the middle 95 % of it over resamples.
        growth_p: two-sided p-value: how often chance alone gives as large a difference where there is none.
        sharpe, sharpe_interval, sharpe_p: the same of the Sharpe ratio; None where one of both is undefined.
        bars: on which both were measured.
        differing: bars on which their returns differ.
        block_bars: mean length of the blocks drawn; resamples, seed: how many there were, and of the random numbers.
    """

    log_growth: float
    log_growth_interval: tuple[float, float]
    growth_p: float
    sharpe: float | None
    sharpe_interval: tuple[float, float] | None
    sharpe_p: float | None
    bars: int
    differing: int
    block_bars: float
    resamples: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """By name, ready for JSON, beside the level of the intervals."""
        return with_level(asdict(self))

    @property
    def is_luck(self) -> bool:
        """Whether chance alone explains the difference, at the level of the intervals."""
        return self.growth_p > 1 - LEVEL


def difference(first: Floats, second: Floats, periods: float, seed: int = 0) -> Difference | None:
    """Compare the returns of two accounts, bar by bar.

    Args:
        first, second: fractions, one for each of the same bars, above -1.
        periods: bars per year.
        seed: the same one draws the same resamples.

    Returns:
        None where there are fewer than 30 bars, or the returns never differ: there is nothing to test.
    """
    pooled = [_pooled(returns) for returns in (first, second)]
    sums = np.concatenate([each.sums for each in pooled])
    bars, apart = len(first), sums[0] - sums[3]
    differing = int(np.count_nonzero(first != second))
    if sums.shape[1] < LEAST_GROUPS or not differing or np.ptp(apart) == 0:
        return None
    length = block_length(apart)
    drawn = resampled(sums, length, np.random.default_rng(seed))
    found, many = sums.sum(axis=1)[:, None], drawn
    growth, growths = float(found[0, 0] - found[3, 0]), many[0] - many[3]
    sharpe, sharpes = (_sharpe(each, bars, periods) for each in (found, many))
    known = np.isfinite(sharpes)
    defined = bool(np.isfinite(sharpe[0]) and known.mean() > LEVEL)
    return Difference(
        log_growth=growth,
        log_growth_interval=middle(growths),
        growth_p=_p_value(growths, growth),
        sharpe=float(sharpe[0]) if defined else None,
        sharpe_interval=middle(sharpes[known]) if defined else None,
        sharpe_p=_p_value(sharpes[known], float(sharpe[0])) if defined else None,
        bars=bars,
        differing=differing,
        block_bars=length * pooled[0].size,
        resamples=RESAMPLES,
        seed=seed,
    )


def _pooled(returns: Floats) -> Groups:
    groups = Groups()
    groups.add(np.arange(len(returns)), returns, len(returns))
    return groups


def _sharpe(sums: Floats, bars: int, periods: float) -> Floats:
    """The first account's Sharpe ratio less the second's, of every column; NaN where one is undefined."""
    ratios = []
    for _, total, squares in (sums[:3], sums[3:]):
        mean = total / bars
        variance = (squares - bars * mean**2) / (bars - 1)
        sound = variance > 1e-24
        ratios.append(np.where(sound, mean / np.sqrt(np.where(sound, variance, 1.0)), np.nan) * sqrt(periods))
    return np.asarray(ratios[0] - ratios[1])


def _p_value(drawn: Floats, found: float) -> float:
    """How often resamples are as far from what was found as that is from zero, Davison & Hinkley (1997), 4.4."""
    return float((1 + np.count_nonzero(np.abs(drawn - found) >= abs(found))) / (1 + len(drawn)))
