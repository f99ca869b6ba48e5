"""Every measure of a backtest, its formula and its source.

Agrees with vectorbt 1.2.0 (`portfolio/base.py` `Portfolio.stats`, `returns/nb.py`, `portfolio/trades.py`,
`generic/nb.py` `get_drawdowns_nb`) wherever that gives a finite number; what it calls NaN or infinite is None here.

    v_t   equity at the close of bar t = 1 … n; v_0 is the initial cash
    r_t   (v_t - v_{t-1}) / v_{t-1}, the return of bar t
    b_t   (close_t - close_{t-1}) / close_{t-1}, the return of holding; b_1 is 0
    x     share of the equity that was in the market, mean of bars 2 … n: in the first one holding returned nothing
    P     periods per year: how many bars a 365-day year holds, 12 for monthly bars
    Y     years from the first bar's open to the last bar's close, by the calendar, of 365 days each
    peak  highest equity at any close so far (v_0 is not one)
    g_i   growth of equity through trade i, fees included

Time is the calendar's: bars that are missing, and months that are not 30 days, make the years and durations differ from
vectorbt's, which counts bars. The risk-free rate and the required return are 0. Winning means a profit above 0, losing
one below.
"""

from dataclasses import dataclass, fields
from datetime import timedelta
from math import atanh, exp, log1p, pow, sqrt, tanh
from typing import Any

import numpy as np

from hermes.dataset import periods_per_year
from hermes.measures import FEW_TRADES, SHORT
from hermes.stages.backtest.account import Account, Fill
from hermes.stages.backtest.arrays import Booleans, Floats, Times
from hermes.stages.backtest.holding import NO_TIMING, Holding, Timing, timing
from hermes.stages.backtest.overfitting import probabilistic_sharpe
from hermes.stages.backtest.tally import BarTally
from hermes.stages.backtest.trades import Outcomes

YEAR = timedelta(days=365)
_MOST = 1e300  # a rate beyond which percents are no number
_LEAST_BARS = 10  # as k equal values among zeros have the kurtosis n / k; of a few, the formula makes a certainty
_ROUNDING = 1e-12  # what rounding leaves of growth by nothing


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
    same_exposure_return_pct: float | None
    """Π (1 + x b_t) - 1: what holding the share x of the equity at all times returned, without fees; None where a bar
    would have taken all of it, and where x is below -2"""
    elapsed_days: float | None
    """Y in days"""
    short_span: bool
    """whether elapsed_days are fewer than 90: then what is annualized says little"""
    cagr_pct: float | None
    """(v_n / v_0)^(1/Y) - 1"""
    sharpe: float | None
    """mean(r) / std(r, ddof 1) √P: Sharpe (1994); vectorbt's sharpe_ratio_1d_nb"""
    sortino: float | None
    """mean(r) / √(Σ min(r, 0)² / n) √P: Sortino & Price (1994); vectorbt's sortino_ratio_1d_nb"""
    calmar: float | None
    """cagr / max drawdown: Young (1991)"""
    omega: float | None
    """Σ max(r, 0) / Σ max(-r, 0): Keating & Shadwick (2002), threshold 0; vectorbt's omega_ratio_1d_nb"""
    max_drawdown_pct: float | None
    """max (peak - v_t) / peak, positive: vectorbt's get_drawdowns_nb"""
    max_drawdown_duration_s: int | None
    """the longest time from the first bar with v_t < peak to the next one at it, or to the last bar's close"""
    value_at_risk_pct: float | None
    """-(5 % quantile of r): the loss of a bar that 5 % of the bars exceed, 0 where fewer lose anything; vectorbt's
    value_at_risk_1d_nb"""
    conditional_value_at_risk_pct: float | None
    """mean loss of the worst 5 % of the bars: Rockafellar & Uryasev (2000); vectorbt's cond_value_at_risk_1d_nb"""
    beta: float | None
    """cov(r, b) / var(b): vectorbt's beta_1d_nb"""
    alpha_pct: float | None
    """(1 + mean(r) - beta mean(b))^P - 1: Jensen (1968); vectorbt's alpha_1d_nb"""
    sharpe_over_holding: float | None
    """mean(e) / std(e, ddof 1) √P with e = r - x b: Sharpe ratio above holding with the same exposure"""
    p_value_over_holding: float | None
    """probability of such a sharpe_over_holding, or a higher one, where the true one is 0: 1 - the probabilistic Sharpe
    ratio of e against 0, Bailey & López de Prado (2012). None where a few bars make up e: n / kurtosis below 10"""
    trades: int
    """entries, the one still open included"""
    few_trades: bool
    """whether trades are fewer than 30: then a Sharpe ratio says little"""
    refused_orders: int
    """entries that were too small to fill: less than 1e-8 units, or than the account's least order"""
    price_jumps: int
    """bars whose open is at least 5 times the close before, or at most a fifth of it: a redenomination, or a fault"""
    trades_over_jumps: int
    """trades that were held through one of these"""
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
    return_without_best_trade_pct: float | None
    """(v_n / v_0) / max g_i - 1: total return had the trade that brought most, a still open one included, not been"""
    break_even_fee: float | None
    """fees, as a fraction, at which total return would be 0; None where it is not above 0 even without any"""
    avg_winning_trade_pct: float | None
    """mean return of the winning trades"""
    avg_losing_trade_pct: float | None
    """mean return of the losing trades"""
    avg_winning_trade_duration_s: float | None
    """mean time from entry to exit of the winning trades, between the times of their bars"""
    avg_losing_trade_duration_s: float | None
    """mean time from entry to exit of the losing trades, between the times of their bars"""
    open_trade: bool
    """whether a position is still held after the last bar"""
    fees_paid: float
    """at every entry and exit that took place"""
    funding_paid: float
    """of a perpetual contract, on what was held; negative where it was received"""
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


def measure(tally: BarTally, holding: Holding, trades: Outcomes, account: Account, interval: str) -> Metrics:
    """All measures of one backtest.

    Args:
        tally, holding: have seen every bar.
        trades: as `Trading.outcomes` returns them.
        account: the terms of trade.
        interval: of the bars, by its name.
    """
    periods, elapsed = periods_per_year(interval), tally.elapsed(interval)
    total_return = (tally.equity - account.initial_cash) / account.initial_cash
    benchmark = _ratio(holding.last_close - holding.first_close, holding.first_close)
    cagr = _power(1 + total_return, YEAR / elapsed) if elapsed else None
    drawdown = tally.drawdown or None
    several = tally.bars >= 2  # a single return has no deviation
    mean = tally.mean if several else None
    deviation = sqrt(tally.squares / (tally.bars - 1)) if several else None
    downside = sqrt(tally.loss_squares / tally.bars) if several else None
    at_risk, in_the_tail = tally.tail.risk(tally.bars) if deviation else (None, None)
    exposure = _ratio(tally.held, tally.bars)
    # What of the equity was in the market, on average; an inverse account is not counted in the money of the prices.
    invested = tally.invested / max(tally.bars - 1, 1) if tally.bars and not account.inverse else None
    grown = None if invested is None else holding.growth(invested)
    against = NO_TIMING if invested is None or not tally.held else timing(tally.cross_moments, holding, invested)
    alpha = None if against.alpha is None else _power(1 + against.alpha, periods)

    profit, return_pct = (each[: trades.closed] for each in (trades.profit, trades.return_pct))
    winning, losing = profit > 0, profit < 0
    growth = _growth(trades, account)
    return Metrics(
        total_return_pct=100 * total_return,
        benchmark_return_pct=_percent(benchmark),
        same_exposure_return_pct=None if grown is None else 100 * (grown - 1),
        elapsed_days=elapsed / timedelta(days=1) or None,
        short_span=elapsed < SHORT,
        cagr_pct=_percent(cagr),
        sharpe=_scaled(_ratio(mean, deviation), sqrt(periods)),
        sortino=_scaled(_ratio(mean, downside), sqrt(periods)),
        calmar=_ratio(cagr, drawdown),
        omega=_ratio(tally.gains, tally.losses),
        max_drawdown_pct=_percent(drawdown),
        max_drawdown_duration_s=round(tally.longest_drawdown(interval).total_seconds()) or None,
        value_at_risk_pct=_percent(at_risk),
        conditional_value_at_risk_pct=_percent(in_the_tail),
        beta=against.beta,
        alpha_pct=_percent(alpha),
        sharpe_over_holding=_scaled(against.sharpe, sqrt(periods)),
        p_value_over_holding=_p_value(against, tally.bars),
        trades=len(trades.bars),
        few_trades=len(trades.bars) < FEW_TRADES,
        refused_orders=trades.refused,
        price_jumps=len(holding.jumps),
        trades_over_jumps=int(spanning(trades, holding.jumps).sum()),
        win_rate_pct=_percent(_ratio(int(winning.sum()), trades.closed)),
        profit_factor=_ratio(float(profit[winning].sum()), -float(profit[losing].sum())),
        expectancy=_mean(profit),
        best_trade_pct=float(return_pct.max()) if trades.closed else None,
        worst_trade_pct=float(return_pct.min()) if trades.closed else None,
        return_without_best_trade_pct=_without_best(total_return, growth),
        break_even_fee=_break_even(growth, trades, account),
        avg_winning_trade_pct=_mean(return_pct[winning]),
        avg_losing_trade_pct=_mean(return_pct[losing]),
        avg_winning_trade_duration_s=_mean(trades.seconds[winning]),
        avg_losing_trade_duration_s=_mean(trades.seconds[losing]),
        open_trade=len(trades.bars) > trades.closed,
        fees_paid=float(trades.fees.sum()),
        funding_paid=float(trades.funding.sum()),
        exposure_pct=_percent(exposure),
        end_value=tally.equity,
        initial_cash=account.initial_cash,
        fees=account.fees,
        slippage_bps=account.slippage_bps,
        fill=account.fill,
        periods_per_year=periods,
    )


def spanning(trades: Outcomes, jumps: Times) -> Booleans:
    """Which trades were held while the price jumped: from the close before one of these bars to its open."""
    if not len(jumps):
        return np.zeros(len(trades.bars), np.bool_)
    entered = np.searchsorted(jumps, trades.entries, side="right")
    left = np.full(len(entered), len(jumps))  # of those still open; a portfolio may have several
    left[: trades.closed] = np.searchsorted(jumps, trades.exits, side="right")
    return left > entered


def _growth(trades: Outcomes, account: Account) -> Floats:
    """By what each trade multiplied equity, a still open one until the last close."""
    after = account.initial_cash + np.cumsum(trades.profit)
    growth: Floats = after / np.concatenate([[account.initial_cash], after[:-1]])[: len(after)]
    return growth


def _without_best(total_return: float, growth: Floats) -> float | None:
    best = float(growth.max()) if len(growth) else 0.0
    return 100 * ((1 + total_return) / best - 1) if best > 0 else None


def _break_even(growth: Floats, trades: Outcomes, account: Account) -> float | None:
    """The fee x at which the trades would have led nowhere; None for an account that is not long with all its equity.

    A round trip multiplies equity by (1 - x) / (1 + x), an entry alone by 1 / (1 + x): 2 k artanh(x) + o log(1 + x) = G
    for k closed trades, o open ones and the growth exp(G) without fees. Newton's method, from where o does not matter.
    """
    if account.side != "long" or account.size != "all" or account.inverse or not (growth > 0).all():
        return None
    grown, fees = float(np.log(growth).sum()), account.fees
    closed, still_open = trades.closed, len(trades.bars) - trades.closed
    free = grown + 2 * closed * atanh(fees) + still_open * log1p(fees)
    if not len(trades.bars) or free <= _ROUNDING:
        return None
    fee = tanh(free / (2 * closed)) if closed else exp(free) - 1
    for _ in range(20 if closed and still_open else 0):
        over = 2 * closed * atanh(fee) + still_open * log1p(fee) - free
        fee -= over / (2 * closed / (1 - fee**2) + still_open / (1 + fee))
    return fee if fee < 1 else None


def _p_value(against: Timing, bars: int) -> float | None:
    if against.sharpe is None or against.skew is None or against.kurtosis is None:
        return None
    if bars / against.kurtosis < _LEAST_BARS:
        return None
    return 1 - probabilistic_sharpe(against.sharpe, 0.0, bars, against.skew, against.kurtosis)


def _mean(values: Floats) -> float | None:
    """The mean of nothing is None."""
    return float(values.sum() / len(values)) if len(values) else None


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or not denominator else numerator / denominator


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _percent(fraction: float | None) -> float | None:
    return _scaled(fraction, 100)


def _power(growth: float, exponent: float) -> float | None:
    """A few short bars can compound to more than a float holds: no rate to speak of."""
    try:
        rate = pow(growth, exponent) - 1
    except (OverflowError, ValueError):  # an account that owes has no rate either
        return None
    return rate if rate < _MOST else None
