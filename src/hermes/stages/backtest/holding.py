"""Holding the asset, bar by bar, and an account measured against it: alpha, beta, the same exposure without any timing.

    r_t   the account's return of bar t = 1 … n
    b_t   (close_t - close_{t-1}) / close_{t-1}, what holding returned; b_1 is 0
    x     share of the equity that was in the market, mean of bars 2 … n. With the first one, an account that holds from
          the second bar's open on would have missed a return of 0: where a market rises, that would look like skill.
    e_t   r_t - x b_t, the return above holding the share x all the time: what the timing brought, and what it cost

Alpha and beta agree with vectorbt 1.2.0 (`returns/nb.py` `alpha_1d_nb`, `beta_1d_nb`).
"""

from dataclasses import dataclass
from math import comb, exp, sqrt

import numpy as np

from hermes.schemas import JUMP_FROM
from hermes.stages.backtest.arrays import Floats, Times
from hermes.stages.backtest.equity import BLOCK_STEPS

_ORDER = 8  # of the series of log(1 + x b) in powers of b
_SMALL = 0.05  # up to this |b| the series is exact to 1e-12 for a share of 1
_MOST_SHARE = 2.0  # for which it is exact to 1e-9
_MOST = 690.0  # growth, as a logarithm
_NOTHING = 1e-8  # a variance that is a smaller share than this of what it is the difference of, is rounding
_LEAST = 1e-30  # the smallest variance that can be raised to a power


class Holding:
    """Running sums over the returns of holding, updated block by block, in constant memory."""

    def __init__(self) -> None:
        self.bars = 0
        self.first_close = self.last_close = 0.0
        self._powers = np.zeros(_ORDER + 1)  # Σ b^k over |b| <= _SMALL
        self._large: list[Floats] = []  # the returns beyond that, which are few
        self._jumps: list[Times] = []

    def add(self, times: Times, opens: Floats, close: Floats) -> Floats:
        """The next bars → what holding returned at each of them."""
        jumped = price_jumps(times, opens, close, self.last_close)
        if len(jumped):
            self._jumps.append(jumped)
        returns = np.empty(len(close))
        returns[0] = close[0] / (self.last_close or close[0])
        np.divide(close[1:], close[:-1], out=returns[1:])
        returns -= 1
        for begin in range(0, len(returns), BLOCK_STEPS):
            self._add_powers(returns[begin : begin + BLOCK_STEPS])
        self.bars += len(close)
        self.first_close = self.first_close or float(close[0])
        self.last_close = float(close[-1])
        return returns

    def _add_powers(self, returns: Floats) -> None:
        if returns.max() > _SMALL or returns.min() < -_SMALL:
            large = np.abs(returns) > _SMALL
            self._large.append(returns[large])
            returns = np.where(large, 0.0, returns)
        power = returns.copy()
        self._powers[1] += power.sum()
        for exponent in range(2, _ORDER + 1):
            power *= returns
            self._powers[exponent] += power.sum()

    @property
    def jumps(self) -> Times:
        """Times of the bars whose open is 5 times the close before them or more, or a fifth of it or less."""
        return np.concatenate([np.empty(0, "M8[us]"), *self._jumps])

    def sums(self, exponent: int) -> float:
        """Σ b^exponent over all bars, for an exponent up to 8."""
        return float(self._powers[exponent]) + sum(float((each**exponent).sum()) for each in self._large)

    def growth(self, share: float) -> float | None:
        """Π (1 + share b_t): a part of the equity held through every bar, the rest idle, without fees.

        Args:
            share: negative for a short.

        Returns:
            None where a bar would have taken all of the equity, or more; and for more than twice the equity, which only
            a short that is almost lost amounts to; and beyond what a float holds.
        """
        if abs(share) > _MOST_SHARE or any((1 + share * each <= 0).any() for each in self._large):
            return None
        small = sum((-1) ** (k + 1) * share**k / k * self._powers[k] for k in range(1, _ORDER + 1))
        large = sum(float(np.log1p(share * each).sum()) for each in self._large)
        return exp(small + large) if small + large < _MOST else None


def price_jumps(times: Times, opens: Floats, close: Floats, last_close: float) -> Times:
    """Times of the bars whose price jumped, see `Holding.jumps`; `last_close`: of the bar before, 0 for none."""
    before = last_close or opens[0]
    lowest, highest = min(before, close.min()), max(before, close.max())
    if opens.max() < JUMP_FROM * lowest and opens.min() * JUMP_FROM > highest:
        return times[:0]
    closes = np.concatenate([[before], close[:-1]])
    jumped: Times = times[np.flatnonzero((opens >= JUMP_FROM * closes) | (opens * JUMP_FROM <= closes))]
    return jumped


class CrossMoments:
    """Σ r^i b^j over all bars for i ≥ 1 and i + j ≤ 4: what measuring an account against holding needs of it."""

    def __init__(self) -> None:
        self._sums = np.zeros((5, 5))

    def add(self, returns: Floats, held: Floats) -> None:
        """The account's returns of some bars and those of holding; bars at which the account's is 0 may be left out."""
        squares = held * held
        powers = held, squares, squares * held
        power, product = returns.copy(), np.empty(len(returns))
        for i in range(1, 5):
            self._sums[i, 0] += np.add.reduce(power)
            for j in range(1, 5 - i):
                self._sums[i, j] += np.add.reduce(np.multiply(power, powers[j - 1], out=product))
            power *= returns

    def sums(self, holding: Holding) -> Floats:
        """Σ r^i b^j at row i, column j; holding's own sums stand in the first row."""
        found = self._sums.copy()
        found[0] = [holding.bars, *(holding.sums(exponent) for exponent in range(1, 5))]
        return found


@dataclass(frozen=True, slots=True)
class Timing:
    """An account against holding; None where a figure is undefined.

    Attributes:
        beta: cov(r, b) / var(b); alpha: mean of r - beta b, per bar.
        sharpe: mean(e) / std(e, ddof 1), per bar; skew, kurtosis: of e. None where e does not vary: nothing is left to
            measure once the exposure is the same.
    """

    beta: float | None
    alpha: float | None
    sharpe: float | None
    skew: float | None
    kurtosis: float | None


NO_TIMING = Timing(None, None, None, None, None)


def timing(moments: CrossMoments, holding: Holding, exposure: float) -> Timing:
    """Measure an account against holding.

    Args:
        moments, holding: of the same bars.
        exposure: of the account, from 0 to 1.
    """
    sums, bars = moments.sums(holding).tolist(), holding.bars
    mean, held = sums[1][0] / bars, sums[0][1] / bars
    variance = sums[0][2] / bars - held**2
    beta = (sums[1][1] / bars - mean * held) / variance if variance > 0 else None
    alpha = None if beta is None else mean - beta * held
    m1, m2, m3, m4 = (
        sum(comb(k, j) * (-exposure) ** j * sums[k - j][j] for j in range(k + 1)) / bars for k in range(1, 5)
    )
    central = m2 - m1**2
    whole = sums[2][0] / bars + exposure**2 * sums[0][2] / bars
    if bars < 2 or central <= max(_NOTHING * whole, _LEAST):
        return Timing(beta, alpha, None, None, None)
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    sharpe = m1 / sqrt(central * bars / (bars - 1))
    return Timing(beta, alpha, sharpe, third / central**1.5, fourth / central**2)
