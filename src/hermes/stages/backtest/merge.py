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
_ENTERED = len(ENTRY) + 2  # values of an entry: its key, number of the series, `ENTRY`
_LEFT = len(EXIT) + 4  # of an exit: its key, number, `EXIT`, units, key of the entry
_SPANS = 128  # positions whose worths are added up at once: few enough for the processor's cache


class Merge:
    """One account on some bars of many series.

    Attributes:
        cash, held: after them; held by the number of the series.
        resume, dropped: of each series, the first row at which an entry may fill, and the entries that were not made.
        equity, value, gross, positions, changed, traded: see `portfolio.Curve`.
        entered, left: entries and exits, see `PortfolioTrades.add`.
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
        self._needs_equity, self._initial_cash = orders.needs_equity, account.initial_cash
        self._candidates, self._count, self._begin = candidates, count, cash
        self._at_open = account.fill == "next_open"
        self._phase = OPENED if self._at_open else CLOSED
        self._by_volatility = Size.of(account.size).kind == "volatility"
        #: Whether a position can be worth less than nothing.
        self._may_owe = account.side != ("short" if account.inverse else "long")
        self.cash = cash
        self.held: dict[int, OpenPosition] = {}

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
        heap, held, resume, dropped, most = self._heap, self.held, self.resume, self.dropped, self._most
        for key, number, row, side, quote, due in zip(*self._candidates, strict=True):
            if key >= last:
                break
            if heap and heap[0][0] <= key:
                self._catch_up(key)
            if number in held or row < resume[number]:
                continue
            if self.cash <= 0 or len(held) >= most:
                dropped[number] += 1
            else:
                self._enter(key, number, row, side, quote, due)
        self._catch_up(last)
        if ruined is not None:
            self._liquidate(ruined)
        self._draw()

    def _catch_up(self, last: int) -> None:
        """Process all events up to a key."""
        heap = self._heap
        while heap and heap[0][0] <= last:
            key, what, entered, number, charge = heappop(heap)
            if what == _LEAVE:
                self._leave(key, number, *self._ends[number])
            elif number in self.held and self.held[number].entered == entered:
                self._pay(key, number, charge)

    def _liquidate(self, instant: int) -> None:
        """Close everything at its last close."""
        for number in sorted(self.held):
            leg = self._legs[number]
            self._leave(instant * PHASES + CLOSED, number, leg.row_at(instant), LIQUIDATION, leg.line.close(instant))

    def _start(self) -> None:
        """What is held when the bars begin."""
        self.cash, self.held = self._begin, {}
        self.resume, self.dropped = [leg.resume for leg in self._legs], [0] * len(self._legs)
        self._heap: list[tuple[int, int, int, int, int]] = []
        # Rows one after the other: lists of tuples would keep Python's garbage collector busy.
        self._entered: list[float] = []
        self._left: list[float] = []
        self._cashes: list[float] = [0, self._begin]  # from a key on
        self._equities: dict[int, float] = {}  # ahead of keys
        self._ends: dict[int, End] = {}
        for leg in self._legs:
            if leg.held:
                number = leg.number
                self.held[number] = replace(leg.held)
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
        entered = self.held[leg.number].entered
        for charge in range(number + 1, len(leg.charges.keys)):
            row, phase = divmod(leg.charges.keys[charge], PHASES)
            key = leg.instant(row) * PHASES + phase
            if key > entered:
                # Of this position alone: its entry tells it from one that comes after it.
                heappush(self._heap, (key, _PAY, entered, leg.number, charge))
                return

    def _enter(self, key: int, number: int, row: int, side: int, quote: float, due: int) -> None:
        leg, cash = self._legs[number], self.cash
        equity = self._equity_when_decided(leg, key, row) if self._needs_equity else 0.0
        free = cash - 2 * self._owed(key // PHASES - self._at_open) if self._may_owe else cash
        if self.held and free <= ROUNDING * max(cash, equity, self._initial_cash):
            self.dropped[number] += 1  # the others took all: what rounding left buys nothing
            return
        volatility = self._volatility(number, row - self._at_open) if self._by_volatility else None
        filled = self._orders.enter(side, quote, cash, free, equity, volatility)
        if filled is None:
            self.dropped[number] += 1
            return
        price, units, fees, self.cash = filled
        bar, bars = leg.first + row, leg.bars
        self.held[number] = OpenPosition(bar, side, units, price, key)
        self._entered += key, number, bar, price, units, fees, side
        self._cashes += key, self.cash
        self.resume[number] = row
        assert bars is not None
        quotes, levels = bars.opens if self._at_open else bars.close, self._exits.level(side, price)
        self._await_exit(leg, self._exits.end_of(bars, quotes, due, row, side, levels))
        if leg.charges:
            self._await_charge(leg, bisect_right(leg.charges.keys, row * PHASES + self._phase) - 1)

    def _owed(self, instant: int) -> float:
        """What it would take to buy back all that is owed, at the last closes."""
        owed = [number for number, held in self.held.items() if held.units < 0]
        return sum(abs(self.held[each].units) * self._worth(each, instant) for each in sorted(owed))

    def _equity_when_decided(self, leg: Leg, key: int, row: int) -> float:
        """At the close of the signal's bar, before anything is filled at it."""
        if not self._at_open:
            return self._equity_before(key, key // PHASES)
        if row == 0:
            return leg.decided
        instant = leg.instant(row - 1)
        return self._equity_before((instant + 1) * PHASES, instant)

    def _equity_before(self, key: int, instant: int) -> float:
        """Ahead of all events at a key, at the closes of an instant."""
        if key not in self._equities:
            cashes, left = self._cashes, self._left
            end = len(cashes)
            while end > 2 and cashes[end - 2] >= key:
                end -= 2
            standing = [(number, held.units) for number, held in self.held.items() if held.entered < key]
            for place in range(len(left) - _LEFT, -1, -_LEFT):
                gone, number, *_, units, entered = left[place : place + _LEFT]
                if gone < key:
                    break
                if entered < key:
                    standing.append((int(number), units))
            worths = (units * self._worth(number, instant) for number, units in sorted(standing))
            self._equities[key] = cashes[end - 1] + sum(worths)
        return self._equities[key]

    def _worth(self, number: int, instant: int) -> float:
        """One unit of a series at the last close."""
        return self._orders.worth(self._legs[number].line.close(instant))

    def _volatility(self, number: int, row: int) -> float | None:
        leg = self._legs[number]
        assert leg.bars is not None and leg.past is not None
        closes = np.concatenate([leg.past, leg.bars.close[max(row - VOLATILITY_BARS, 0) : row + 1]])
        return self._account.volatility(closes)

    def _leave(self, key: int, number: int, row: int, reason: int, quote: float) -> None:
        held = self.held.pop(number)
        price, _, fees, self.cash = self._orders.leave(held.side, quote, held.units, self.cash)
        bar = self._legs[number].first + row
        self._left += key, number, bar, price, fees, reason, held.funding, held.units, held.entered
        self._cashes += key, self.cash
        self.resume[number] = row + 1 + self._at_open if reason in REACHED_LEVELS else row + (reason != SIGNAL)

    def _pay(self, key: int, number: int, charge: int) -> None:
        held, leg = self.held[number], self._legs[number]
        charges = leg.charges
        assert charges
        paid = held.side * (abs(held.units) * self._orders.worth(charges.prices[charge]) * charges.rates[charge])
        self.cash -= paid
        held.funding += paid
        self._cashes += key, self.cash
        self._await_charge(leg, charge)

    def _draw(self) -> None:
        """The account at the closes."""
        count, inverse = self._count, self._account.inverse
        entered, left, cashes = (
            np.array(rows, np.float64).reshape(-1, width)
            for rows, width in ((self._entered, _ENTERED), (self._left, _LEFT), (self._cashes, 2))
        )
        keys = np.concatenate([left[:, 0], entered[:, 0]])
        for each in (entered, left, cashes):
            each[:, 0] //= PHASES
        self.entered, self.left = entered, left[:, : len(EXIT) + 2]
        spans = np.column_stack([left[:, 1], np.maximum(left[:, 8], 0) // PHASES, left[:, 0], left[:, 7]])
        held = np.array([(number, each.since, count, each.units) for number, each in self.held.items()])
        spans = np.concatenate([spans, held.reshape(-1, 4)])
        self.value, self.gross = self._worths(spans[np.lexsort(spans.T[1::-1])])  # series by series: one order of sums
        begins, ends = spans[:, 1:3].T.astype(np.intp)
        going_on = np.bincount(begins, minlength=count + 1) - np.bincount(ends, minlength=count + 1)
        self.positions = np.cumsum(going_on[:count])
        filled = np.concatenate([left[:, [0, 3, 7]], entered[:, [0, 3, 4]]])[np.argsort(keys, kind="stable")]
        instants, prices, units = filled.T
        values = np.abs(units) * (1 / prices if inverse else prices)
        self.traded = np.bincount(instants.astype(np.intp), values, count).astype(np.float64, copy=False)
        at = cashes[:, 0].astype(np.intp)
        self.changed = np.zeros(count, np.bool_)
        self.changed[at[1:]] = True
        self.equity = np.repeat(cashes[:, 1], np.diff(at, append=count)) + self.value

    def _worths(self, spans: Floats) -> tuple[Floats, Floats]:
        """What is held at each close, net of what is owed and added: rows of number, begin, end, units."""
        value = np.zeros(self._count)
        gross = np.zeros(self._count) if self._may_owe else value
        for first in range(0, len(spans), _SPANS):
            some = spans[first : first + _SPANS]
            numbers, begins, ends = some[:, :3].T.astype(np.intp)
            columns = zip(numbers.tolist(), begins.tolist(), ends.tolist(), strict=True)
            closes = np.concatenate([self._legs[number].line.closes[begin:end] for number, begin, end in columns])
            lasting = ends - begins
            worths = np.repeat(some[:, 3], lasting) * (1 / closes if self._account.inverse else closes)
            places = np.arange(len(closes)) + np.repeat(begins - np.cumsum(lasting) + lasting, lasting)
            np.add.at(value, places, worths)
            if self._may_owe:
                np.add.at(gross, places, np.abs(worths))
        return value, gross
