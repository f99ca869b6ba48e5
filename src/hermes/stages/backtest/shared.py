"""What many accounts have in common that trade the same signals on the same bars: where entries reach levels.

Of a stop and a target the first one counts that is reached, so each is looked for once, however many accounts combine
it with others.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hermes.stages.backtest.account import Account, SignalEvents, Transitions, transitions
from hermes.stages.backtest.arrays import Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.exits import Exits, Found

#: How often a level has to be used, on average: one account alone looks for it at fewer entries than all.
WORTH = 6
_LEVELS = "stop_loss", "take_profit", "trailing_stop"
_NEVER = np.iinfo(np.intp).max


class Level(NamedTuple):
    """A level of an account: all that tells where entries reach it."""

    name: str
    fill: str
    side: str
    slippage_bps: float
    value: float


class Shared:
    """What was found on some bars for the same signals."""

    def __init__(self) -> None:
        self._transitions: dict[tuple[str, str, bool], Transitions] = {}
        self._rows: dict[Level, Rows] = {}
        self._beyond: dict[Level, Level] = {}  # for each level that no entry reaches, the first one like it

    def transitions(self, wanted: SignalEvents, account: Account) -> Transitions:
        """As `account.transitions`."""
        kind = account.fill, account.side, account.only_signals
        if kind not in self._transitions:
            self._transitions[kind] = transitions(wanted, account)
        return self._transitions[kind]

    def exits(self, account: Account, bars: Bars, found: Transitions) -> Found:
        """The exits of all entries; `found` as `transitions` gives them."""
        row, reason = Exits(account).due(found, found.enter, found.side, len(bars))
        end = row if account.fill == "next_open" else np.minimum(row + 1, len(bars))
        first = end
        for level in self._look(account, bars, found):
            first = np.minimum(first, self._rows[level])
        hit = first < end
        return Found(hit, np.where(hit, first, row), reason)

    def alike(self, account: Account, bars: Bars, wanted: SignalEvents) -> Account:
        """An account that comes to the same where these are all bars: of levels that no entry reaches, any will do."""
        if account.fill == "next_open":
            wanted = SignalEvents(wanted.rows + 1, wanted.bits).between(0, len(bars))
        levels = self._look(account, bars, self.transitions(wanted, account))
        far = [self._beyond[level] for level in levels if level in self._beyond]
        return replace(account, **{each.name: each.value for each in far}) if far else account  # type: ignore[arg-type]

    def _look(self, account: Account, bars: Bars, found: Transitions) -> list[Level]:
        """Find where entries reach the levels of an account, unless it is known."""
        levels = _levels(account)
        for level in levels:
            if level not in self._rows:
                self._rows[level] = rows = _first(level.name, account, bars, found)
                if (rows == _NEVER).all():
                    self._beyond[level] = next((far for far in self._beyond if far[:-1] == level[:-1]), level)
        return levels


def are_worth_it(accounts: Iterable[Account]) -> bool:
    """Whether these accounts have so many levels in common that looking for each of them once is faster."""
    levels = [level for each in accounts for level in _levels(each)]
    return bool(levels) and len(levels) >= WORTH * len(set(levels))


def _levels(account: Account) -> list[Level]:
    """An account's levels."""
    terms = account.fill, account.side, account.slippage_bps
    return [Level(name, *terms, value) for name in _LEVELS if (value := getattr(account, name)) is not None]


def _first(name: str, account: Account, bars: Bars, found: Transitions) -> Rows:
    """Where all entries reach one of an account's levels before signals end their positions, or `_NEVER`."""
    others: dict[str, Any] = dict.fromkeys({*_LEVELS, "max_bars"} - {name})
    exits, quotes = Exits(replace(account, **others)), bars.opens if account.fill == "next_open" else bars.close
    price = quotes[found.enter] * (1 + found.side * (account.slippage_bps / 10_000))
    due, _ = exits.due(found, found.enter, found.side, len(bars))
    hit, row = exits.reached(bars, found.enter, found.side, exits.levels(found.side, price), due)
    return np.where(hit, row, _NEVER)
