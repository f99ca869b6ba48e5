"""The arithmetic of single orders: fills, fees and the cash left.

With linear contracts the order of the arithmetic is vectorbt 1.2's (`portfolio/nb.py`: `buy_nb`, `sell_nb`), so that
the two agree to the last bit of a float: with zero fees, whether a drawdown is over can hang on that one.
"""

from math import floor
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import SMALLEST_ENTRY, Account, Size
from hermes.stages.backtest.arrays import Floats

ROUNDING = 1e-12  # relative error that a few operations on floats may leave
_MOST_LOTS = 2.0**53  # of more, a float does not tell one from the next


class Filled(NamedTuple):
    """An order that took place.

    Attributes:
        price: of the fill, slippage included.
        units: held afterwards, negative where what is held falls as the unit's worth rises; see `Orders.worth`.
        fees: paid for it; cash: after it.
    """

    price: float
    units: float
    fees: float
    cash: float


class Orders:
    """Fills the orders of one account, or of several symbols that share one."""

    def __init__(self, account: Account, share: float = 1.0) -> None:
        """`share` is what `all` means: the part of the equity that one entry may have."""
        self.fees, self.slippage, self.inverse = account.fees, account.slippage_bps / 10_000, account.inverse
        self._kind, self._amount = Size.of(account.size)
        if self._kind == "all" and share < 1:
            self._kind, self._amount = "fraction", share
        self._min_order, self._lot_step = account.min_order, account.lot_step

        #: Whether every entry takes all the cash, and is worth nothing less than nothing: see `compounded`.
        self.compounds = (
            self._kind == "all"
            and not (self._min_order or self._lot_step)
            and account.side == ("short" if account.inverse else "long")
        )

    @property
    def needs_equity(self) -> bool:
        """Whether the size of an entry depends on the equity."""
        return self._kind in ("fraction", "volatility")

    def worth(self, price: float) -> float:
        """One unit in the account's money: the price, or its reciprocal where the contract is inverse."""
        return 1 / price if self.inverse else price

    def enter(
        self, side: int, quote: float, cash: float, free: float, equity: float, volatility: float | None = None
    ) -> Filled | None:
        """Open a position of the account's size.

        Args:
            side: 1 to buy, -1 to sell short.
            quote: the bar's price.
            cash: of the account; free: as much of it as no position needs.
            equity: when it was decided; volatility: of a year's returns up to then, None where it is not known.

        Returns:
            None where the order is dropped: no money, less than a lot or the least order, volatility unknown.
        """
        if free <= 0 or not (size := self._size(quote, free, equity, volatility)):
            return None
        budget, units = size
        price = quote * (1 + side * self.slippage)
        worth = 1 / price if self.inverse else price
        value = 0.0
        if units is None:  # so that value and fee together spend the budget
            value = budget / (1 + self.fees)
            units = value / worth
        if self._lot_step:
            units, value = self._whole_lots(units), 0.0
        if not value and units * worth * (1 + self.fees) > free * (1 + ROUNDING):
            value = free / (1 + self.fees)
            budget, units = free, value / worth
            if self._lot_step:
                units, value = self._whole_lots(units), 0.0
        if units < SMALLEST_ENTRY or (units if self.inverse else units * price) < self._min_order:
            return None
        if (side < 0) != self.inverse:
            fees = units * worth * self.fees
            return Filled(price, -units, fees, cash + (units * worth - fees))
        if value:
            return Filled(price, units, budget - value, cash - budget)
        fees = units * worth * self.fees
        return Filled(price, units, fees, cash - min(units * worth + fees, free))

    def _size(
        self, quote: float, free: float, equity: float, volatility: float | None
    ) -> tuple[float, float | None] | None:
        """The cash to spend, fee included, and for a fixed value the number of units."""
        if self._kind == "all":
            return free, None
        if self._kind == "value":
            return free, self._amount if self.inverse else self._amount / quote
        if self._kind == "fraction":
            return min(free, self._amount * equity), None
        if not volatility:
            return None
        return min(free, min(1.0, self._amount / volatility) * equity), None

    def compounded(self, cash: float, bought: Floats, sold: Floats) -> tuple[Floats, Floats]:
        """One position after the other with all the cash, each opened and closed at these worths of a unit.

        Returns:
            Cash before and after each, one value more than positions; units of each. They end where one is refused.
        """
        before, fees, factor = cash, self.fees, 1 + self.fees
        trades = zip(bought.tolist(), sold.tolist(), strict=True)
        following = [cash := (value := cash / factor / buy * sell) - value * fees for buy, sell in trades]
        cashes = np.array([before, *following])
        units = cashes[:-1] / factor / bought
        small = units < SMALLEST_ENTRY
        done = int(small.argmax()) if small.any() else len(units)
        return cashes[: done + 1], units[:done]

    def _whole_lots(self, units: float) -> float:
        """Rounded down to whole lots; what lacks a rounding of floats to the next lot has it."""
        lots = units / self._lot_step * (1 + ROUNDING)
        return floor(lots) * self._lot_step if lots < _MOST_LOTS else units

    def leave(self, side: int, quote: float, units: float, cash: float) -> Filled:
        """Close the position of so many units that `side` opened."""
        price = quote * (1 - side * self.slippage)
        worth = 1 / price if self.inverse else price
        value = abs(units) * worth
        fees = value * self.fees
        return Filled(price, 0.0, fees, cash + (value - fees) if units > 0 else cash - (value + fees))
