"""Position + prices → equity and trades: one account, long or flat, always with its whole equity.

The order of the arithmetic is vectorbt 1.2's (`portfolio/nb.py`: `buy_nb`, `sell_nb`, `get_trade_stats_nb`), so that
the two agree to the last bit of a float: with zero fees, whether a drawdown is over can hang on that one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hermes.errors import SettingsError
from hermes.schemas import DATETIME, Schema

Fill = Literal["close", "next_open"]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Rows = NDArray[np.intp]
Times = NDArray[np.datetime64]

#: What a backtest needs of every bar: times ascending, prices positive, nothing null.
BARS: Schema = {
    "datetime": DATETIME,
    "open": pl.Float64(),
    "close": pl.Float64(),
    "buy_signal": pl.Boolean(),
    "sell_signal": pl.Boolean(),
}

#: A buy of fewer units than this is refused (vectorbt's `min_size`): so a ruined account ends, before floats run out.
SMALLEST_BUY = 1e-8

#: What is remembered of every order; `bar` counts from the first bar, `size` is in units of the base currency.
_ORDER = "bar", "price", "size", "fees", "cash_after", "size_after"


@dataclass(frozen=True, slots=True)
class Account:
    """The terms under which the signals are traded.

    Args:
        initial_cash: in the quote currency.
        fees: fraction of the traded value, paid at entry and again at exit.
        slippage_bps: basis points by which a buy fills higher and a sell lower than the bar's price.
        fill: at the signal bar's own `close`, or at the `next_open` (a signal on the last bar then stays unfilled).

    Raises:
        SettingsError: a value outside its range.
    """

    initial_cash: float = 10_000.0
    fees: float = 0.001
    slippage_bps: float = 0.0
    fill: Fill = "close"

    def __post_init__(self) -> None:
        if not (isfinite(self.initial_cash) and self.initial_cash > 0):
            raise SettingsError(f"initial_cash {self.initial_cash} is not an amount above 0", "try 10000")
        if not 0 <= self.fees < 1:
            raise SettingsError(f"fees {self.fees} is not a fraction from 0 to below 1", "0.001 means 0.1 %")
        if not 0 <= self.slippage_bps < 10_000:
            raise SettingsError(f"slippage_bps {self.slippage_bps} is not from 0 to below 10000", "5 means 0.05 %")
        if self.fill not in get_args(Fill):
            raise SettingsError(f"fill {self.fill!r} is not one of {' '.join(get_args(Fill))}", "use one of those")


class Asked(NamedTuple):
    """What the signals of some bars ask for: the rows, ascending, with exactly one signal, and whether it is a buy.

    A bar with both signals asks for nothing (vectorbt's default).
    """

    rows: Rows
    buys: Booleans

    def between(self, begin: int, end: int) -> "Asked":
        """What the bars from `begin` up to, not including, `end` ask for, counted from `begin`."""
        first, last = np.searchsorted(self.rows, (begin, end))
        return Asked(self.rows[first:last] - begin, self.buys[first:last])


def asked(buy: Booleans, sell: Booleans) -> Asked:
    """Signals, one of each per bar → what they ask for."""
    rows = np.flatnonzero(buy != sell)
    return Asked(rows, buy[rows])


class Outcomes(NamedTuple):
    """What became of every trade, one value each; as in `Portfolio.trades`. Only the last may still be open.

    `seconds` has the closed ones only: from the time of the bar of entry to that of the bar of exit. `refused` counts
    the buys that were too small.
    """

    bars: Rows
    return_pct: Floats
    profit: Floats
    fees: Floats
    closed: int
    seconds: Floats
    refused: int


class Steps(NamedTuple):
    """Equity at the closes of some bars, as a step function: a bar that leaves it as it was is not in here.

    Attributes:
        bars: how many bars these are.
        rows: at which of them, counted from 0, a step begins; the first begins at 0, each lasts until the next.
        equity: of each step, in the quote currency; what is held is valued at the close, with no exit fee.
        size: held during each step, in units of the base currency; 0 while flat.
    """

    bars: int
    rows: Rows
    equity: Floats
    size: Floats

    def returns(self, before: float) -> Floats:
        """Of the bars at which a step begins, where equity was `before` ahead of them; of all others it is 0."""
        values = np.concatenate([[before], self.equity])
        returns: Floats = np.diff(values) / values[:-1]
        return returns


class Portfolio:
    """One account on its way through the bars. However they are cut into pieces, each bar's figures are the same."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._cash, self._size = account.initial_cash, 0.0
        self._long = False  # what the signals so far ask for
        # What the last bar asked for, where the next bar's open fills it.
        self._unfilled = Asked(np.empty(0, np.intp), np.empty(0, np.bool_))
        self._refused = 0  # buys of too few units
        self._bars = 0
        self._last_close = 0.0
        self._orders: list[Floats] = []  # one row per order, columns as _ORDER
        self._order_times: list[Times] = []

    def advance(self, piece: pl.DataFrame) -> Steps:
        """The next bars (`BARS`, at least one) → the account's equity through them."""
        times, opens, close = (piece[name].to_numpy() for name in ("datetime", "open", "close"))
        wanted = asked(piece["buy_signal"].to_numpy(), piece["sell_signal"].to_numpy())
        return self.trade(times, opens, close, wanted)

    def trade(self, times: Times, opens: Floats, close: Floats, wanted: Asked) -> Steps:
        """As `advance`, from the columns of the next bars and what their signals ask for."""
        quotes = opens
        if self._account.fill == "close":
            quotes = close
        else:
            wanted = self._at_next_open(wanted, len(close))
        before = [0, 0.0, 0.0, 0.0, self._cash, self._size]
        rows, buys = self._turns(wanted)
        orders = np.array([before, *self._fill(rows.tolist(), buys.tolist(), quotes[rows].tolist())])
        steps = _steps(orders, close)

        self._order_times.append(times[orders[1:, 0].astype(np.intp)])
        orders[1:, 0] += self._bars
        self._orders.append(orders[1:])
        self._bars += len(close)
        self._last_close = float(close[-1])
        return steps

    def _fill(self, rows: list[int], buys: list[bool], quotes: list[float]) -> Iterator[tuple[float, ...]]:
        """Fill one order after the other; those that took place come out (`_ORDER`)."""
        fees, slippage = self._account.fees, self._account.slippage_bps / 10_000
        for row, buy, quote in zip(rows, buys, quotes, strict=True):
            if buy:
                price = quote * (1 + slippage)
                value = self._cash / (1 + fees)  # so that value and fee together spend the cash
                size, paid = value / price, self._cash - value
                if size < SMALLEST_BUY:
                    self._refused += 1
                    continue
                self._cash, self._size = 0.0, size
            elif self._size:
                price, size = quote * (1 - slippage), self._size
                paid = size * price * fees
                self._cash, self._size = size * price - paid, 0.0
            else:
                continue  # the buy before it was refused
            yield row, price, size, paid, self._cash, self._size

    def _at_next_open(self, wanted: Asked, bars: int) -> Asked:
        """Everything one bar later; what the last of these bars asks for waits for the next ones."""
        rows = np.concatenate([self._unfilled.rows, wanted.rows + 1])
        later = Asked(rows, np.concatenate([self._unfilled.buys, wanted.buys]))
        self._unfilled = later.between(bars, bars + 1)
        return later.between(0, bars)

    def _turns(self, wanted: Asked) -> Asked:
        """Where the position turns, long or flat: a buy while long and a sell while flat turn nothing."""
        turns = wanted.buys != _shifted(wanted.buys, self._long)
        self._long = wanted.buys[-1] if len(wanted.buys) else self._long
        return Asked(wanted.rows[turns], wanted.buys[turns])

    def trades(self) -> pl.DataFrame:
        """One row per trade so far, in order.

        Returns:
            `entry_time, entry_price, exit_time, exit_price, bars, return_pct, profit, fees, open`. Times are those of
            the bars that filled the orders, prices include slippage, `bars` counts the closes at which the position was
            held. `return_pct` is the profit, net of both fees, in percent of the value bought. A trade still open has
            no exit; its profit is that at the last close, without an exit fee.
        """
        entry, exit_ = self._sides()
        found = self.outcomes()
        times = np.concatenate([np.empty(0, "datetime64[us]"), *self._order_times])
        missing = [None] * (len(entry) - found.closed)  # the exit of a trade still open
        return pl.DataFrame(
            {
                "entry_time": times[::2],
                "entry_price": entry[:, 1],
                "exit_time": pl.Series(times[1::2]).extend(pl.Series(missing, dtype=DATETIME)),
                "exit_price": pl.Series(exit_[:, 1]).extend(pl.Series(missing, dtype=pl.Float64)),
                "bars": found.bars,
                "return_pct": found.return_pct,
                "profit": found.profit,
                "fees": found.fees,
                "open": np.arange(len(entry)) >= found.closed,
            },
            schema_overrides={"bars": pl.Int64},
        )

    def outcomes(self) -> Outcomes:
        """What became of the trades so far."""
        entry, exit_ = self._sides()
        closed = len(exit_)
        still_open = np.array([[self._bars, self._last_close, 0.0, 0.0, 0.0, 0.0]])[: len(entry) - closed]
        exit_ = np.concatenate([exit_, still_open])
        bought = entry[:, 2] * entry[:, 1]
        fees = entry[:, 3] + exit_[:, 3]
        profit = entry[:, 2] * (exit_[:, 1] - entry[:, 1]) - fees
        bars, seconds = (exit_[:, 0] - entry[:, 0]).astype(np.intp), self._durations() / np.timedelta64(1, "s")
        return Outcomes(bars, 100 * profit / bought, profit, fees, closed, seconds, self._refused)

    def _durations(self) -> NDArray[np.timedelta64]:
        """Of the closed trades, between the times of the bars that filled their orders."""
        times = np.concatenate([np.empty(0, "M8[us]"), *self._order_times])
        exits = times[1::2]
        durations: NDArray[np.timedelta64] = exits - times[::2][: len(exits)]
        return durations

    def _sides(self) -> tuple[Floats, Floats]:
        """Orders that opened a trade, and orders that closed one (`_ORDER`)."""
        orders = np.concatenate([np.empty((0, len(_ORDER))), *self._orders])
        return orders[::2], orders[1::2]


def equity_curve(pieces: Iterable[pl.DataFrame], account: Account) -> Iterator[pl.DataFrame]:
    """Successive pieces of bars (`BARS`) → for each, what a chart shows, one row per bar.

    Yields:
        `datetime, equity, benchmark, drawdown_pct, position`: equity and what `initial_cash` would be worth had it held
        the asset from the first close on, without fees, both in the quote currency; how far equity stands below its
        highest close so far, in percent, positive; 1 where the position is held at the bar's close, else 0.
    """
    portfolio = Portfolio(account)
    first_close = peak = 0.0
    for piece in pieces:
        if piece.is_empty():
            continue
        steps, close = portfolio.advance(piece), piece["close"].to_numpy()
        lengths = np.diff(steps.rows, append=steps.bars)
        peaks = np.maximum(np.maximum.accumulate(steps.equity), peak)
        peak, first_close = peaks[-1], first_close or close[0]
        yield piece.select(
            "datetime",
            equity=np.repeat(steps.equity, lengths),
            benchmark=close / first_close * account.initial_cash,
            drawdown_pct=np.repeat(100 * (peaks - steps.equity) / peaks, lengths),
            position=np.repeat((steps.size > 0).astype(np.int8), lengths),
        )


def _steps(orders: Floats, close: Floats) -> Steps:
    """Orders (`_ORDER`, the first one standing for the state before the piece) and the closes → equity.

    From one order to the next cash and size stand still, and while flat so does equity: one step is enough for that.
    """
    starts = orders[:, 0].astype(np.intp)
    lengths = np.diff(starts, append=len(close))
    counts = np.where(orders[:, 5] > 0, lengths, np.minimum(lengths, 1))
    rows = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
    cash, size = np.repeat(orders[:, 4], counts), np.repeat(orders[:, 5], counts)
    return Steps(len(close), rows, cash + size * close[rows], size)


def _shifted(values: Booleans, first: bool) -> Booleans:
    """`values` one row later, `first` before them and the last one gone."""
    return np.concatenate([[first], values])[:-1]
