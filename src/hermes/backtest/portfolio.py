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


class Portfolio:
    """One account on its way through the bars. However they are cut into pieces, each bar's figures are the same."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._cash, self._size = account.initial_cash, 0.0
        self._long = False  # what the signals so far ask for
        self._unfilled = False, False  # the last bar's signals, where the next bar's open fills them
        self._bars = 0
        self._last_close = 0.0
        self._orders: list[Floats] = []  # one row per order, columns as _ORDER
        self._order_times: list[Times] = []

    def advance(self, piece: pl.DataFrame) -> Steps:
        """The next bars (`BARS`, at least one) → the account's equity through them."""
        close = piece["close"].to_numpy()
        quotes = close if self._account.fill == "close" else piece["open"].to_numpy()
        before = [0, 0.0, 0.0, 0.0, self._cash, self._size]
        rows, buys = self._turns(piece["buy_signal"].to_numpy(), piece["sell_signal"].to_numpy())
        orders = np.array([before, *self._fill(rows.tolist(), buys.tolist(), quotes[rows].tolist())])
        steps = _steps(orders, close)

        self._order_times.append(piece["datetime"].to_numpy()[orders[1:, 0].astype(np.intp)])
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
                    continue
                self._cash, self._size = 0.0, size
            elif self._size:
                price, size = quote * (1 - slippage), self._size
                paid = size * price * fees
                self._cash, self._size = size * price - paid, 0.0
            else:
                continue  # the buy before it was refused
            yield row, price, size, paid, self._cash, self._size

    def _turns(self, buy: Booleans, sell: Booleans) -> tuple[Rows, Booleans]:
        """Rows at whose price the position turns, and whether it turns long there.

        A buy while long and a sell while flat turn nothing; both on one bar cancel out (vectorbt's default).
        """
        if self._account.fill == "next_open":
            (first_buy, first_sell), self._unfilled = self._unfilled, (buy[-1], sell[-1])
            buy, sell = _shifted(buy, first_buy), _shifted(sell, first_sell)
        rows = np.flatnonzero(buy != sell)
        asked = buy[rows]
        turns = asked != _shifted(asked, self._long)
        self._long = asked[-1] if len(asked) else self._long
        return rows[turns], asked[turns]

    def trades(self) -> pl.DataFrame:
        """One row per trade so far, in order.

        Returns:
            `entry_time, entry_price, exit_time, exit_price, bars, return_pct, profit, fees, open`. Times are those of
            the bars that filled the orders, prices include slippage, `bars` counts the closes at which the position was
            held. `return_pct` is the profit, net of both fees, in percent of the value bought. A trade still open has
            no exit; its profit is that at the last close, without an exit fee.
        """
        orders = pl.DataFrame(np.concatenate([np.empty((0, len(_ORDER))), *self._orders]), schema=_ORDER, orient="row")
        times = pl.concat([pl.Series(dtype=DATETIME), *map(pl.Series, self._order_times)])
        orders = orders.with_columns(pl.col("bar").cast(pl.Int64), time=times)
        entry, exit_ = orders.gather_every(2), orders.gather_every(2, offset=1)
        pairs = pl.concat(
            [entry.rename(lambda name: f"entry_{name}"), exit_.rename(lambda name: f"exit_{name}")],
            how="horizontal_extend",  # the exit of a trade still open becomes null
        )
        marked = pl.col("exit_price").fill_null(self._last_close)
        gain = pl.col("entry_size") * (marked - pl.col("entry_price"))
        fees = pl.col("entry_fees") + pl.col("exit_fees").fill_null(0.0)
        return pairs.select(
            "entry_time",
            "entry_price",
            "exit_time",
            "exit_price",
            bars=pl.col("exit_bar").fill_null(self._bars) - pl.col("entry_bar"),
            return_pct=100 * (gain - fees) / (pl.col("entry_size") * pl.col("entry_price")),
            profit=gain - fees,
            fees=fees,
            open=pl.col("exit_bar").is_null(),
        )


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
