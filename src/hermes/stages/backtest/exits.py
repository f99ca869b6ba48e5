"""The exits of positions: stops, targets, signals, and which of them a bar reaches first.

Within a bar: a gap at the open beyond the stop or the target fills at the open; then the stop, then the target, each at
its price; then what is due at the close. With the fill `close` the levels hold from the bar after the entry, with
`next_open` from the entry's own bar. The trailing level follows the highest high of the bars before.
"""

from math import inf
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from hermes.stages.backtest.account import Account, Transitions
from hermes.stages.backtest.arrays import Booleans, Floats, Rows
from hermes.stages.backtest.bars import Bars, Ranges
from hermes.stages.backtest.stops import Watch, first_hits

#: Why a position ended, as trades name it; inside, the place in this list stands for it.
REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "max_bars", "liquidation")
SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP, MAX_BARS, LIQUIDATION = range(len(REASONS))
REACHED_LEVELS = (STOP_LOSS, TAKE_PROFIT, TRAILING_STOP)

_FIRST_ROWS = 1024  # of one position that are looked at together, then twice as many each time

_Price = TypeVar("_Price", Floats, float)


class Levels(NamedTuple, Generic[_Price]):
    """Stops and targets of positions, one value each. Prices of shorts are negated, so that stops are below.

    Attributes:
        stop, target: -inf and inf where there is none.
        peak: the highest price since the entry, before these bars.
    """

    stop: _Price
    target: _Price
    peak: _Price


class End(NamedTuple):
    """Where one position ends; see `Ends`."""

    row: int
    reason: int
    quote: float


class Found(NamedTuple):
    """Of positions whether a level is reached, and the rows and reasons of their exits; see `Exits.reached`."""

    hit: Booleans
    row: Rows
    reason: Rows


class Ends(NamedTuple):
    """Where positions end, one value each.

    Attributes:
        row: as many as there are bars, where a position goes on beyond them.
        reason: see `REASONS`; quote: the price, before slippage.
    """

    row: Rows
    reason: Rows
    quote: Floats


class Exits:
    """The exits of one account's positions.

    Positions are given by arrays of one value each: `entry`, the rows at which they were entered, below 0 for those of
    earlier bars; `side`, 1 for a long and -1 for a short. `level`, `end_of` and `raised` are for one position.
    """

    def __init__(self, account: Account) -> None:
        self._stop, self._target, self._trail = account.stop_loss, account.take_profit, account.trailing_stop
        self._max_bars = account.max_bars
        self._at_open = account.fill == "next_open"
        self.watches = account.watches

    def levels(self, side: Rows, price: Floats) -> Levels[Floats]:
        """The stops and targets of positions entered at these prices."""
        stop, target = np.full(len(side), -np.inf), np.full(len(side), np.inf)
        if self._stop is not None:
            stop = side * (price * (1 - side * self._stop))
        if self._target is not None:
            with np.errstate(over="ignore"):  # so far away is never reached
                target = side * (price * (1 + side * self._target))
        return Levels(stop, target, side * price)

    def level(self, side: int, price: float) -> Levels[float]:
        """What one position watches; as `levels`."""
        stop = -inf if self._stop is None else side * (price * (1 - side * self._stop))
        target = inf if self._target is None else side * (price * (1 + side * self._target))
        return Levels(stop, target, side * price)

    def due(self, transitions: Transitions, entry: Rows, side: Rows, beyond: int) -> tuple[Rows, Rows]:
        """Where positions end at the latest, by a signal or by `max_bars`: rows, and why.

        Args:
            beyond: the row after the last bar; what ends there, goes on beyond the bars.
        """
        row = _next(transitions.leave_long, entry, beyond)
        if (side < 0).any():
            row = np.where(side > 0, row, _next(transitions.leave_short, entry, beyond))
        reason = np.zeros(len(row), np.intp)
        if self._max_bars is not None:
            late = row > entry + self._max_bars
            row[late] = np.minimum(entry[late] + self._max_bars, beyond)
            reason[late] = MAX_BARS
        return row, reason

    def reached(self, bars: Bars, entry: Rows, side: Rows, levels: Levels[Floats], due: Rows) -> tuple[Booleans, Rows]:
        """Whether positions reach a level before what is due, and the rows at which they end."""
        # What is due comes after the levels of its bar at the close, and before them at the open.
        end = due if self._at_open else np.minimum(due + 1, len(bars))
        found = np.empty(len(entry), np.intp)
        start = self._start(entry)
        for each, which in _sides(side):
            stop, target, peak = (level[which] for level in levels)
            watch = Watch(start[which], end[which], stop, target, peak, self._factor(each))
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
        levels: Levels[Floats],
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
            at, (stop, target, peak) = row[which], (level[which] for level in levels)
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

    def end_of(self, bars: Bars, quotes: Floats, due: int, entry: int, side: int, levels: Levels[float]) -> End:
        """Where one position ends; the same as `due`, `reached` and `fills`, and faster for one alone.

        Args:
            quotes: as in `fills`; due: the row at which a signal asks for the end, as many as there are bars for none.
        """
        row, reason, beyond = due, SIGNAL, len(bars.close)
        if self._max_bars is not None and row > entry + self._max_bars:
            row, reason = min(entry + self._max_bars, beyond), MAX_BARS
        if self.watches:
            start = max(entry if self._at_open else entry + 1, 0)
            end = row if self._at_open else min(row + 1, beyond)
            if found := self._reached(bars, start, end, side, levels):
                return found
        return End(row, reason, quotes.item(min(row, beyond - 1)))

    def _reached(self, bars: Bars, start: int, end: int, side: int, levels: Levels[float]) -> End | None:
        """Where one position reaches a level first, from a row up to, not including, another."""
        (stop, target, peak), factor, count = levels, self._factor(side), _FIRST_ROWS
        while start < end:
            until = end if end - start <= count else start + count
            high, low = bars.seen(side, start, until)
            if factor is None:
                reached = low <= stop
            else:
                peaks = np.maximum.accumulate(np.concatenate([[peak], high]))
                reached, peak = low <= np.maximum(peaks[:-1] * factor, stop), peaks.item(-1)
            reached |= high >= target
            at = int(reached.argmax())
            if reached[at]:
                why = STOP_LOSS
                if factor and (trail := peaks.item(at) * factor) > stop:
                    stop, why = trail, TRAILING_STOP
                opens, touched = side * bars.opens.item(start + at), low.item(at) <= stop
                gap = opens <= stop or opens >= target
                stopped = opens <= stop or (touched and opens < target)
                quote = opens if gap else stop if touched else target
                return End(start + at, why if stopped else TAKE_PROFIT, side * quote)
            start, count = until, 2 * count
        return None

    def raised(self, bars: Bars, entry: int, side: int, levels: Levels[float]) -> Levels[float]:
        """The levels of one position after the last of the bars."""
        start = max(entry if self._at_open else entry + 1, 0)
        if self._trail is None or start >= len(bars):
            return levels
        high, _ = bars.seen(side, start, len(bars))
        return levels._replace(peak=max(levels.peak, high.max().item()))

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


def _next(rows: Rows, entry: Rows, beyond: int) -> Rows:
    """The first of some rows after each entry, or the one beyond the bars."""
    found: Rows = np.append(rows, np.iinfo(np.intp).max)[np.searchsorted(rows, entry, side="right")]
    return np.minimum(found, beyond)


def _sides(side: Rows) -> list[tuple[int, Rows]]:
    """The sides that there are, each with its positions."""
    return [(each, which) for each in (1, -1) if len(which := np.flatnonzero(side == each))]


def _seen(bars: Bars, side: int) -> Ranges:
    return bars.ranges if side > 0 else bars.ranges.mirrored()
