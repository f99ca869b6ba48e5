"""The trades of an account, and their results."""

from typing import NamedTuple

import numpy as np
import polars as pl

from hermes.stages.backtest.arrays import Floats, Rows, Times
from hermes.stages.backtest.exits import REASONS

#: What is remembered of entries and of exits, one column each; `bar` counts from the first bar.
ENTRY = "bar", "price", "units", "fees", "side"
EXIT = "bar", "price", "fees", "reason", "funding"
_NO_ENTRY, _NO_EXIT, _NO_TIME = np.empty((0, len(ENTRY))), np.empty((0, len(EXIT))), np.empty(0, "datetime64[us]")


class Outcomes(NamedTuple):
    """The result of every trade, one value each; as in `Records.frame`. Open ones come last.

    `entries` and `exits` are the times of the bars that filled the orders, exits of the closed ones only, and `seconds`
    the time between them. `refused` counts the entries that were too small.
    """

    bars: Rows
    return_pct: Floats
    profit: Floats
    fees: Floats
    funding: Floats
    closed: int
    entries: Times
    exits: Times
    seconds: Floats
    refused: int


class Records(NamedTuple):
    """All trades of an account: the closed ones, then those that are still open.

    Attributes:
        entry, left: a row of `ENTRY` and one of `EXIT` for each; `left` says of an open one what leaving it at the last
            close would be, without fees.
        entries, exits: the times of the bars that filled the orders, exits of the closed ones only.
    """

    entry: Floats
    left: Floats
    entries: Times
    exits: Times
    inverse: bool = False

    @property
    def closed(self) -> int:
        """How many are closed."""
        return len(self.exits)

    def outcomes(self, refused: int = 0) -> Outcomes:
        """The results of the trades; `refused`: number of entries that were too small."""
        units, price, gone = self.entry[:, 2], self.entry[:, 1], self.left[:, 1]
        if self.inverse:
            price, gone = 1 / price, 1 / gone
        value = np.abs(units) * price
        fees, funding = self.entry[:, 3] + self.left[:, 2], self.left[:, 4]
        profit = units * (gone - price) - fees - funding
        seconds = (self.exits - self.entries[: self.closed]) / np.timedelta64(1, "s")
        bars = (self.left[:, 0] - self.entry[:, 0]).astype(np.intp)
        returned = 100 * profit / value
        return Outcomes(bars, returned, profit, fees, funding, self.closed, self.entries, self.exits, seconds, refused)

    def frame(self) -> pl.DataFrame:
        """One row per trade, in order.

        Returns:
            `entry_time, entry_price, exit_time, exit_price, bars, return_pct, profit, fees, open, side, size, funding,
            reason`. Times are those of the bars that filled the orders, prices include slippage, `bars` counts the
            closes at which the position was held. `return_pct` is the profit, net of both fees and of funding, in
            percent of the value bought or sold short. `side` is `long` or `short`; `size` is in the base currency (in
            the quote currency where the contract is inverse); `funding` is negative where it was received; `reason` is
            one of `exits.REASONS`. A trade still open has no exit and no reason; its profit is that at the last close,
            without an exit fee.
        """
        found, count = self.outcomes(), len(self.entry)
        missing = count - self.closed  # exits, of trades still open
        left = self.left[: self.closed]
        sides, reasons = pl.Series(["short", "long"]), pl.Series(REASONS)
        return pl.DataFrame(
            {
                "entry_time": self.entries,
                "entry_price": self.entry[:, 1],
                "exit_time": pl.Series(self.exits).extend_constant(None, missing),
                "exit_price": pl.Series(left[:, 1]).extend_constant(None, missing),
                "bars": found.bars,
                "return_pct": found.return_pct,
                "profit": found.profit,
                "fees": found.fees,
                "open": np.arange(count) >= self.closed,
                "side": sides.gather((self.entry[:, 4] > 0).astype(np.uint32)),
                "size": np.abs(self.entry[:, 2]),
                "funding": found.funding,
                "reason": reasons.gather(left[:, 3].astype(np.uint32)).extend_constant(None, missing),
            },
            schema_overrides={"bars": pl.Int64},
        )


class Trades:
    """The trades of one account on one series, in order; the account adds them as it goes."""

    def __init__(self, *, inverse: bool = False) -> None:
        self._inverse = inverse
        self._entered: list[Floats] = []
        self._left: list[Floats] = []
        self._entry_times: list[Times] = []
        self._exit_times: list[Times] = []

    def add(self, times: Times, bars: int, entered: Floats, left: Floats) -> None:
        """The entries (`ENTRY`) and exits (`EXIT`) on the next bars, `bars` of which came before these times."""
        for found, kept, when in (
            (entered, self._entered, self._entry_times),
            (left, self._left, self._exit_times),
        ):
            if len(found):
                kept.append(found)
                when.append(times[found[:, 0].astype(np.intp) - bars])

    def records(self, bars: int, last_close: float, funding: float = 0.0) -> Records:
        """All trades so far.

        Args:
            bars: how many there were; last_close: of the last one.
            funding: paid so far for a trade still open.
        """
        entry, left = np.concatenate([_NO_ENTRY, *self._entered]), np.concatenate([_NO_EXIT, *self._left])
        still_open = np.array([[bars, last_close, 0.0, 0.0, funding]])[: len(entry) - len(left)]
        entries, exits = np.concatenate([_NO_TIME, *self._entry_times]), np.concatenate([_NO_TIME, *self._exit_times])
        return Records(entry, np.concatenate([left, still_open]), entries, exits, self._inverse)
