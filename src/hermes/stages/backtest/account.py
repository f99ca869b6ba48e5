"""The terms of an account: cash, costs, side, size, and exits.

One model for the backtest, the paper account and the portfolio. Money is counted in units of account: the quote
currency, or the coin itself where the contract is inverse. An inverse contract (coin-margined, worth a fixed amount of
the quote currency) is a linear one on the price 1/p, with buying and selling swapped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import inf, isfinite, sqrt
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from hermes.errors import SettingsError
from hermes.stages.backtest.arrays import Booleans, Floats, Rows

Fill = Literal["close", "next_open"]
Side = Literal["long", "short", "both"]
Sizing = Literal["all", "fraction", "value", "volatility"]

#: An entry of fewer units is refused (vectorbt's `min_size`): so a ruined account ends, before floats run out.
SMALLEST_ENTRY = 1e-8
#: Returns of so many bars, up to the one of the decision, tell the volatility.
VOLATILITY_BARS = 100

#: What signals ask for, as bits. Where a strategy has no rules of its own for shorts, a buy covers and a sell shorts.
BUY, SELL, SHORT, COVER, CLOSE = 1, 2, 4, 8, 16


class Size(NamedTuple):
    """The size of an entry: `all`, a `fraction` of the equity, a `value`, or scaled to a target `volatility`."""

    kind: Sizing
    amount: float = 1.0

    @classmethod
    @cache
    def of(cls, text: str) -> "Size":
        """Read `all`, `fraction:0.1`, `value:1000` or `volatility:0.2`; raises ValueError for anything else."""
        kind, colon, number = text.strip().partition(":")
        if kind == "all" and not colon:
            return cls("all")
        try:
            amount = float(number)
        except ValueError:
            amount = -1.0
        most = 1.0 if kind == "fraction" else inf
        if kind not in ("fraction", "value", "volatility") or not (0 < amount <= most and isfinite(amount)):
            raise ValueError("expected all, fraction:0.1 (above 0, at most 1), value:1000 or volatility:0.2 (above 0)")
        return cls(kind, amount)  # type: ignore[arg-type]


_MOST_CASH = 1e18  # squares of profits still fit into floats
#: Terms that are numbers: the lowest and the highest value, both excluded, and an example.
_BETWEEN: Mapping[str, tuple[float, float, str]] = {
    "stop_loss": (0, 1, "0.02 means 2 % below the entry"),
    "take_profit": (0, inf, "0.06 means 6 % above the entry"),
    "trailing_stop": (0, 1, "0.05 means 5 % below the highest price since the entry"),
}


@dataclass(frozen=True, slots=True)
class Account:
    """The terms under which the signals are traded.

    Args:
        initial_cash: in the quote currency; in the coin where the contract is `inverse`.
        fees: fraction of the traded value, paid at entry and again at exit.
        slippage_bps: basis points by which a buy fills higher and a sell lower than the bar's price.
        fill: at the signal bar's own `close`, or at the `next_open` (a signal on the last bar then stays unfilled).
        side: positions to enter: `long`, `short` or `both`.
        size: of an entry, see `Size.of`. Never more than the equity: there is no leverage.
        stop_loss, take_profit, trailing_stop: fractions of the fill of the entry, the last of the best price since.
        max_bars: maximum number of closes that a position is held for.
        min_order: an entry worth less, in the quote currency, is dropped.
        lot_step: entries are rounded down to a multiple of it, in the base currency; in the quote currency where the
            contract is `inverse`.
        inverse: a coin-margined contract.
        bars_per_year: needed for `volatility` alone.

    Raises:
        SettingsError: a value outside its range.
    """

    initial_cash: float = 10_000.0
    fees: float = 0.001
    slippage_bps: float = 0.0
    fill: Fill = "close"
    side: Side = "long"
    size: str = "all"
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None
    max_bars: int | None = None
    min_order: float = 0.0
    lot_step: float = 0.0
    inverse: bool = False
    bars_per_year: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.initial_cash <= _MOST_CASH:
            raise SettingsError(
                f"initial_cash {self.initial_cash} is not an amount above 0 and up to {_MOST_CASH:g}", "try 10000"
            )
        if not 0 <= self.fees < 1:
            raise SettingsError(f"fees {self.fees} is not a fraction from 0 to below 1", "0.001 means 0.1 %")
        if not 0 <= self.slippage_bps < 10_000:
            raise SettingsError(f"slippage_bps {self.slippage_bps} is not from 0 to below 10000", "5 means 0.05 %")
        for name, words in (("fill", get_args(Fill)), ("side", get_args(Side))):
            if getattr(self, name) not in words:
                raise SettingsError(
                    f"{name} {getattr(self, name)!r} is not one of {', '.join(words)}", "choose one of them"
                )
        for name, (low, high, example) in _BETWEEN.items():
            value = getattr(self, name)
            if value is not None and not low < value < high:
                limits = f"above {low}" + (f" and below {high}" if high < inf else "")
                raise SettingsError(f"{name} {value} is not a fraction {limits}", example)
        if self.max_bars is not None and self.max_bars < 1:
            raise SettingsError(f"max_bars {self.max_bars} is not a number of bars from 1 on", "try 24")
        for name in ("min_order", "lot_step"):
            if not 0 <= getattr(self, name) < inf:
                raise SettingsError(f"{name} {getattr(self, name)} is not an amount from 0 on", "0 means none")
        try:
            size = Size.of(self.size)
        except ValueError as error:
            raise SettingsError(f"size {self.size!r} is not a size", str(error)) from None
        if size.kind == "volatility" and not self.bars_per_year:
            raise SettingsError(f"size {self.size!r} needs bars_per_year", "give the account bars_per_year")

    @property
    def watches(self) -> bool:
        """Whether positions have stops or targets, so that highs and lows are needed."""
        return not (self.stop_loss is self.take_profit is self.trailing_stop is None)

    @property
    def only_signals(self) -> bool:
        """Whether positions end by signals alone, and every signalled entry is filled."""
        return not (
            self.watches or self.max_bars or self.min_order or self.lot_step or self.size.startswith("volatility")
        )

    def volatility(self, closes: Floats) -> float | None:
        """Of a year: the deviation (ddof 1) of the last `VOLATILITY_BARS` returns, None where there are fewer."""
        if len(closes) <= VOLATILITY_BARS or not self.bars_per_year:
            return None
        closes = closes[-VOLATILITY_BARS - 1 :]
        return float(np.std(closes[1:] / closes[:-1] - 1, ddof=1)) * sqrt(self.bars_per_year)


class SignalEvents(NamedTuple):
    """The signals of some bars, sparse: the rows with a signal, ascending, and their signals as bits."""

    rows: Rows
    bits: NDArray[np.uint8]

    def between(self, begin: int, end: int) -> "SignalEvents":
        """The signals of the bars from `begin` up to, not including, `end`, with rows counted from `begin`."""
        first, last = np.searchsorted(self.rows, (begin, end))
        return SignalEvents(self.rows[first:last] - begin, self.bits[first:last])


def signal_events(
    buy: Booleans, sell: Booleans, short: Booleans | None = None, cover: Booleans | None = None
) -> SignalEvents:
    """Boolean signals, one of each per bar → sparse signals.

    A bar that signals entry and exit of the same side signals neither (vectorbt's default). Without `short` and
    `cover` a sell also asks for a short, and a buy to cover it.
    """
    if short is None or cover is None:
        rows = np.flatnonzero(buy != sell)
        return SignalEvents(rows, np.where(buy[rows], BUY | COVER, SELL | SHORT).astype(np.uint8))
    longs, shorts = buy != sell, short != cover
    rows = np.flatnonzero(longs | shorts)
    longs, shorts = longs[rows], shorts[rows]
    bits = np.where(buy[rows], BUY, SELL) * longs + np.where(short[rows], SHORT, COVER) * shorts
    return SignalEvents(rows, bits.astype(np.uint8))


class Transitions(NamedTuple):
    """Entries and exits: rows where the account may enter, their sides, and rows where longs or shorts must end."""

    enter: Rows
    side: Rows
    leave_long: Rows
    leave_short: Rows

    def leaving(self, side: int) -> Rows:
        """Where positions of a side have to end."""
        return self.leave_long if side > 0 else self.leave_short


def transitions(wanted: SignalEvents, account: Account, *, alone: bool = True) -> Transitions:
    """The entries and exits that signals mean for an account; a bar that signals a long and a short enters neither.

    `alone`: the account has no other series whose positions could prevent an entry.
    """
    rows, bits = wanted
    long = ((bits & BUY) > 0) & (account.side != "short")
    short = ((bits & SHORT) > 0) & (account.side != "long")
    if account.side == "both":
        both = long & short
        long, short = long & ~both, short & ~both
    side = long.astype(np.intp) - short
    enters = side != 0
    if alone and account.only_signals:  # an entry like the one before it finds the position open, and changes nothing
        enters[1:] &= side[1:] != side[:-1]
    return Transitions(
        rows[enters],
        side[enters],
        rows[short | ((bits & (SELL | CLOSE)) > 0)],
        rows[long | ((bits & (COVER | CLOSE)) > 0)],
    )
