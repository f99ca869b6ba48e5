"""What became of every trade of an account."""

from typing import NamedTuple

import numpy as np
import polars as pl

from hermes.schemas import DATETIME
from hermes.stages.backtest.arrays import Floats, Rows, Times
from hermes.stages.backtest.exits import REASONS

#: What is remembered of entries and of exits, one column each; `bar` counts from the first bar.
ENTRY = "bar", "price", "units", "fees", "side"
EXIT = "bar", "price", "fees", "reason", "funding"


class Outcomes(NamedTuple):
    """What became of every trade, one value each; as in `Trades.frame`. Only the last may still be open.

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

    def outcomes(self, bars: int, last_close: float, funding: float = 0.0, refused: int = 0) -> Outcomes:
        """What became of the trades.

        Args:
            bars: how many there were; last_close: of the last one.
            funding: paid so far for a trade still open.
            refused: entries that were too small.
        """
        entry, exit_ = self._sides()
        closed = len(exit_)
        still_open = np.array([[bars, last_close, 0.0, 0.0, funding]])[: len(entry) - closed]
        out = np.concatenate([exit_, still_open])
        units, price, gone = entry[:, 2], entry[:, 1], out[:, 1]
        if self._inverse:
            price, gone = 1 / price, 1 / gone
        value = np.abs(units) * price
        fees = entry[:, 3] + out[:, 2]
        profit = units * (gone - price) - fees - out[:, 4]
        entered, left = self._times()
        seconds = (left - entered[:closed]) / np.timedelta64(1, "s")
        bars_held = (out[:, 0] - entry[:, 0]).astype(np.intp)
        returned = 100 * profit / value
        return Outcomes(bars_held, returned, profit, fees, out[:, 4], closed, entered, left, seconds, refused)

    def frame(self, bars: int, last_close: float, funding: float = 0.0) -> pl.DataFrame:
        """One row per trade so far, in order; arguments as in `outcomes`.

        Returns:
            `entry_time, entry_price, exit_time, exit_price, bars, return_pct, profit, fees, open, side, size, funding,
            reason`. Times are those of the bars that filled the orders, prices include slippage, `bars` counts the
            closes at which the position was held. `return_pct` is the profit, net of both fees and of funding, in
            percent of the value bought or sold short. `side` is `long` or `short`; `size` is in the base currency (in
            the quote currency where the contract is inverse); `funding` is negative where it was received; `reason` is
            one of `exits.REASONS`. A trade still open has no exit and no reason; its profit is that at the last close,
            without an exit fee.
        """
        entry, exit_ = self._sides()
        found = self.outcomes(bars, last_close, funding)
        entered, left = self._times()
        missing = [None] * (len(entry) - found.closed)  # the exit of a trade still open
        return pl.DataFrame(
            {
                "entry_time": entered,
                "entry_price": entry[:, 1],
                "exit_time": pl.Series(left).extend(pl.Series(missing, dtype=DATETIME)),
                "exit_price": pl.Series(exit_[:, 1]).extend(pl.Series(missing, dtype=pl.Float64)),
                "bars": found.bars,
                "return_pct": found.return_pct,
                "profit": found.profit,
                "fees": found.fees,
                "open": np.arange(len(entry)) >= found.closed,
                "side": pl.Series(np.where(entry[:, 4] > 0, "long", "short").tolist(), dtype=pl.String),
                "size": np.abs(entry[:, 2]),
                "funding": np.append(exit_[:, 4], [funding] * len(missing)),
                "reason": pl.Series([REASONS[int(each)] for each in exit_[:, 3]] + missing, dtype=pl.String),
            },
            schema_overrides={"bars": pl.Int64},
        )

    def _times(self) -> tuple[Times, Times]:
        entered, left = (
            np.concatenate([np.empty(0, "datetime64[us]"), *times]) for times in (self._entry_times, self._exit_times)
        )
        return entered, left

    def _sides(self) -> tuple[Floats, Floats]:
        entry, exit_ = (
            np.concatenate([np.empty((0, len(columns))), *found])
            for columns, found in ((ENTRY, self._entered), (EXIT, self._left))
        )
        return entry, exit_
