"""Is it the timing? The same trades, as many and as long, entered at random bars instead."""

from dataclasses import dataclass

import numpy as np

from hermes.stages.backtest.account import Account, Asked
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.trading import Trading

DRAWS = 10_000
_SAME = 1e-9  # growth that differs by a smaller share than this, differs by rounding: the same trades in another order
_CELLS = 1_000_000  # draws times trades that are looked at together


@dataclass(frozen=True, slots=True)
class Luck:
    """Where a strategy stands among random entries.

    Attributes:
        percentile: share of the draws, in percent, that returned less; of those that tie, half count.
        return_pct: the strategy's return, with a trade still open sold at the last bar, as in every draw.
        median_pct, low_pct, high_pct: of the draws' returns; 5 % lie below the low one, 5 % above the high one.
        trades: entered in every draw; draws: how many there were.
    """

    percentile: float
    return_pct: float
    median_pct: float
    low_pct: float
    high_pct: float
    trades: int
    draws: int


def luck(bars: Bars, wanted: Asked, account: Account, draws: int = DRAWS, seed: int = 0) -> Luck | None:
    """The luck test of one strategy's signals.

    In every draw the holding times of the strategy's own trades come in random order, and their entries at random bars
    at which nothing is held, each of which is as likely as any other. Trades never overlap. Fees, slippage and fill are
    the account's.

    Args:
        bars: that the strategy traded on; wanted: what its signals ask for.
        draws: how many random accounts; the same `seed` draws the same ones.

    Returns:
        None where there is no trade.
    """
    trading = Trading(account)
    trading.trade(bars, wanted)
    trades = trading.trades()
    if trades.is_empty():
        return None
    last = bars.times[-1]
    entries = np.searchsorted(bars.times, trades["entry_time"].to_numpy())
    exits = np.searchsorted(bars.times, trades["exit_time"].fill_null(last.item()).to_numpy())
    quotes = bars.close if account.fill == "close" else bars.opens
    own = float(_returns(quotes, entries[None], (exits - entries)[None], account)[0])

    rng = np.random.default_rng(seed)
    each = max(1, _CELLS // len(entries))
    found = np.concatenate(
        [
            _returns(quotes, *placed(len(bars), exits - entries, min(each, draws - done), rng), account)
            for done in range(0, draws, each)
        ]
    )
    low, median, high = (100 * float(value) for value in np.quantile(found, (0.05, 0.5, 0.95)))
    same = np.abs(found - own) <= _SAME * (1 + abs(own))
    below = (np.sum(~same & (found < own)) + np.sum(same) / 2) / draws
    return Luck(100 * float(below), 100 * own, median, low, high, len(entries), draws)


def placed(bars: int, held: Rows, draws: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Random places for trades that are held for so many bars.

    Returns:
        Rows of the entries and the bars that each is held for, both of shape draws × trades, in order of time. An entry
        comes at the earliest one bar after the exit before it, an exit at the latest at the last bar.
    """
    orders = rng.permuted(np.tile(held, (draws, 1)), axis=1)
    free = bars - int(held.sum()) - len(held)  # bars that could be left out without any two trades touching
    starts = np.sort(rng.integers(0, free + 1, size=(draws, len(held))), axis=1)
    before = np.cumsum(orders + 1, axis=1) - (orders + 1)
    return starts + before, orders


def _returns(quotes: Floats, entries: Rows, held: Rows, account: Account) -> Floats:
    """What each row of trades returns, compounded: as a fraction."""
    slippage = account.slippage_bps / 10_000
    cost = (1 - slippage) * (1 - account.fees) / ((1 + slippage) * (1 + account.fees))
    gained: Floats = np.prod(quotes[entries + held] / quotes[entries] * cost, axis=1) - 1
    return gained
