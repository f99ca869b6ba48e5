"""The luck test: the same number and lengths of trades, entered at random bars instead."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from hermes.stages.backtest.account import Account, SignalEvents
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.exits import Exits
from hermes.stages.backtest.trading import Trading

DRAWS = 10_000
_SAME = 1e-9  # growth that differs by a smaller share than this, differs by rounding: the same trades in another order
_CELLS = 1_000_000  # draws times trades that are looked at together


@dataclass(frozen=True, slots=True)
class Luck:
    """The rank of a strategy among random entries.

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


def luck(bars: Bars, wanted: SignalEvents, account: Account, draws: int = DRAWS, seed: int = 0) -> Luck | None:
    """The luck test of one strategy's signals.

    In every draw the holding times of the strategy's own trades come in random order, and their entries at random bars
    at which nothing is held, each of which is as likely as any other. Trades never overlap. Fees, slippage and fill are
    the account's, and so are side and size: each trade keeps its own. Where the account watches levels, they end the
    drawn trades, too, which are then held for as long as the strategy's own at most. Funding is left out of both.

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
    held = exits - entries
    if account.only_signals and account.side == "long" and account.size == "all" and not account.inverse:
        own = float(_returns(quotes, entries[None], held[None], account)[0])
        drawn: Callable[[Rows, Rows, Rows], Floats] = lambda starts, _, lengths: _returns(  # noqa: E731
            quotes, starts, lengths, account
        )
    else:
        alike = _Alike(bars, quotes, trades, account)
        own, drawn = alike.own(), alike.returns

    rng = np.random.default_rng(seed)
    each = max(1, _CELLS // len(entries))
    found = np.concatenate(
        [drawn(*placed(len(bars), held, min(each, draws - done), rng)) for done in range(0, draws, each)]
    )
    low, median, high = (100 * float(value) for value in np.quantile(found, (0.05, 0.5, 0.95)))
    same = np.abs(found - own) <= _SAME * (1 + abs(own))
    below = (np.sum(~same & (found < own)) + np.sum(same) / 2) / draws
    return Luck(100 * float(below), 100 * own, median, low, high, len(entries), draws)


class _Alike:
    """Trades like the strategy's own at other bars: of the same sides and sizes, with the same stops and targets."""

    def __init__(self, bars: Bars, quotes: Floats, trades: pl.DataFrame, account: Account) -> None:
        self._bars, self._quotes, self._account = bars, quotes, account
        self._exits = Exits(account)
        self._slippage = account.slippage_bps / 10_000
        self._side = np.where(trades["side"].to_numpy() == "long", 1, -1)
        self._entry = trades["entry_price"].to_numpy()
        last = quotes[-1] * (1 - self._side * self._slippage)
        self._exit = np.where(trades["open"].to_numpy(), last, trades["exit_price"].fill_null(1.0).to_numpy())
        profit = trades["profit"].to_numpy()
        equity = account.initial_cash + np.concatenate([[0.0], np.cumsum(profit)[:-1]])
        spent = trades["size"].to_numpy() * self._worth(self._entry) * (1 + account.fees)
        self._share = np.divide(spent, equity, out=np.zeros(len(spent)), where=equity > 0)

    def own(self) -> float:
        """What the strategy's trades return, compounded: as a fraction."""
        return float(np.prod(1 + self._share * self._gains(self._side, self._entry, self._exit)) - 1)

    def returns(self, starts: Rows, numbers: Rows, held: Rows) -> Floats:
        """What each row of trades returns; `numbers` says which of the strategy's own each is like."""
        entry, side = starts.ravel(), self._side[numbers].ravel()
        price = self._quotes[entry] * (1 + side * self._slippage)
        levels, due = self._exits.levels(side, price), (starts + held).ravel()
        hit, row = np.zeros(len(entry), np.bool_), due
        if self._exits.watches:
            hit, row = self._exits.reached(self._bars, entry, side, levels, due)
        reasons = np.zeros(len(entry), np.intp)
        ends = self._exits.fills(self._bars, self._quotes, entry, side, levels, hit, row, reasons)
        gains = self._gains(side, price, ends.quote * (1 - side * self._slippage)).reshape(starts.shape)
        returned: Floats = np.prod(1 + self._share[numbers] * gains, axis=1) - 1
        return returned

    def _worth(self, price: Floats) -> Floats:
        return 1 / price if self._account.inverse else price

    def _gains(self, side: Rows, entry: Floats, exit_: Floats) -> Floats:
        """Profit of trades over what was set aside for them, fee included, never more than all of it is lost."""
        fees = self._account.fees
        grown = self._worth(exit_) / self._worth(entry)
        way = -side if self._account.inverse else side
        return np.maximum((way * (grown - 1) - fees * (1 + grown)) / (1 + fees), -1.0)


def placed(bars: int, held: Rows, draws: int, rng: np.random.Generator) -> tuple[Rows, Rows, Rows]:
    """Random places for trades that are held for so many bars.

    Returns:
        Rows of the entries, the numbers of the trades that come there, and the bars that each is held for, all of shape
        draws × trades, in order of time. An entry comes at the earliest one bar after the exit before it, an exit at
        the latest at the last bar.
    """
    numbers = rng.permuted(np.tile(np.arange(len(held)), (draws, 1)), axis=1)
    orders = held[numbers]
    free = bars - int(held.sum()) - len(held)  # bars that could be left out without any two trades touching
    starts = np.sort(rng.integers(0, free + 1, size=(draws, len(held))), axis=1)
    before = np.cumsum(orders + 1, axis=1) - (orders + 1)
    return starts + before, numbers, orders


def _returns(quotes: Floats, entries: Rows, held: Rows, account: Account) -> Floats:
    """What each row of trades returns, compounded: as a fraction."""
    slippage = account.slippage_bps / 10_000
    cost = (1 - slippage) * (1 - account.fees) / ((1 + slippage) * (1 + account.fees))
    gained: Floats = np.prod(quotes[entries + held] / quotes[entries] * cost, axis=1) - 1
    return gained
