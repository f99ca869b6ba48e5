"""The orders of many series on some bars, one after the other in the order of time, from one cash."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from heapq import heappop, heappush

import numpy as np

from hermes.stages.backtest.account import VOLATILITY_BARS, Account, Size
from hermes.stages.backtest.account_state import OpenPosition
from hermes.stages.backtest.arrays import Floats
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.candidates import Candidates
from hermes.stages.backtest.exits import LIQUIDATION, REACHED_LEVELS, SIGNAL
from hermes.stages.backtest.funding import CLOSED, OPENED, PHASES, REACHED, Charges
from hermes.stages.backtest.grid import Grid, Line
from hermes.stages.backtest.orders import Orders
from hermes.stages.backtest.trades import ENTRY, EXIT

_LEAVE, _PAY = range(2)  # what comes first in one instant; entries come after both


@dataclass(slots=True)
class Leg:
    """One series on the common times.

    Attributes:
        first: bars that came before these; held: the position then.
        resume: the first row at which an entry may fill.
        line: its closes at the common times; bars: None where it has none at them.
        end: row, reason and quote of the end of what is held; charges: its funding.
        past: the closes before that tell the volatility, None where it is not needed.
    """

    number: int
    first: int
    held: OpenPosition | None
    resume: int
    line: Line
    bars: Bars | None = None
    end: tuple[int, int, float] | None = None
    charges: Charges | None = None
    past: Floats | None = None

    def instant(self, row: int) -> int:
        """Of a row, among the common times."""
        return row if self.line.instants is None else self.line.instants.item(row)

    def row_at(self, instant: int) -> int:
        """The row of the last bar at an instant; -1 where it is one before these."""
        instants = self.line.instants
        return instant if instants is None else int(np.searchsorted(instants, instant, side="right")) - 1


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
        legs: list[Leg],
        candidates: Candidates,
        grid: Grid,
        cash: float,
        most: int,
    ) -> None:
        self._account, self._orders, self._legs, self._most = account, orders, legs, most
        self._candidates, self._count, self._begin = candidates, len(grid.times), cash
        self._at_open = account.fill == "next_open"
        self._phase = OPENED if self._at_open else CLOSED
        self._by_volatility = Size.of(account.size).kind == "volatility"
        #: Whether a position can be worth less than nothing.
        self._may_owe = account.side != ("short" if account.inverse else "long")
        self.cash = cash
        self.held: dict[int, OpenPosition] = {}
        # Of all that coincides: when it does, cash and what was sold since, and the equity where that is needed.
        self._key = -1
        self._group: tuple[float, list[tuple[int, float]]] = 0.0, []
        self._decided: float | None = None

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
        numbers, rows, held, resume = self._candidates.numbers, self._candidates.rows, self.held, self.resume
        for place, key in enumerate(self._candidates.keys):
            if key >= last:
                break
            if self._heap and self._heap[0][0] <= key:
                self._catch_up(key)
            number = numbers[place]
            if number in held or rows[place] < resume[number]:
                continue
            if self.cash <= 0 or len(held) >= self._most:
                self.dropped[number] += 1
                continue
            self._at(key)
            self._enter(place, number, key)
        self._catch_up(last)
        if ruined is not None:
            self._liquidate(ruined)
        self._draw()

    def _catch_up(self, last: int) -> None:
        """Do what is due up to a key."""
        while self._heap and self._heap[0][0] <= last:
            key, what, entered, number, charge = heappop(self._heap)
            self._at(key)
            if what == _LEAVE:
                self._leave(number, key // PHASES, *self._ends[number])
            elif number in self.held and self._entry_key[number] == entered:
                self._pay(number, key // PHASES, charge)

    def _at(self, key: int) -> None:
        """What happens from here on coincides, until the next key."""
        if key != self._key:
            self._key, self._group = key, (self.cash, [])
            self._decided = None

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
        self._entered: list[tuple[float, ...]] = []
        self._left: list[tuple[float, ...]] = []
        self._cashes: list[tuple[int, float]] = [(0, self._begin)]
        self._spans: list[tuple[int, float, int, int]] = []  # number, units, from an instant up to another
        self.traded = np.zeros(self._count)
        self._since: dict[int, int] = {}
        self._ends: dict[int, tuple[int, int, float]] = {}
        self._entry_key: dict[int, int] = {}
        for leg in self._legs:
            if leg.held:
                number = leg.number
                self.held[number], self._since[number], self._entry_key[number] = replace(leg.held), 0, -1
                if leg.end and leg.bars and leg.end[0] < len(leg.bars):
                    phase = REACHED if leg.end[1] in REACHED_LEVELS else self._phase
                    self._await_exit(number, leg.instant(leg.end[0]) * PHASES + phase, leg.end)
                self._await_charge(leg, -1)

    def _await_exit(self, number: int, key: int, end: tuple[int, int, float]) -> None:
        self._ends[number] = end
        heappush(self._heap, (key, _LEAVE, 0, number, 0))

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
        row, side = found.rows[place], found.sides[place]
        decided = instant - self._at_open
        if self._decided is None and self._orders.needs_equity:
            self._decided = self._equity_at(decided)
        free = self.cash
        if self._may_owe:
            owed = [number for number, held in self.held.items() if held.units < 0]
            free -= 2 * sum(abs(self.held[each].units) * self._worth(each, decided) for each in sorted(owed))
        volatility = self._volatility(number, row - self._at_open) if self._by_volatility else None
        filled = self._orders.enter(side, found.quotes[place], self.cash, free, self._decided or 0.0, volatility)
        if filled is None:
            self.dropped[number] += 1
            return
        leg = self._legs[number]
        price, units, fees, self.cash = filled
        bar = leg.first + row
        self.held[number] = OpenPosition(bar, side, units, price)
        self._since[number], self._entry_key[number] = instant, key
        self._entered.append((instant, number, bar, price, units, fees, side))
        self._cashes.append((instant, self.cash))
        self.traded[instant] += abs(units) * self._orders.worth(price)
        self.resume[number] = row
        if found.end_keys[place] < self._count * PHASES:
            end = found.end_rows[place], found.reasons[place], found.end_quotes[place]
            self._await_exit(number, found.end_keys[place], end)
        if leg.charges:
            self._await_charge(leg, bisect_right(leg.charges.keys, row * PHASES + self._phase) - 1)

    def _equity_at(self, instant: int) -> float:
        """Before anything was filled that coincides, at the closes of an instant; -1 is the one before these."""
        cash, left = self._group
        standing = sorted([*((number, held.units) for number, held in self.held.items()), *left])
        return cash + sum(units * self._worth(number, instant) for number, units in standing)

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
        self._left.append((instant, number, self._legs[number].first + row, price, fees, reason, held.funding))
        self._spans.append((number, held.units, self._since[number], instant))
        self._cashes.append((instant, self.cash))
        self.traded[instant] += abs(held.units) * self._orders.worth(price)
        self.resume[number] = row + 1 + self._at_open if reason in REACHED_LEVELS else row + (reason != SIGNAL)

    def _pay(self, number: int, instant: int, charge: int) -> None:
        held, leg = self.held[number], self._legs[number]
        charges = leg.charges
        assert charges
        paid = held.side * (abs(held.units) * self._orders.worth(charges.prices[charge]) * charges.rates[charge])
        self.cash -= paid
        held.funding += paid
        self._cashes.append((instant, self.cash))
        self._await_charge(leg, charge)

    def records(self) -> tuple[Floats, Floats]:
        """Entries and exits, see `PortfolioTrades.add`."""
        entered, left = np.array(self._entered), np.array(self._left)
        return entered.reshape(-1, len(ENTRY) + 2), left.reshape(-1, len(EXIT) + 2)

    def _draw(self) -> None:
        """The account at the closes."""
        count = self._count
        going = [(number, held.units, self._since[number], count) for number, held in self.held.items()]
        spans = np.array(sorted([*self._spans, *going])).reshape(-1, 4)  # series by series, so that sums are the same
        numbers, begins, ends = spans[:, (0, 2, 3)].T.astype(np.intp)
        lengths = ends - begins
        instants = np.arange(lengths.sum()) + np.repeat(begins - np.cumsum(lengths) + lengths, lengths)
        closes = [
            self._legs[each].line.closes[begin:end] for each, begin, end in zip(numbers, begins, ends, strict=True)
        ]
        worths = np.concatenate([np.empty(0), *closes])
        if self._account.inverse:
            worths = 1 / worths
        worth = np.repeat(spans[:, 1], lengths) * worths
        self.value: Floats = np.bincount(instants, worth, count).astype(np.float64, copy=False)
        self.gross = self.value
        if self._may_owe:
            self.gross = np.bincount(instants, np.abs(worth), count).astype(np.float64, copy=False)
        going_on = np.bincount(begins, minlength=count + 1) - np.bincount(ends, minlength=count + 1)
        self.positions = np.cumsum(going_on[:count])
        at = np.array([instant for instant, _ in self._cashes])
        self.changed = np.zeros(count, np.bool_)
        self.changed[at[1:]] = True
        cash = np.repeat([cash for _, cash in self._cashes], np.diff(at, append=count))
        self.equity = cash + self.value
