"""When the account gets out of a position: the levels it watches, and which of them a bar reached first.

Within a bar: a gap at the open beyond the stop or the target fills at the open; then the stop, then the target, each at
its price; then what is due at the close. With the fill `close` the levels hold from the bar after the entry, with
`next_open` from the entry's own bar. The trailing level follows the highest high of the bars before.
"""

from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import Account, Turns
from hermes.stages.backtest.arrays import Booleans, Floats, Rows
from hermes.stages.backtest.bars import Bars, Ranges
from hermes.stages.backtest.stops import Watch, first_hits

#: Why a position ended, as trades name it; inside, the place in this list stands for it.
REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "max_bars", "liquidation")
SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP, MAX_BARS, LIQUIDATION = range(len(REASONS))
REACHED_LEVELS = (STOP_LOSS, TAKE_PROFIT, TRAILING_STOP)


class Levels(NamedTuple):
    """What positions watch, one value each. Prices of shorts are negated, so that stops are below and targets above.

    Attributes:
        stop, target: -inf and inf where there is none.
        peak: the highest price since the entry, before the bars at hand.
    """

    stop: Floats
    target: Floats
    peak: Floats

    def of(self, which: Rows | Booleans) -> "Levels":
        """Some of the positions."""
        return Levels(self.stop[which], self.target[which], self.peak[which])


class Ends(NamedTuple):
    """Where positions end, one value each.

    Attributes:
        row: as many as there are bars, where a position goes on beyond them.
        reason: see `REASONS`; quote: the price, before slippage.
    """

    row: Rows
    reason: Rows
    quote: Floats

    def end(self, number: int) -> tuple[int, int, float]:
        """Row, reason and quote of one of them."""
        return int(self.row[number]), int(self.reason[number]), float(self.quote[number])


class Exits:
    """The exits of one account's positions.

    Positions are given by arrays of one value each: `entry`, the rows at which they were entered, below 0 for those of
    earlier bars; `side`, 1 for a long and -1 for a short.
    """

    def __init__(self, account: Account) -> None:
        self._stop, self._target, self._trail = account.stop_loss, account.take_profit, account.trailing_stop
        self._max_bars = account.max_bars
        self._at_open = account.fill == "next_open"
        self.watches = account.watches

    def levels(self, side: Rows, price: Floats) -> Levels:
        """What positions watch that were entered at these prices."""
        stop, target = np.full(len(side), -np.inf), np.full(len(side), np.inf)
        if self._stop is not None:
            stop = side * (price * (1 - side * self._stop))
        if self._target is not None:
            with np.errstate(over="ignore"):  # so far away is never reached
                target = side * (price * (1 + side * self._target))
        return Levels(stop, target, side * price)

    def due(self, turns: Turns, entry: Rows, side: Rows, beyond: Rows) -> tuple[Rows, Rows]:
        """Where positions end at the latest, by a signal or by `max_bars`: rows, and why.

        Args:
            beyond: the row after the last bar of each one's series; what ends there, goes on beyond the bars.
        """
        row = _next(turns.leave_long, entry, beyond)
        if (side < 0).any():
            row = np.where(side > 0, row, _next(turns.leave_short, entry, beyond))
        reason = np.zeros(len(row), np.intp)
        if self._max_bars is not None:
            late = row > entry + self._max_bars
            row[late] = np.minimum(entry[late] + self._max_bars, beyond[late])
            reason[late] = MAX_BARS
        return row, reason

    def reached(
        self, bars: Bars, entry: Rows, side: Rows, levels: Levels, due: Rows, beyond: Rows | int
    ) -> tuple[Booleans, Rows]:
        """Whether positions reach a level before what is due, and the rows at which they end."""
        # What is due comes after the levels of its bar at the close, and before them at the open.
        end = due if self._at_open else np.minimum(due + 1, beyond)
        found = np.empty(len(entry), np.intp)
        start = self._start(entry)
        for each, which in _sides(side):
            watch = Watch(start[which], end[which], *levels.of(which), self._factor(each))
            found[which] = first_hits(_seen(bars, each), watch)
        hit = found < end
        return hit, np.where(hit, found, due)

    def resume(self, hit: Booleans, row: Rows, reason: Rows) -> Rows:
        """The first rows at which an entry may fill after positions that ended at these.

        A bar whose levels were reached, or that is the last of `max_bars`, ignores its signals; those of the former
        would fill one bar later at the next open. A signal may turn a position to the other side at once.
        """
        return np.where(hit, row + 1 + self._at_open, row + (reason == MAX_BARS))

    def fills(
        self,
        bars: Bars,
        quotes: Floats,
        entry: Rows,
        side: Rows,
        levels: Levels,
        hit: Booleans,
        row: Rows,
        reason: Rows,
    ) -> Ends:
        """Prices and reasons of positions in the order of time, none of which begins before another ends.

        Args:
            quotes: prices that orders fill at which signals ask for, before slippage.
            hit, row: from `reached`; reason: of what is due.
        """
        quote = quotes[np.minimum(row, len(bars) - 1)]
        reason = reason.copy()
        for each, which in _sides(np.where(hit, side, 0)):
            at, (stop, target, peak) = row[which], levels.of(which)
            why = np.full(len(at), STOP_LOSS)
            if factor := self._factor(each):
                trail = self._peaks(_seen(bars, each).high, self._start(entry[which]), at, peak) * factor
                why[trail > stop] = TRAILING_STOP
                stop = np.maximum(stop, trail)
            opens, low = each * bars.opens[at], _seen(bars, each).low[at]
            below, above, touched = opens <= stop, opens >= target, low <= stop
            quote[which] = each * np.where(below | above, opens, np.where(touched, stop, target))
            reason[which] = np.where(below | (touched & ~above), why, TAKE_PROFIT)
        return Ends(row, reason, quote)

    def ends_of(self, bars: Bars, quotes: Floats, turns: Turns, entry: int, side: int, levels: Levels) -> Ends:
        """Where one position ends that earlier bars left open; arguments as in `fills`."""
        entries, sides, beyond = np.array([entry]), np.array([side]), np.array([len(bars)])
        row, reason = self.due(turns, entries, sides, beyond)
        hit = np.zeros(1, np.bool_)
        if self.watches:
            hit, row = self.reached(bars, entries, sides, levels, row, beyond)
        return self.fills(bars, quotes, entries, sides, levels, hit, row, reason)

    def raised(self, bars: Bars, entry: int, side: int, levels: Levels) -> Levels:
        """The levels of one position after the last of the bars."""
        start = max(entry + (not self._at_open), 0)
        if self._trail is None or start >= len(bars):
            return levels
        return levels._replace(peak=np.maximum(levels.peak, _seen(bars, side).high[start:].max()))

    @staticmethod
    def _peaks(high: Floats, start: Rows, end: Rows, before: Floats) -> Floats:
        """The highest high from each start up to, not including, its end, and what was highest before."""
        highest = np.maximum.reduceat(high, np.column_stack([start, end]).ravel())[::2]
        return np.where(start < end, np.maximum(highest, before), before)

    def _start(self, entry: Rows) -> Rows:
        """The first rows at which levels hold."""
        return np.maximum(entry if self._at_open else entry + 1, 0)

    def _factor(self, side: int) -> float | None:
        return None if self._trail is None else 1 - side * self._trail


def _next(rows: Rows, entry: Rows, beyond: Rows) -> Rows:
    """The first of some rows after each entry, or the one beyond its bars."""
    found: Rows = np.append(rows, np.iinfo(np.intp).max)[np.searchsorted(rows, entry, side="right")]
    return np.minimum(found, beyond)


def _sides(side: Rows) -> list[tuple[int, Rows]]:
    """The sides that there are, each with its positions."""
    return [(each, which) for each in (1, -1) if len(which := np.flatnonzero(side == each))]


def _seen(bars: Bars, side: int) -> Ranges:
    return bars.ranges if side > 0 else bars.ranges.mirrored()
