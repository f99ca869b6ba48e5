"""Fills the orders of many series on some bars in order of time, from one cash account."""

from bisect import bisect_right
from dataclasses import replace
from heapq import heappop, heappush

import numpy as np

from hermes.stages.backtest.account import VOLATILITY_BARS, Account, Size
from hermes.stages.backtest.account_state import OpenPosition
from hermes.stages.backtest.arrays import Floats
from hermes.stages.backtest.candidates import Candidates
from hermes.stages.backtest.exits import LIQUIDATION, REACHED_LEVELS, SIGNAL, End, Exits
from hermes.stages.backtest.funding import CLOSED, OPENED, PHASES, REACHED
from hermes.stages.backtest.leg import Leg
from hermes.stages.backtest.orders import ROUNDING, Orders
from hermes.stages.backtest.trades import ENTRY, EXIT

_LEAVE, _PAY = range(2)  # what comes first in one instant; entries come after both


class Merge:
    """One account on some bars of many series.

    Attributes:
        cash, held: after them; held by the number of the series.
        resume, dropped: of each series, the first row at which an entry may fill, and the entries that were not made.
        equity, value, gross, positions, changed, traded: see `portfolio.Curve`.
    """

    def __init__(
        self,
        account: Account,
        orders: Orders,
        exits: Exits,
        legs: list[Leg],
        candidates: Candidates,
        count: int,
        cash: float,
        most: int,
    ) -> None:
        self._account, self._orders, self._exits, self._legs, self._most = account, orders, exits, legs, most
        self._candidates, self._count, self._begin = candidates, count, cash
        self._at_open = account.fill == "next_open"
        self._phase = OPENED if self._at_open else CLOSED
        self._by_volatility = Size.of(account.size).kind == "volatility"
        #: Whether a position can be worth less than nothing.
        self._may_owe = account.side != ("short" if account.inverse else "long")
        self.cash = cash
        self.held: dict[int, OpenPosition] = {}
        # Of all that coincides: when it does, cash before it and what was sold since.
        self._key = -1
        self._group: tuple[float, list[tuple[int, float]]] = 0.0, []
        self._decided: dict[int, float] = {}  # the equity at the instants at which such entries were decided

    def run(self) -> None:
        """Fill all orders; an account with nothing left is closed at that close."""
        self._go(None)
        if self._may_owe or any(leg.charges for leg in self._legs):
            ruined = np.flatnonzero((self.equity <= 0) & (self.positions + self.changed > 0))
            if len(ruined) and self._begin > 0:
                self._go(int(ruined[0]))

    def _go(self, ruined: int | None) -> None:
        self._start()
        last = (self._count if ruined is None else ruined) * PHASES + CLOSED
        keys, numbers, rows, *_ = self._candidates
        heap, held, resume, dropped, most = self._heap, self.held, self.resume, self.dropped, self._most
        for place, (key, number, row) in enumerate(zip(keys, numbers, rows, strict=True)):
            if key >= last:
                break
            if heap and heap[0][0] <= key:
                self._catch_up(key)
            if number in held or row < resume[number]:
                continue
            if self.cash <= 0 or len(held) >= most:
                dropped[number] += 1
                continue
            self._at(key)
            self._enter(place, number, key)
        self._catch_up(last)
        if ruined is not None:
            self._liquidate(ruined)
        self._draw()

    def _catch_up(self, last: int) -> None:
        """Process all events up to a key."""
        while self._heap and self._heap[0][0] <= last:
            key, what, entered, number, charge = heappop(self._heap)
            self._at(key)
            if what == _LEAVE:
                self._leave(number, key // PHASES, *self._ends[number])
            elif number in self.held and self._entry_key[number] == entered:
                self._pay(number, key // PHASES, charge)

    def _at(self, key: int) -> None:
        """Set the current key: events from here on coincide, until the next key."""
        if key != self._key:
            self._key, self._group = key, (self.cash, [])
            self._decided = {}

    def _liquidate(self, instant: int) -> None:
        """Close everything at its last close."""
        for number in sorted(self.held):
            leg = self._legs[number]
            self._leave(number, instant, leg.row_at(instant), LIQUIDATION, leg.line.close(instant))

    def _start(self) -> None:
        """What is held when the bars begin."""
        self.cash, self.held = self._begin, {}
        self.resume, self.dropped = [leg.resume for leg in self._legs], [0] * len(self._legs)
        self._heap: list[tuple[int, int, int, int, int]] = []
        self._key = -1
        # Rows one after the other, see `_table`: lists of tuples would keep Python's garbage collector busy.
        self._entered: list[float] = []
        self._left: list[float] = []
        self._cashes: list[float] = [0, self._begin]  # from an instant on
        self._spans: list[float] = []  # number, from an instant up to another, units
        self._filled: list[float] = []  # instants and values of orders
        self._since: dict[int, int] = {}
        self._ends: dict[int, End] = {}
        self._entry_key: dict[int, int] = {}
        for leg in self._legs:
            if leg.held:
                number = leg.number
                self.held[number], self._since[number], self._entry_key[number] = replace(leg.held), 0, -1
                if leg.end:
                    self._await_exit(leg, leg.end)
                self._await_charge(leg, -1)

    def _await_exit(self, leg: Leg, end: End) -> None:
        assert leg.bars is not None
        if end.row < len(leg.bars):
            self._ends[leg.number] = end
            phase = REACHED if end.reason in REACHED_LEVELS else self._phase
            heappush(self._heap, (leg.instant(end.row) * PHASES + phase, _LEAVE, 0, leg.number, 0))

    def _await_charge(self, leg: Leg, number: int) -> None:
        """The next of its funding after the one of a number, or after its entry where that is -1."""
        if leg.charges is None:
            return
        entered = self._entry_key[leg.number]
        for charge in range(number + 1, len(leg.charges.keys)):
            row, phase = divmod(leg.charges.keys[charge], PHASES)
            key = leg.instant(row) * PHASES + phase
            if key > entered:
                # Of this position alone: its entry tells it from one that comes after it.
                heappush(self._heap, (key, _PAY, entered, leg.number, charge))
                return

    def _enter(self, place: int, number: int, key: int) -> None:
        found, instant = self._candidates, key // PHASES
        leg, row, side = self._legs[number], found.rows[place], found.sides[place]
        equity = self._equity_when_decided(leg, row, instant) if self._orders.needs_equity else 0.0
        free = self.cash
        if self._may_owe:
            owed = [number for number, held in self.held.items() if held.units < 0]
            last = instant - self._at_open
            free -= 2 * sum(abs(self.held[each].units) * self._worth(each, last) for each in sorted(owed))
        if self.held and free <= ROUNDING * max(self.cash, equity, self._account.initial_cash):
            self.dropped[number] += 1  # the others took all: what rounding left buys nothing
            return
        volatility = self._volatility(number, row - self._at_open) if self._by_volatility else None
        filled = self._orders.enter(side, found.quotes[place], self.cash, free, equity, volatility)
        if filled is None:
            self.dropped[number] += 1
            return
        price, units, fees, self.cash = filled
        bar = leg.first + row
        self.held[number] = OpenPosition(bar, side, units, price)
        self._since[number], self._entry_key[number] = instant, key
        self._entered += instant, number, bar, price, units, fees, side
        self._cashes += instant, self.cash
        self._filled += instant, abs(units) * self._orders.worth(price)
        self.resume[number] = row
        self._await_exit(leg, leg.end_of(self._exits, row, side, self._exits.level(side, price), at_open=self._at_open))
        if leg.charges:
            self._await_charge(leg, bisect_right(leg.charges.keys, row * PHASES + self._phase) - 1)

    def _equity_when_decided(self, leg: Leg, row: int, instant: int) -> float:
        """At the close of the signal's bar, which with orders at the open is the series' bar before the fill's."""
        if self._at_open and row == 0:
            return leg.decided
        decided = leg.instant(row - 1) if self._at_open else instant
        if decided not in self._decided:
            self._decided[decided] = self._equity_at(decided)
        return self._decided[decided]

    def _equity_at(self, instant: int) -> float:
        """At the closes of an instant; where entries fill at them, before anything was filled that coincides."""
        if self._at_open:
            cash, standing = self._standing_at(instant)
        else:
            cash, left = self._group
            standing = [*((number, held.units) for number, held in self.held.items()), *left]
        return cash + sum(units * self._worth(number, instant) for number, units in sorted(standing))

    def _standing_at(self, instant: int) -> tuple[float, list[tuple[int, float]]]:
        """The cash and what was held at the closes of an instant that is over."""
        cashes, spans = self._cashes, self._spans
        end = len(cashes)
        while end > 2 and cashes[end - 2] > instant:
            end -= 2
        standing = [(number, held.units) for number, held in self.held.items() if self._since[number] <= instant]
        for place in range(len(spans) - 4, -1, -4):
            number, begin, gone, units = spans[place : place + 4]
            if gone <= instant:
                break
            if begin <= instant:
                standing.append((int(number), units))
        return cashes[end - 1], standing

    def _worth(self, number: int, instant: int) -> float:
        """One unit of a series at the last close."""
        return self._orders.worth(self._legs[number].line.close(instant))

    def _volatility(self, number: int, row: int) -> float | None:
        leg = self._legs[number]
        assert leg.bars is not None and leg.past is not None
        closes = np.concatenate([leg.past, leg.bars.close[max(row - VOLATILITY_BARS, 0) : row + 1]])
        return self._account.volatility(closes)

    def _leave(self, number: int, instant: int, row: int, reason: int, quote: float) -> None:
        held = self.held.pop(number)
        price, _, fees, self.cash = self._orders.leave(held.side, quote, held.units, self.cash)
        self._group[1].append((number, held.units))
        self._left += instant, number, self._legs[number].first + row, price, fees, reason, held.funding
        self._spans += number, self._since[number], instant, held.units
        self._cashes += instant, self.cash
        self._filled += instant, abs(held.units) * self._orders.worth(price)
        self.resume[number] = row + 1 + self._at_open if reason in REACHED_LEVELS else row + (reason != SIGNAL)

    def _pay(self, number: int, instant: int, charge: int) -> None:
        held, leg = self.held[number], self._legs[number]
        charges = leg.charges
        assert charges
        paid = held.side * (abs(held.units) * self._orders.worth(charges.prices[charge]) * charges.rates[charge])
        self.cash -= paid
        held.funding += paid
        self._cashes += instant, self.cash
        self._await_charge(leg, charge)

    def records(self) -> tuple[Floats, Floats]:
        """Entries and exits, see `PortfolioTrades.add`."""
        return _table(self._entered, len(ENTRY) + 2), _table(self._left, len(EXIT) + 2)

    def _draw(self) -> None:
        """The account at the closes."""
        count, inverse = self._count, self._account.inverse
        for number, held in self.held.items():
            self._spans += number, self._since[number], count, held.units
        spans = _table(self._spans, 4)
        spans = spans[np.lexsort(spans.T[1::-1])]  # series by series, so that sums are the same
        numbers, begins, ends = spans[:, :3].T.astype(np.intp)
        self.value = np.zeros(count)
        self.gross = np.zeros(count) if self._may_owe else self.value
        columns = numbers, begins, ends, spans[:, 3]
        for number, begin, end, units in zip(*(each.tolist() for each in columns), strict=True):
            closes, value = self._legs[number].line.closes[begin:end], self.value[begin:end]
            worth = units * (1 / closes if inverse else closes)
            value += worth
            if self._may_owe:
                self.gross[begin:end] += np.abs(worth)
        going_on = np.bincount(begins, minlength=count + 1) - np.bincount(ends, minlength=count + 1)
        self.positions = np.cumsum(going_on[:count])
        instants, values = _table(self._filled, 2).T
        self.traded = np.bincount(instants.astype(np.intp), values, count).astype(np.float64, copy=False)
        instants, cashes = _table(self._cashes, 2).T
        at = instants.astype(np.intp)
        self.changed = np.zeros(count, np.bool_)
        self.changed[at[1:]] = True
        self.equity = np.repeat(cashes, np.diff(at, append=count)) + self.value


def _table(rows: list[float], width: int) -> Floats:
    """Rows of so many values, given one after the other."""
    return np.array(rows, np.float64).reshape(-1, width)
