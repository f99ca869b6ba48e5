"""From entry to exit to entry: the positions that signals and levels ask for, before any money is counted."""

from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import Turns
from hermes.stages.backtest.arrays import Booleans, Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.exits import Ends, Exits, Levels

FEWEST, MOST = 64, 8192  # entries whose exits are looked for together


class Positions(NamedTuple):
    """Successive positions, one value each.

    Attributes:
        place: numbers of their entries among all that may be; entry: their rows; side: 1 for a long, -1 for a short.
        quote: prices of the entries, before slippage; price: slippage included.
        ends: where they end; only the last may go on beyond the bars.
        following: the number of the first entry after the last of them.
    """

    place: Rows
    entry: Rows
    side: Rows
    quote: Floats
    price: Floats
    ends: Ends
    following: int


class Entries:
    """The places to enter on some bars, gone through from the first to the last.

    When a position ends follows from the row of its entry alone, not from the account's money. So the exits are looked
    for many at a time; how many, depends on how many of them were needed before.
    """

    def __init__(self, exits: Exits, bars: Bars, quotes: Floats, slippage: float, turns: Turns) -> None:
        self._exits, self._bars, self._quotes, self._slippage, self._turns = exits, bars, quotes, slippage, turns
        self._batch = 512 if exits.watches else MOST

    def __len__(self) -> int:
        return len(self._turns.enter)

    def first(self, row: int) -> int:
        """The number of the first entry at a row or after it."""
        return int(np.searchsorted(self._turns.enter, row))

    def all(self) -> tuple[Rows, Rows, Floats, Floats, Ends]:
        """Rows, sides, quotes and prices of all entries, and where a position of each would end."""
        exits, bars, (entry, side, *_) = self._exits, self._bars, self._turns
        quote, price, levels, hit, row, reason = self._out(entry, side)
        return entry, side, quote, price, exits.fills(bars, self._quotes, entry, side, levels, hit, row, reason)

    def _out(self, entry: Rows, side: Rows) -> tuple[Floats, Floats, Levels, Booleans, Rows, Rows]:
        """Of each entry its quote, its price and its levels; whether one is hit, and the row and reason of its exit."""
        exits, bars = self._exits, self._bars
        row, reason = exits.due(self._turns, entry, side, len(bars))
        hit = np.zeros(len(entry), np.bool_)
        quote = self._quotes[entry]
        price = quote * (1 + side * self._slippage)
        levels = exits.levels(side, price)
        if exits.watches:
            hit, row = exits.reached(bars, entry, side, levels, row)
        return quote, price, levels, hit, row, reason

    def follow(self, place: int) -> Positions:
        """The next positions, the first of them entered at the entry of this number."""
        exits, bars = self._exits, self._bars
        some = slice(place, place + self._batch)
        entry, side = self._turns.enter[some], self._turns.side[some]
        quote, price, levels, hit, row, reason = self._out(entry, side)
        following = np.searchsorted(self._turns.enter, exits.resume(hit, row, reason)) - place
        following[row == len(bars)] = len(self) - place  # a position that goes on has none after it

        chosen, at = [], 0
        steps = following.tolist()
        while at < len(steps):
            chosen.append(at)
            at = steps[at]
        if exits.watches:
            few = len(chosen) * 8 < len(steps)
            self._batch = max(self._batch // 2, FEWEST) if few else min(self._batch * 2, MOST)
        kept = np.array(chosen)
        entry, side, hit, row, reason = (each[kept] for each in (entry, side, hit, row, reason))
        ends = exits.fills(bars, self._quotes, entry, side, levels.of(kept), hit, row, reason)
        return Positions(kept + place, entry, side, quote[kept], price[kept], ends, place + at)
