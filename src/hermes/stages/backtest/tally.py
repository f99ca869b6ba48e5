"""Running statistics for the measures of a backtest, updated block by block, in almost constant memory."""

from datetime import datetime, timedelta

import numpy as np

from hermes.dataset import bar_close
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.arrays import Floats, Times
from hermes.stages.backtest.equity import Steps
from hermes.stages.backtest.holding import CrossMoments
from hermes.stages.backtest.intervals import Groups

TAIL = 0.05  # share of the bars that value at risk leaves out
MOST_LOSSES = 2**21  # that are kept for the tail: enough for 42 million bars


class BarTally:
    """Running statistics of all bars, updated block by block."""

    def __init__(self, account: Account) -> None:
        self.bars = 0
        self.equity = account.initial_cash
        self.mean = 0.0  # of r_t
        self.squares = 0.0  # Σ (r_t - mean)²
        self.gains = 0.0  # Σ r_t over r_t > 0
        self.losses = 0.0  # -Σ r_t over r_t < 0
        self.loss_squares = 0.0  # Σ r_t² over r_t < 0
        self.held = 0  # bars at whose close something is held
        self.invested = 0.0  # Σ of what is held / v_t, from the second bar on
        self.drawdown = 0.0  # largest (peak - v_t) / peak
        self.groups = Groups()
        self.cross_moments = CrossMoments()
        self.tail = _Tail()
        self._peak = 0.0
        self._longest = timedelta(0)  # below the peak, at most
        self._below: datetime | None = None  # time of the first bar below the peak, where the last one is
        self._span: tuple[datetime, datetime] | None = None  # times of the first and the last bar

    def add(self, times: Times, held: Floats, steps: Steps) -> None:
        """The next bars' times, what holding returned at each, and the account's equity through them."""
        for begin, end, part in steps.parts():
            self._add(times[begin:end], held[begin:end], part)

    def _add(self, times: Times, held: Floats, steps: Steps) -> None:
        returns = steps.returns(self.equity)
        self.groups.add(steps.rows, returns, steps.bars)
        self.cross_moments.add(returns, held.take(steps.rows))
        self.tail.add(returns)
        self._add_returns(returns, steps.bars)
        self._add_drawdown(times, steps)
        self.held += int(np.count_nonzero(steps.size != 0))
        equity = steps.equity if steps.equity.min() > 0 else np.where(steps.equity > 0, steps.equity, np.inf)
        shares = steps.value / equity
        self.invested += float((shares if self._span else shares[1:]).sum())
        self.equity = float(steps.equity[-1])
        first, last = _moment(times[0]), _moment(times[-1])
        self._span = (self._span[0] if self._span else first, last)

    def elapsed(self, interval: str) -> timedelta:
        """From the first bar's open to the last bar's close."""
        return bar_close(interval, self._span[1]) - self._span[0] if self._span else timedelta(0)

    def longest_drawdown(self, interval: str) -> timedelta:
        """The longest time below the peak; one that is not over lasts until the last bar's close."""
        if self._below is None or self._span is None:
            return self._longest
        return max(self._longest, bar_close(interval, self._span[1]) - self._below)

    def _add_returns(self, returns: Floats, count: int) -> None:
        """`count` more returns, those not given being 0.

        Mean and squares are joined as by Chan, Golub & LeVeque (1979), so that nothing cancels out.
        """
        mean = float(np.add.reduce(returns)) / count
        away = returns - mean
        away *= away
        squares = float(np.add.reduce(away)) + (count - len(returns)) * mean**2
        bars, step = self.bars + count, mean - self.mean
        self.squares += squares + step**2 * self.bars * count / bars
        self.mean += step * count / bars
        self.bars = bars
        zeros = np.zeros(len(returns))  # with an array of them NumPy is three times as fast as with the number
        self.gains += float(np.add.reduce(np.maximum(returns, zeros, out=away)))
        losses = np.minimum(returns, zeros, out=zeros)
        self.losses -= float(np.add.reduce(losses))
        losses *= losses
        self.loss_squares += float(np.add.reduce(losses))

    def _add_drawdown(self, times: Times, steps: Steps) -> None:
        """Depth and length of the time below the peak; a return to the peak itself ends it."""
        if steps.equity.max() < self._peak:  # most of the time: no need to look for peaks
            self.drawdown = max(self.drawdown, (self._peak - float(steps.equity.min())) / self._peak)
            self._below = self._below or _moment(times[0])
            return
        peaks = np.maximum(np.maximum.accumulate(steps.equity), self._peak)
        self._peak = float(peaks[-1])
        self.drawdown = max(self.drawdown, float(((peaks - steps.equity) / peaks).max()))
        at_peak = np.flatnonzero(steps.equity == peaks)
        begins = steps.rows[at_peak]
        ends = begins + steps.lengths[at_peak]
        if self._below is None and not (len(begins) and begins[0] == 0):
            self._below = _moment(times[0])
        if self._below is not None and len(begins):
            self._longest = max(self._longest, _moment(times[begins[0]]) - self._below)
            self._below = None
        left = ends[:-1] < begins[1:]  # the peak, to come back to it within these bars
        if left.any():
            below = times[begins[1:][left]] - times[ends[:-1][left]]
            self._longest = max(self._longest, below.max().astype("m8[us]").item())
        if len(ends) and ends[-1] < steps.bars:
            self._below = _moment(times[ends[-1]])


def _moment(time: np.datetime64) -> datetime:
    found: datetime = time.astype("M8[us]").item()
    return found


class _Tail:
    """Returns of the losing bars, at least the worst `MOST_LOSSES`: as many as the tail of a series can hold."""

    def __init__(self) -> None:
        self._kept = np.empty(0)
        self._new: list[Floats] = []
        self._waiting = 0

    def add(self, returns: Floats) -> None:
        """Some bars' returns; those of bars that lost nothing may be left out."""
        losses = returns[np.flatnonzero(returns < 0)]
        self._new.append(losses)
        self._waiting += len(losses)
        if self._waiting > MOST_LOSSES:
            self._join()

    def _join(self) -> Floats:
        kept = np.concatenate([self._kept, *self._new])
        if len(kept) > MOST_LOSSES:
            kept = np.partition(kept, MOST_LOSSES)[:MOST_LOSSES]
        self._kept, self._new, self._waiting = kept, [], 0
        return kept

    def risk(self, bars: int) -> tuple[float | None, float | None]:
        """Value at risk and conditional value at risk of so many bars, as fractions, positive for losses.

        The quantile lies between two returns, as NumPy's does. None without a bar, or where there are more bars than
        `MOST_LOSSES / TAIL`.
        """
        if not bars or bars * TAIL > MOST_LOSSES - 2:
            return None, None
        at = (bars - 1) * TAIL
        below = int(at)
        worst = self._join()
        if len(worst) > below + 2:
            worst.partition(below + 1)
            worst = worst[: below + 2]
        worst.sort()
        worst = np.concatenate([worst, np.zeros(below + 2 - len(worst))])
        quantile = worst[below] + (at - below) * (worst[below + 1] - worst[below])
        return -float(quantile) + 0.0, -float(worst[: below + 1].mean()) + 0.0
