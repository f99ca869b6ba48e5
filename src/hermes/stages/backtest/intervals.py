"""95 % intervals of a backtest's figures: the stationary bootstrap, with the block length chosen from the data.

[PR94]  Politis, D. & Romano, J. (1994). The stationary bootstrap. Journal of the American Statistical Association
        89 (428), 1303-1313.
[PW04]  Politis, D. & White, H. (2004). Automatic block-length selection for the dependent bootstrap. Econometric
        Reviews 23 (1), 53-70.
[PPW09] Patton, A., Politis, D. & White, H. (2009). Correction to [PW04]. Econometric Reviews 28 (4), 372-375.
"""

from dataclasses import asdict, dataclass
from math import ceil, log1p, log10, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.equity import BLOCK_STEPS, lengths

LEVEL = 0.95
RESAMPLES = 1_000
#: Most groups that the bars of a series are pooled in, so that time and memory stay the same however long it is.
MOST_GROUPS = 2_048
LEAST_GROUPS = 30  # fewer bars than that say nothing about how much their figures vary
_CELLS = 250_000  # blocks that are drawn at once
_MOST = 690.0  # growth, as a logarithm, beyond which percents are no number: a few wild bars, taken for a year
_WORST = 1e-300  # growth of an account that lost everything, so that its logarithm is a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """The middle 95 % of each figure over resamples of the bars; None where a figure is undefined.

    They show how much a measure varies by chance on bars like these. They do not correct for having chosen the rules on
    the same bars.

    Attributes:
        total_return_pct, cagr_pct, sharpe: lower and upper end, in the units of the measures of the same names.
        block_bars: mean length of the blocks drawn, in bars.
        resamples, seed: how many there were, and of the random numbers.
    """

    total_return_pct: tuple[float, float] | None
    cagr_pct: tuple[float, float] | None
    sharpe: tuple[float, float] | None
    block_bars: float
    resamples: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """By name, ready for JSON, beside the level."""
        return with_level(asdict(self))


class Groups:
    """The returns of a series, pooled in at most `MOST_GROUPS` groups of successive bars, fed block by block.

    A group is a power of two of bars, so that two neighbours can be joined when the series outgrows them. For each of
    them is known what a resample needs: Σ log(1 + r), Σ r and Σ r².
    """

    def __init__(self) -> None:
        self.bars = 0
        self.size = 1  # bars in a group
        self._sums = np.zeros((3, MOST_GROUPS))

    def add(self, rows: Rows, returns: Floats, bars: int) -> None:
        """`bars` more bars: `returns` at those of them that `rows` names, ascending; nothing happened at the others."""
        while self.bars + bars > MOST_GROUPS * self.size:
            joined = self._sums[:, ::2] + self._sums[:, 1::2]
            self._sums[:] = 0.0
            self._sums[:, : MOST_GROUPS // 2] = joined
            self.size *= 2
        groups = np.arange(self.bars // self.size, -(-(self.bars + bars) // self.size))
        begins = np.searchsorted(rows, groups * self.size - self.bars)
        some = lengths(begins, len(rows)) > 0
        groups, begins = groups[some], begins[some]
        growths = 1 + returns
        if (growths < _WORST).any():
            np.maximum(growths, _WORST, out=growths)
        growth = np.log(np.multiply.reduceat(growths, begins))
        values = growth, np.add.reduceat(returns, begins), np.add.reduceat(np.square(returns), begins)
        for sums, more in zip(self._sums, values, strict=True):
            sums[groups] += more
        self.bars += bars

    @property
    def sums(self) -> Floats:
        """Shape 3 × groups: Σ log(1 + r), Σ r, Σ r²."""
        return self._sums[:, : -(-self.bars // self.size)]


def intervals(groups: Groups, years: float | None, periods: float, seed: int = 0) -> Intervals | None:
    """The intervals of total return, return per year and Sharpe ratio.

    The stationary bootstrap [PR94] joins blocks of successive groups that begin anywhere, the end followed by the
    beginning, and have geometrically distributed lengths, until there are as many as the series has. The mean length is
    that of `block_length`.

    Args:
        groups: the returns of every bar.
        years: elapsed from the first bar's open to the last bar's close.
        periods: bars per year.
        seed: the same one draws the same resamples.

    Returns:
        None where there are fewer than 30 bars, or the returns do not vary.
    """
    sums = groups.sums
    count, bars = sums.shape[1], groups.bars
    if count < LEAST_GROUPS or np.ptp(sums[1]) == 0:
        return None
    length = block_length(sums[1])
    growth, mean, squares = resampled(sums, length, np.random.default_rng(seed))
    mean /= bars
    variance = (squares - bars * mean**2) / (bars - 1)
    moved = variance > 1e-24
    sharpe = mean[moved] / np.sqrt(variance[moved]) * sqrt(periods)
    return Intervals(
        total_return_pct=_grown(growth),
        cagr_pct=_grown(growth / years) if years else None,
        sharpe=middle(sharpe) if moved.mean() > LEVEL else None,
        block_bars=length * groups.size,
        resamples=RESAMPLES,
        seed=seed,
    )


def block_length(values: Floats) -> float:
    """Mean block length for the stationary bootstrap of a mean, at least 1: [PW04] section 3, corrected by [PPW09].

    With R(k) the autocovariance and λ the flat-top window, g = Σ λ(k/M) |k| R(k), σ² = Σ λ(k/M) R(k) over |k| ≤ M, the
    length is (g² / σ⁴ · n)^(1/3). M is twice the lag from which on the autocorrelations of max(5, log₁₀ n) successive
    lags are insignificant.

    Args:
        values: of a stationary series, at least 8 that vary.
    """
    count = len(values)
    away = values - values.mean()
    run = max(5, int(log10(count)))
    lags = ceil(sqrt(count)) + run
    products = np.array([away[lag:] @ away[: count - lag] for lag in range(lags + 1)])
    squares = np.concatenate([[0.0], np.cumsum(away**2)])
    later, earlier = squares[-1] - squares[1 : lags + 2], squares[count - 1 - np.arange(lags + 1)]
    scale = np.sqrt(np.maximum(later * earlier, 0.0))
    correlation = np.abs(np.divide(products, scale, out=np.zeros(lags + 1), where=scale > 0))
    small = correlation[:-1] < 2 * sqrt(log10(count) / count)
    quiet = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(small, run).all(axis=1))
    most = min(2 * max(int(quiet[0]), 1), lags) if len(quiet) else lags
    lag = np.arange(1, most + 1)
    weighted = np.minimum(1.0, 2 * (1 - lag / most)) * products[1 : most + 1] / count
    spread = float(products[0] / count + 2 * weighted.sum())
    longest = ceil(min(3 * sqrt(count), count / 3))
    if spread <= 0:
        return float(longest)
    bend = float(2 * (lag * weighted).sum())
    best = float(np.cbrt(bend**2 / spread**2 * count))
    return min(max(best, 1.0), float(longest))


def resampled(sums: Floats, length: float, rng: np.random.Generator) -> Floats:
    """What each of the resamples adds up to: shape `len(sums)` × `RESAMPLES`.

    Running totals over the series, written down twice, give the sum over a block as one difference.
    """
    count = sums.shape[1]
    totals = np.zeros((len(sums), 2 * count + 1))
    np.cumsum(np.concatenate([sums, sums], axis=1), axis=1, out=totals[:, 1:])
    usual = 1 + (count - 1) / length
    blocks = min(count, ceil(usual + 8 * sqrt(usual)) + 8)  # more are hardly ever needed
    each, rows = max(1, _CELLS // blocks), -(-BLOCK_STEPS // blocks)
    found = []
    for done in range(0, RESAMPLES, each):
        shape = (min(each, RESAMPLES - done), blocks)
        starts = rng.integers(0, count, shape, dtype=np.int32)
        ends = np.zeros((shape[0], blocks + 1), np.int32)
        np.cumsum(_geometric(length, shape, rng), axis=1, dtype=np.int32, out=ends[:, 1:])
        np.minimum(ends, count, out=ends)
        ends[:, -1] = count
        for first in range(0, shape[0], rows):  # so few that they stay in the processor's cache
            some = slice(first, first + rows)
            found.append(_added(totals, starts[some], np.diff(ends[some], axis=1)))
    return np.concatenate(found, axis=1)


def _added(totals: Floats, starts: NDArray[np.int32], counts: NDArray[np.int32]) -> list[Floats]:
    """Of each total what rows of blocks add up to."""
    first = starts.astype(np.intp)  # once: `take` would do it for each of the totals
    last = first + counts
    return [(total.take(last) - total.take(first)).sum(axis=1) for total in totals]


def _geometric(mean: float, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int32]:
    """Geometrically distributed lengths from 1 on, by inversion: several times as fast as the generator's own."""
    if mean == 1:
        return np.ones(shape, np.int32)
    drawn = rng.random(shape, dtype=np.float32)
    np.log1p(np.negative(drawn, out=drawn), out=drawn)
    drawn /= np.float32(log1p(-1 / mean))
    found = drawn.astype(np.int32)
    found += 1
    return found


def with_level(found: dict[str, Any]) -> dict[str, Any]:
    """Intervals by name, ready for JSON, beside their level."""
    return {"level": LEVEL, **{name: list(each) if isinstance(each, tuple) else each for name, each in found.items()}}


def middle(values: Floats) -> tuple[float, float]:
    """The two ends between which `LEVEL` of the values lie."""
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _grown(growth: Floats) -> tuple[float, float] | None:
    """The middle of growths, given as logarithms, in percent; None where its upper end is beyond `_MOST`."""
    low, high = middle(np.expm1(np.minimum(growth, _MOST)))
    return None if high >= np.expm1(_MOST) else (100 * low, 100 * high)
