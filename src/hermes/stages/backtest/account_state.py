"""The state of an account on some bars, order by order: its cash, its position, and funding."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np

from hermes.stages.backtest.account import Account
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.entries import Positions
from hermes.stages.backtest.equity import Steps, steps_of
from hermes.stages.backtest.exits import LIQUIDATION, REACHED_LEVELS, SIGNAL, Exits, Levels
from hermes.stages.backtest.funding import CLOSED, OPENED, PHASES, REACHED, Charges
from hermes.stages.backtest.orders import Filled, Orders
from hermes.stages.backtest.trades import ENTRY, EXIT


@dataclass(slots=True)
class OpenPosition:
    """An open position.

    Attributes:
        bar: of its entry, counted from the first one; side, units: see `Orders.enter`; price: it paid.
        entered: when, see `funding.PHASES`; below 0 for one of earlier bars.
        funding: paid so far; levels: what it watches before the next bars.
    """

    bar: int
    side: int
    units: float
    price: float
    entered: int
    funding: float = 0.0
    levels: Levels[float] | None = None

    @property
    def since(self) -> int:
        """The row from whose close on it is held."""
        return max(self.entered, 0) // PHASES


class AccountState:
    """One account on some bars.

    Args:
        account, orders, exits: the terms, and what they make of orders and of positions.
        bars: the next ones; first: how many came before them.
        cash, held: when they begin.
        charges: funding on these bars, None where there is none.

    Attributes:
        resume: the first row at which an entry may fill.
        turned: the row of the last exit by a signal, cash and units when it was decided.
    """

    def __init__(
        self,
        account: Account,
        orders: Orders,
        exits: Exits,
        bars: Bars,
        first: int,
        cash: float,
        held: OpenPosition | None,
        resume: int,
        charges: Charges | None,
    ) -> None:
        self._orders, self._exits, self._bars, self._first, self._charges = orders, exits, bars, first, charges
        self._at_open = account.fill == "next_open"
        self._phase = OPENED if self._at_open else CLOSED  # when orders that signals ask for fill
        self._worths = 1 / bars.close if account.inverse else bars.close
        self.cash, self.held, self.resume = cash, held, resume
        self.turned = -1, 0.0, 0.0
        self._decided_cash = cash  # when the last exit was decided
        self._states: list[Floats] = [np.array([[0, cash, held.units if held else 0.0]])]
        self._entered: list[Floats] = []
        self._left: list[Floats] = []
        self._recent: tuple[list[tuple[float, ...]], ...] = [], [], []  # the last of each, not yet in an array

    def enter(self, row: int, side: int, filled: Filled) -> None:
        """Open a position."""
        self.cash = filled.cash
        self.held = OpenPosition(self._first + row, side, filled.units, filled.price, row * PHASES + self._phase)
        states, entered, _ = self._recent
        states.append((row, filled.cash, filled.units))
        entered.append((self._first + row, filled.price, filled.units, filled.fees, side))

    def hold(self, row: int, reason: int, quote: float) -> None:
        """Hold the position until the row at which it ends, and close it, unless that is after the bars."""
        held = self.held
        assert held
        ruined = self._pay(held, row, row * PHASES + (REACHED if reason in REACHED_LEVELS else self._phase))
        if ruined is not None:
            row, reason, quote = ruined, LIQUIDATION, self._bars.close.item(ruined)
        if row == len(self._bars):
            levels = held.levels or self._exits.level(held.side, held.price)
            held.levels = self._exits.raised(self._bars, held.bar - self._first, held.side, levels)
            held.entered = -1
            return
        if reason == SIGNAL:
            self.turned = row, self._decided_cash, held.units
        filled = self._orders.leave(held.side, quote, held.units, self.cash)
        self.cash, self.held = filled.cash, None
        self._resume_after(row, reason)
        states, _, left = self._recent
        states.append((row, filled.cash, 0.0))
        left.append((self._first + row, filled.price, filled.fees, reason, held.funding))

    def _pay(self, held: OpenPosition, row: int, key: int) -> int | None:
        """Funding until the exit; the row at whose close nothing is left of the account before that, or None."""
        charges, begin = self._charges, held.since
        self._decided_cash = self.cash
        if charges is None:
            return self._ruined(held.units, begin, row) if held.units < 0 else None
        size = abs(held.units)
        for number in range(bisect_right(charges.keys, held.entered), bisect_left(charges.keys, key)):
            at = charges.rows[number]
            if (ruined := self._ruined(held.units, begin, at)) is not None:
                return ruined
            paid = held.side * (size * self._orders.worth(charges.prices[number]) * charges.rates[number])
            self.cash -= paid
            held.funding += paid
            if not self._at_open or charges.keys[number] < row * PHASES:  # else it fell into the gap before the open
                self._decided_cash = self.cash
            self._recent[0].append((at, self.cash, held.units))
            begin = at
        return self._ruined(held.units, begin, row)

    def _ruined(self, units: float, begin: int, end: int) -> int | None:
        """The first close from a row to another at which the equity is not above 0."""
        if begin >= end:
            return None
        if units < 0 and self.cash + units * self._worths[begin:end].max() > 0:
            return None
        ruined = self.cash + units * self._worths[begin:end] <= 0
        return begin + int(ruined.argmax()) if ruined.any() else None

    def _resume_after(self, row: int, reason: int) -> None:
        """As `Exits.resume`."""
        self.resume = row + 1 + self._at_open if reason in REACHED_LEVELS else row + (reason != SIGNAL)

    def compound(self, positions: Positions) -> int:
        """Positions one after the other, each with all the cash, where units only rise in worth with their price.

        The same as `enter` and `hold` for each, and several times as fast.

        Returns:
            How many were opened and closed; the next one is refused, goes on beyond the bars, or there is none.
        """
        ends = positions.ends
        closed = len(ends.row) - int(ends.row[-1] == len(self._bars))
        side, price = positions.side[:closed], positions.price[:closed]
        gone = ends.quote[:closed] * (1 - side * self._orders.slippage)
        bought, sold = (1 / price, 1 / gone) if self._orders.inverse else (price, gone)
        cash, units = self._orders.compounded(self.cash, bought, sold)
        if not units.size:
            return 0
        done = len(units)
        row, entry, sold = ends.row[:done], positions.entry[:done], sold[:done]
        self._settle()
        before = cash[:-1]
        states = np.zeros((2 * done, 3))
        states[::2, 0], states[1::2, 0] = entry, row
        states[1::2, 1], states[::2, 2] = cash[1:], units
        fees = before - before / (1 + self._orders.fees)
        self._states.append(states)
        self._entered.append(_table(self._first + entry, price[:done], units, fees, side[:done]))
        fees = units * sold * self._orders.fees
        self._left.append(_table(self._first + row, gone[:done], fees, ends.reason[:done], 0.0))
        self.cash = float(cash[-1])
        self._resume_after(int(row[-1]), int(ends.reason[done - 1]))
        return done

    def _settle(self) -> None:
        """Bring what is recent into arrays."""
        for recent, kept in zip(self._recent, (self._states, self._entered, self._left), strict=True):
            if recent:
                kept.append(np.array(recent))
                recent.clear()

    def records(self) -> tuple[Floats, Floats]:
        """Entries (`ENTRY`) and exits (`EXIT`)."""
        self._settle()
        entered, left = (
            np.concatenate([np.empty((0, len(columns))), *found])
            for columns, found in ((ENTRY, self._entered), (EXIT, self._left))
        )
        return entered, left

    def steps(self) -> Steps:
        """The equity through the bars."""
        self._settle()
        states = np.concatenate(self._states)
        return steps_of(states[:, 0].astype(np.intp), states[:, 1], states[:, 2], self._worths)


def _table(first: Rows, *others: Floats | Rows | float) -> Floats:
    """Columns beside one another."""
    columns = first, *others
    found = np.empty((len(first), len(columns)))
    for number, column in enumerate(columns):
        found[:, number] = column
    return found
