"""The orders of many series on some bars, one after the other in the order of time, from one cash."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

import numpy as np

from hermes.stages.backtest.account import VOLATILITY_BARS, Account, Size
from hermes.stages.backtest.arrays import Floats, Rows, Times
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.exits import LIQUIDATION, REACHED_LEVELS, SIGNAL, Ends, Exits
from hermes.stages.backtest.funding import CLOSED, OPENED, PHASES, REACHED, Charges
from hermes.stages.backtest.orders import Orders
from hermes.stages.backtest.trades import ENTRY, EXIT
from hermes.stages.backtest.walk import Held

_LEAVE, _PAY, _ENTER = range(3)  # what comes first in one instant


@dataclass(slots=True)
class Leg:
    """One series on the common times.

    Attributes:
        first: bars that came before these; held: the position then, and `ends` where it ends.
        entries: as `Entries.all` gives them; ranks: of each.
        worths: one unit at each close; last_worth: at the close before.
        resume: the first row at which an entry may fill; dropped: entries that were not made.
        bars, and all that is made from them: None where it has no bar at these times.
        past: the closes before that tell the volatility, None where it is not needed.
    """

    number: int
    times: Times
    first: int
    held: Held | None
    last_worth: float
    bars: Bars | None = None
    entries: tuple[Rows, Rows, Floats, Floats, Ends] | None = None
    ranks: Floats | None = None
    ends: tuple[int, int, float] | None = None
    worths: Floats | None = None
    charges: Charges | None = None
    resume: int = 0
    past: Floats | None = None
    dropped: int = 0
    entered: list[tuple[float, ...]] = field(default_factory=list)
    left: list[tuple[float, ...]] = field(default_factory=list)
    _grid: Floats | None = None
    instants: Sequence[int] = ()
    rows: list[int] = field(default_factory=list)
    orders: list[tuple[int, int, float, float, int, int, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.bars is None:
            return
        assert self.entries is not None and self.ranks is not None
        everywhere = len(self.bars) == len(self.times)
        self.instants = range(len(self.bars)) if everywhere else np.searchsorted(self.times, self.bars.times).tolist()
        row, side, quote, price, ends = self.entries
        self.rows = row.tolist()
        columns = (row, side, quote, price, *ends, self.ranks)
        self.orders = list(zip(*(each.tolist() for each in columns), strict=True))

    @property
    def grid(self) -> Floats:
        """One unit at each of the common times: at its last close."""
        if self._grid is None:
            if self.bars is None or self.worths is None:
                self._grid = np.full(len(self.times), self.last_worth)
            elif len(self.bars) == len(self.times):
                self._grid = self.worths
            else:
                rows = np.searchsorted(self.bars.times, self.times, side="right")
                self._grid = np.concatenate([[self.last_worth], self.worths])[rows]
        return self._grid

    def row_at(self, instant: int) -> int:
        """The row of the last bar at an instant; -1 where it is one before these."""
        if isinstance(self.instants, range):
            return instant
        return bisect_right(self.instants, instant) - 1

    def worth(self, instant: int) -> float:
        """One unit at the last close at an instant, or at the end of the one before."""
        row = self.row_at(instant)
        return self.last_worth if row < 0 or self.worths is None else self.worths.item(row)

    def records(self) -> tuple[Floats, Floats]:
        """Entries (`ENTRY`) and exits (`EXIT`)."""
        entered = np.array(self.entered).reshape(-1, len(ENTRY))
        return entered, np.array(self.left).reshape(-1, len(EXIT))


class Merge:
    """One account on some bars of many series.

    Attributes:
        cash, held: after them; held by the number of the series.
        equity, value, gross, positions, changed, traded: see `portfolio.Curve`.
    """

    def __init__(
        self,
        account: Account,
        orders: Orders,
        exits: Exits,
        legs: list[Leg],
        times: Times,
        cash: float,
        most: int,
    ) -> None:
        self._account, self._orders, self._exits, self._legs, self._most = account, orders, exits, legs, most
        self._times, self._begin = times, cash
        self._at_open = account.fill == "next_open"
        self._phase = OPENED if self._at_open else CLOSED
        self._by_volatility = Size.of(account.size).kind == "volatility"
        self._resumes = [leg.resume for leg in legs]
        self.cash = cash
        self.held: dict[int, Held] = {}

    def run(self) -> None:
        """Fill all orders; an account with nothing left is closed at that close."""
        self._go(None)
        if (
            any(leg.charges for leg in self._legs)
            or (self._account.side == "long") == self._account.inverse
            or (self._account.side == "both")
        ):
            ruined = np.flatnonzero((self.equity <= 0) & (self.positions + self.changed > 0))
            if len(ruined) and self._begin > 0:
                self._go(int(ruined[0]))

    def _go(self, ruined: int | None) -> None:
        self._start()
        last = None if ruined is None else (ruined * PHASES + CLOSED, _ENTER)
        group, self._group = -1, (0.0, list[tuple[Leg, float]]())
        self._decided: float | None = None
        while self._heap:
            key, what, since, number, at = heappop(self._heap)
            if last and (key, what) >= last:
                break
            if key != group:
                group, self._group, self._decided = key, (self.cash, []), None
            leg, instant = self._legs[number], key // PHASES
            if what == _ENTER:
                self._enter(leg, instant, at)
            elif what == _LEAVE:
                self._leave(leg, instant, *self._ends[number])
            elif number in self.held and self._entry_key[number] == since:
                self._pay(leg, instant, at)
        if ruined is not None:
            self._liquidate(ruined)
        self._draw()

    def _liquidate(self, instant: int) -> None:
        """Close everything at its last close."""
        for number in sorted(self.held):
            leg = self._legs[number]
            worth = leg.worth(instant)
            self._leave(leg, instant, leg.row_at(instant), LIQUIDATION, 1 / worth if self._account.inverse else worth)

    def _start(self) -> None:
        """What is held when the bars begin, and the first of what is to come of each series."""
        self.cash, self.held = self._begin, {}
        self._heap: list[tuple[int, int, float, int, int]] = []
        self._cashes: list[tuple[int, float]] = [(0, self._begin)]
        self._spans: list[tuple[int, float, int, int]] = []  # number, units, from an instant up to another
        self._since: dict[int, int] = {}
        self.traded = np.zeros(len(self._times))
        self._ends: dict[int, tuple[int, int, float]] = {}
        self._entry_key: dict[int, int] = {}
        for leg, resume in zip(self._legs, self._resumes, strict=True):
            leg.resume, leg.dropped, leg.entered, leg.left = resume, 0, [], []
            if leg.held:
                held = replace(leg.held)
                self.held[leg.number], self._since[leg.number], self._entry_key[leg.number] = held, 0, -1
                if leg.ends:
                    self._await_exit(leg, leg.ends)
                self._await_charge(leg, -1)
            else:
                self._await_entry(leg, 0)

    def _await_entry(self, leg: Leg, place: int) -> None:
        place = bisect_left(leg.rows, leg.resume, place)
        if place < len(leg.rows):
            key = leg.instants[leg.rows[place]] * PHASES + self._phase
            heappush(self._heap, (key, _ENTER, -leg.orders[place][-1], leg.number, place))

    def _await_exit(self, leg: Leg, end: tuple[int, int, float]) -> None:
        row, reason, _ = end
        self._ends[leg.number] = end
        if row < len(leg.instants):
            phase = REACHED if reason in REACHED_LEVELS else self._phase
            heappush(self._heap, (leg.instants[row] * PHASES + phase, _LEAVE, 0.0, leg.number, 0))

    def _await_charge(self, leg: Leg, number: int) -> None:
        """The next of its funding after the one of a number, or after its entry where that is -1."""
        if leg.charges is None:
            return
        number += 1
        while number < len(leg.charges.keys):
            row, phase = divmod(leg.charges.keys[number], PHASES)
            key = leg.instants[row] * PHASES + phase
            if key > self._entry_key[leg.number]:
                # Of this position alone: its entry tells it from one that comes after it.
                heappush(self._heap, (key, _PAY, float(self._entry_key[leg.number]), leg.number, number))
                return
            number += 1

    def _enter(self, leg: Leg, instant: int, place: int) -> None:
        row, side, quote, _, end, reason, out, _ = leg.orders[place]
        decided = instant - self._at_open
        filled = None
        if len(self.held) < self._most:
            if self._decided is None and self._orders.needs_equity:
                cash, left = self._group
                standing = [(self._legs[number], held.units) for number, held in self.held.items()]
                both = sorted([*standing, *left], key=lambda each: each[0].number)
                self._decided = cash + sum(units * each.worth(decided) for each, units in both)
            short = sum(
                abs(self.held[number].units) * self._legs[number].worth(decided)
                for number in sorted(self.held)
                if self.held[number].units < 0
            )
            free = self.cash - 2 * short
            volatility = self._volatility(leg, row - self._at_open) if self._by_volatility else None
            filled = self._orders.enter(side, quote, self.cash, free, self._decided or 0.0, volatility)
        if filled is None:
            leg.dropped += 1
            self._await_entry(leg, place + 1)
            return
        self.cash = filled.cash
        bar = leg.first + row
        self.held[leg.number] = Held(bar, side, filled.units, filled.price)
        self._since[leg.number], self._entry_key[leg.number] = instant, instant * PHASES + self._phase
        leg.entered.append((bar, filled.price, filled.units, filled.fees, side))
        self._cashes.append((instant, self.cash))
        self.traded[instant] += abs(filled.units) * self._orders.worth(filled.price)
        leg.resume = row
        self._await_exit(leg, (end, reason, out))
        if leg.charges:
            start = bisect_right(leg.charges.keys, row * PHASES + self._phase) - 1
            self._await_charge(leg, start)

    def _volatility(self, leg: Leg, row: int) -> float | None:
        assert leg.bars is not None and leg.past is not None
        closes = np.concatenate([leg.past, leg.bars.close[max(row - VOLATILITY_BARS, 0) : row + 1]])
        return self._account.volatility(closes)

    def _leave(self, leg: Leg, instant: int, row: int, reason: int, quote: float) -> None:
        held = self.held.pop(leg.number)
        filled = self._orders.leave(held.side, quote, held.units, self.cash)
        self._group[1].append((leg, held.units))
        self.cash = filled.cash
        leg.left.append((leg.first + row, filled.price, filled.fees, reason, held.funding))
        self._spans.append((leg.number, held.units, self._since[leg.number], instant))
        self._cashes.append((instant, self.cash))
        self.traded[instant] += abs(held.units) * self._orders.worth(filled.price)
        leg.resume = row + 1 + self._at_open if reason in REACHED_LEVELS else row + (reason != SIGNAL)
        self._await_entry(leg, 0)

    def _pay(self, leg: Leg, instant: int, number: int) -> None:
        held, charges = self.held[leg.number], leg.charges
        assert charges
        paid = held.side * (abs(held.units) * self._orders.worth(charges.prices[number]) * charges.rates[number])
        self.cash -= paid
        held.funding += paid
        self._cashes.append((instant, self.cash))
        self._await_charge(leg, number)

    def _draw(self) -> None:
        """The account at the closes."""
        count = len(self._times)
        spans = self._spans + [(number, held.units, self._since[number], count) for number, held in self.held.items()]
        self.value, self.gross, self.positions = np.zeros(count), np.zeros(count), np.zeros(count, np.intp)
        for number, units, begin, end in sorted(spans):
            worth = units * self._legs[number].grid[begin:end]
            self.value[begin:end] += worth
            self.gross[begin:end] += np.abs(worth)
            self.positions[begin:end] += 1
        at = np.array([instant for instant, _ in self._cashes])
        self.changed = np.zeros(count, np.bool_)
        self.changed[at[1:]] = True
        cash = np.repeat([cash for _, cash in self._cashes], np.diff(at, append=count))
        self.equity = cash + self.value
