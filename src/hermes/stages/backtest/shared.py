"""What many accounts have in common that trade the same signals on the same bars: where entries reach levels.

Of a stop and a target the first one counts that is reached, so each is looked for once, however many accounts combine
it with others.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from hermes.stages.backtest.account import Account, Asked, Turns, turns
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.exits import Exits, Found

#: How often a level has to be used, on average: one account alone looks for it at fewer entries than all.
WORTH = 6
_LEVELS = "stop_loss", "take_profit", "trailing_stop"
_NEVER = np.iinfo(np.intp).max


class Shared:
    """What was found on some bars for the same signals."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str, bool], Turns] = {}
        self._rows: dict[tuple[str | float, ...], Rows] = {}

    def turns(self, wanted: Asked, account: Account) -> Turns:
        """As `account.turns`."""
        kind = account.fill, account.side, account.only_signals
        if kind not in self._turns:
            self._turns[kind] = turns(wanted, account)
        return self._turns[kind]

    def exits(self, account: Account, bars: Bars, found: Turns, price: Floats) -> Found:
        """The exits of all entries.

        Args:
            found: as `turns` gives them; price: of each entry, slippage included.
        """
        row, reason = Exits(account).due(found, found.enter, found.side, len(bars))
        end = row if account.fill == "next_open" else np.minimum(row + 1, len(bars))
        first = end
        for level in _levels(account):
            if level not in self._rows:
                self._rows[level] = _first(level[0], account, bars, found, price)
            first = np.minimum(first, self._rows[level])
        hit = first < end
        return Found(hit, np.where(hit, first, row), reason)


def are_worth_it(accounts: Iterable[Account]) -> bool:
    """Whether these accounts have so many levels in common that looking for each of them once is faster."""
    levels = [level for each in accounts for level in _levels(each)]
    return bool(levels) and len(levels) >= WORTH * len(set(levels))


def _levels(account: Account) -> list[tuple[str, float, str, str, float]]:
    """An account's levels: all that tells where one of them is reached."""
    terms = account.fill, account.side, account.slippage_bps
    return [(name, value, *terms) for name in _LEVELS if (value := getattr(account, name)) is not None]


def _first(name: str, account: Account, bars: Bars, found: Turns, price: Floats) -> Rows:
    """Where all entries reach one of an account's levels before signals end their positions, or `_NEVER`."""
    others: dict[str, Any] = dict.fromkeys({*_LEVELS, "max_bars"} - {name})
    exits = Exits(replace(account, **others))
    due, _ = exits.due(found, found.enter, found.side, len(bars))
    hit, row = exits.reached(bars, found.enter, found.side, exits.levels(found.side, price), due)
    return np.where(hit, row, _NEVER)
