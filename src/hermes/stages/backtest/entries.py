"""From entry to exit to entry: the positions that signals and levels ask for, before any money is counted."""

from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import Transitions
from hermes.stages.backtest.arrays import Booleans, Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.exits import Ends, Exits, Found

FEWEST, MOST = 256, 4096  # entries that are looked at together
CHAINS = 512  # positions that are followed side by side
STEP = 1024  # entries: a step of all these chains costs as much as so many, however few of them are left


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

    When a position ends follows from the row of its entry alone, not from the account's money: each entry has one that
    may come next. Which of them are needed is not known before, and finding all exits is slow where most entries meet
    an open position. So positions are followed from many places at once: the chains soon run into one another, and a
    chain stops where another one has been. Where they do not, all exits are found.

    Args:
        found: the exits of all entries, where they are known.
    """

    def __init__(
        self,
        exits: Exits,
        bars: Bars,
        quotes: Floats,
        slippage: float,
        transitions: Transitions,
        found: Found | None = None,
    ) -> None:
        self._exits, self._bars, self._quotes, self._slippage, self._transitions = (
            exits,
            bars,
            quotes,
            slippage,
            transitions,
        )
        count = len(transitions.enter)
        self._expected, self._count = -1, MOST
        self._known: list[int] = []  # the same as a list, where all are known: Python reads it faster
        if found:
            self._hit, self._row, self._reason = found
            self._following = self._next(*found)
            self._known = self._following.tolist()
            return
        self._following = np.full(count, -1)  # the number of the entry that may come next, -1 where it is not known
        self._hit = np.empty(count, np.bool_)
        self._row, self._reason = np.empty((2, count), np.intp)
        self._spent = 0  # on chains so far, in entries

    def __len__(self) -> int:
        return len(self._transitions.enter)

    def first(self, row: int) -> int:
        """The number of the first entry at a row or after it."""
        self._expected = int(np.searchsorted(self._transitions.enter, row))
        return self._expected

    def follow(self, place: int) -> Positions:
        """The next positions, the first of them entered at the entry of this number."""
        self._count = min(2 * self._count, MOST) if place == self._expected else FEWEST
        following, known, total, chosen = self._following, self._known, len(self), list[int]()
        for _ in range(self._count):
            if place >= total:
                break
            after = known[place] if known else following.item(place)
            if after < 0:
                self._look_from(place)
                after = following.item(place)
            chosen.append(place)
            place = after
        self._expected = place
        return self._positions(np.array(chosen), place)

    def _look_from(self, place: int) -> None:
        """Follow positions from an entry, and the first time from others after it, to where they are known."""
        chains, first = np.array([place]), not self._spent
        while len(chains):
            self._spent += STEP
            if not self._exits.watches or self._spent >= len(self) - place:  # as much as all of them cost
                self._find_following(np.flatnonzero(self._following[place:] < 0) + place)
                return
            if first:
                chains = np.unique(np.linspace(place, len(self), CHAINS, endpoint=False).astype(np.intp))
                first = False
            self._find_following(chains)
            chains = np.unique(self._following[chains])
            chains = chains[chains < len(self)]
            chains = chains[self._following[chains] < 0]

    def _find_following(self, places: Rows) -> None:
        """Find the exits of some entries, and the entries that may come next."""
        self._find_exits(places)
        self._following[places] = self._next(self._hit[places], self._row[places], self._reason[places])

    def _next(self, hit: Booleans, row: Rows, reason: Rows) -> Rows:
        """The numbers of the entries that may come after such exits."""
        following = np.searchsorted(self._transitions.enter, self._exits.resume(hit, row, reason))
        following[row == len(self._bars)] = len(self)  # a position that goes on has none after it
        return following

    def _find_exits(self, places: Rows) -> None:
        """Find of some entries whether a level is reached, and row and reason of the exit."""
        exits, (enter, sides, *_) = self._exits, self._transitions
        for begin in range(0, len(places), MOST):
            some = places[begin : begin + MOST]
            entry, side = enter[some], sides[some]
            row, reason = exits.due(self._transitions, entry, side, len(self._bars))
            hit = np.zeros(len(some), np.bool_)
            if exits.watches:
                levels = exits.levels(side, self._price(entry, side))
                hit, row = exits.reached(self._bars, entry, side, levels, row)
            self._hit[some], self._row[some], self._reason[some] = hit, row, reason

    def _price(self, entry: Rows, side: Rows) -> Floats:
        price: Floats = self._quotes[entry] * (1 + side * self._slippage)
        return price

    def _positions(self, places: Rows, following: int) -> Positions:
        """The positions of some entries whose exits are known."""
        exits, (enter, sides, *_) = self._exits, self._transitions
        entry, side = enter[places], sides[places]
        price = self._price(entry, side)
        found = self._hit[places], self._row[places], self._reason[places]
        ends = exits.fills(self._bars, self._quotes, entry, side, exits.levels(side, price), *found)
        return Positions(places, entry, side, self._quotes[entry], price, ends, following)
