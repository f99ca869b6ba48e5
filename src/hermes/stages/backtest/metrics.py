"""Every measure of a backtest, its formula and its source.

Agrees with vectorbt 1.2.0 (`portfolio/base.py` `Portfolio.stats`, `returns/nb.py`, `portfolio/trades.py`,
`generic/nb.py` `get_drawdowns_nb`) wherever that gives a finite number; what it calls NaN or infinite is None here.

    v_t   equity at the close of bar t = 1 … n; v_0 is the initial cash
    r_t   (v_t - v_{t-1}) / v_{t-1}, the return of bar t
    P     periods per year: how many bars a 365-day year holds
    peak  highest equity at any close so far (v_0 is not one)

The risk-free rate and the required return are 0. Winning means a profit above 0, losing one below.
"""

from dataclasses import dataclass, fields
from math import pow, sqrt
from typing import Any

import numpy as np

from hermes.stages.backtest.portfolio import Account, Fill, Floats, Outcomes, Rows, Steps

YEAR_SECONDS = 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The measures of one backtest; None where a measure is undefined.

    Percentages end in `_pct`, seconds in `_s`; amounts are in the quote currency. Measures of trades look at closed
    ones only, except `trades` and `fees_paid`. The reference of the documentation is made from the texts below.
    """

    total_return_pct: float
    """v_n / v_0 - 1"""
    benchmark_return_pct: float | None
    """last close / first close - 1: what holding returned, without fees"""
    cagr_pct: float | None
    """(v_n / v_0)^(P/n) - 1: vectorbt's annualized_return_1d_nb"""
    sharpe: float | None
    """mean(r) / std(r, ddof 1) √P: Sharpe (1994); vectorbt's sharpe_ratio_1d_nb"""
    sortino: float | None
    """mean(r) / √(Σ min(r, 0)² / n) √P: Sortino & Price (1994); vectorbt's sortino_ratio_1d_nb"""
    calmar: float | None
    """cagr / max drawdown: Young (1991); vectorbt's calmar_ratio_1d_nb"""
    omega: float | None
    """Σ max(r, 0) / Σ max(-r, 0): Keating & Shadwick (2002), threshold 0; vectorbt's omega_ratio_1d_nb"""
    max_drawdown_pct: float | None
    """max (peak - v_t) / peak, positive: vectorbt's get_drawdowns_nb"""
    max_drawdown_duration_s: int | None
    """the most bars in a row with v_t < peak: vectorbt's range_duration_nb"""
    trades: int
    """entries, the one still open included"""
    win_rate_pct: float | None
    """winning / closed trades"""
    profit_factor: float | None
    """Σ profits / Σ losses of closed trades"""
    expectancy: float | None
    """mean profit of a closed trade: win rate × mean win - loss rate × mean loss"""
    best_trade_pct: float | None
    """highest return of a closed trade, fees included"""
    worst_trade_pct: float | None
    """lowest return of a closed trade, fees included"""
    avg_winning_trade_pct: float | None
    """mean return of the winning trades"""
    avg_losing_trade_pct: float | None
    """mean return of the losing trades"""
    avg_winning_trade_duration_s: float | None
    """mean time from entry to exit of the winning trades"""
    avg_losing_trade_duration_s: float | None
    """mean time from entry to exit of the losing trades"""
    open_trade: bool
    """whether a position is still held after the last bar"""
    fees_paid: float
    """at every entry and exit that took place"""
    exposure_pct: float | None
    """bars at whose close the position was held / n: vectorbt's position_coverage"""
    end_value: float
    """v_n"""
    initial_cash: float
    """v_0, as configured"""
    fees: float
    """as configured: fraction of the traded value, at entry and at exit"""
    slippage_bps: float
    """as configured: basis points by which each fill is worse"""
    fill: Fill
    """as configured: at the signal bar's close, or at the open of the next bar"""
    periods_per_year: float
    """P"""

    def as_dict(self) -> dict[str, Any]:
        """The measures by name, ready for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class BarTally:
    """What the measures need to know of all bars, in a dozen numbers, fed block by block."""

    def __init__(self, account: Account) -> None:
        self.bars = 0
        self.equity = account.initial_cash
        self.first_close = self.last_close = 0.0
        self.mean = 0.0  # of r_t
        self.squares = 0.0  # Σ (r_t - mean)²
        self.gains = 0.0  # Σ r_t over r_t > 0
        self.losses = 0.0  # -Σ r_t over r_t < 0
        self.loss_squares = 0.0  # Σ r_t² over r_t < 0
        self.drawdown = 0.0  # largest (peak - v_t) / peak
        self.longest_drawdown = 0  # bars in a row below the peak, at most
        self._peak = 0.0
        self._below = 0  # bars in a row below the peak, until now

    def add(self, close: Floats, steps: Steps) -> None:
        """The next bars' closes and the account's equity through them."""
        self._add_returns(steps.returns(self.equity), steps.bars)
        self._add_drawdown(steps)
        self.equity = float(steps.equity[-1])
        self.first_close = self.first_close or float(close[0])
        self.last_close = float(close[-1])

    def _add_returns(self, returns: Floats, count: int) -> None:
        """`count` more returns, those not given being 0.

        Mean and squares are joined as by Chan, Golub & LeVeque (1979), so that nothing cancels out.
        """
        mean = float(returns.sum()) / count
        squares = float(np.square(returns - mean).sum()) + (count - len(returns)) * mean**2
        bars, step = self.bars + count, mean - self.mean
        self.squares += squares + step**2 * self.bars * count / bars
        self.mean += step * count / bars
        self.bars = bars
        losses = np.minimum(returns, 0.0)
        self.gains += float(np.maximum(returns, 0.0).sum())
        self.losses -= float(losses.sum())
        self.loss_squares += float(np.square(losses).sum())

    def _add_drawdown(self, steps: Steps) -> None:
        """Depth and length of the time below the peak; a return to the peak itself ends it."""
        peaks = np.maximum(np.maximum.accumulate(steps.equity), self._peak)
        self._peak = float(peaks[-1])
        self.drawdown = max(self.drawdown, float(((peaks - steps.equity) / peaks).max()))
        at_peak = steps.equity == peaks
        begins, ends = steps.rows[at_peak], np.concatenate([steps.rows[1:], [steps.bars]])[at_peak]
        below = np.concatenate([begins, [steps.bars]]) - np.concatenate([[-self._below], ends])
        self._below = int(below[-1])
        self.longest_drawdown = max(self.longest_drawdown, int(below.max()))


def measure(tally: BarTally, trades: Outcomes, account: Account, interval_seconds: int) -> Metrics:
    """All measures of one backtest.

    Args:
        tally: has seen every bar.
        trades: as `Portfolio.outcomes` returns them.
        account: the terms of trade.
        interval_seconds: length of one bar.
    """
    periods = YEAR_SECONDS / interval_seconds
    total_return = (tally.equity - account.initial_cash) / account.initial_cash
    benchmark = _ratio(tally.last_close - tally.first_close, tally.first_close)
    cagr = _annualised(total_return, periods / tally.bars) if tally.bars else None
    drawdown = tally.drawdown or None
    several = tally.bars >= 2  # a single return has no deviation
    mean = tally.mean if several else None
    deviation = sqrt(tally.squares / (tally.bars - 1)) if several else None
    downside = sqrt(tally.loss_squares / tally.bars) if several else None

    profit, return_pct, bars = (each[: trades.closed] for each in (trades.profit, trades.return_pct, trades.bars))
    winning, losing = profit > 0, profit < 0
    return Metrics(
        total_return_pct=100 * total_return,
        benchmark_return_pct=_percent(benchmark),
        cagr_pct=_percent(cagr),
        sharpe=_scaled(_ratio(mean, deviation), sqrt(periods)),
        sortino=_scaled(_ratio(mean, downside), sqrt(periods)),
        calmar=_ratio(cagr, drawdown),
        omega=_ratio(tally.gains, tally.losses),
        max_drawdown_pct=_percent(drawdown),
        max_drawdown_duration_s=tally.longest_drawdown * interval_seconds or None,
        trades=len(trades.bars),
        win_rate_pct=_percent(_ratio(int(winning.sum()), trades.closed)),
        profit_factor=_ratio(float(profit[winning].sum()), -float(profit[losing].sum())),
        expectancy=_mean(profit),
        best_trade_pct=float(return_pct.max()) if trades.closed else None,
        worst_trade_pct=float(return_pct.min()) if trades.closed else None,
        avg_winning_trade_pct=_mean(return_pct[winning]),
        avg_losing_trade_pct=_mean(return_pct[losing]),
        avg_winning_trade_duration_s=_scaled(_mean(bars[winning]), interval_seconds),
        avg_losing_trade_duration_s=_scaled(_mean(bars[losing]), interval_seconds),
        open_trade=len(trades.bars) > trades.closed,
        fees_paid=float(trades.fees.sum()),
        exposure_pct=_percent(_ratio(float(trades.bars.sum()), tally.bars)),
        end_value=tally.equity,
        initial_cash=account.initial_cash,
        fees=account.fees,
        slippage_bps=account.slippage_bps,
        fill=account.fill,
        periods_per_year=periods,
    )


def _mean(values: Floats | Rows) -> float | None:
    """The mean of nothing is None."""
    return float(values.mean()) if len(values) else None


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or not denominator else numerator / denominator


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _percent(fraction: float | None) -> float | None:
    return _scaled(fraction, 100)


def _annualised(total_return: float, exponent: float) -> float | None:
    """A few short bars can compound to more than a float holds: no rate to speak of."""
    try:
        return pow(1 + total_return, exponent) - 1
    except OverflowError:
        return None
