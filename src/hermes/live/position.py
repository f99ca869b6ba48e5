"""The position of a strategy, and the signal that it came from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

SIDES = ("buy", "sell", "short", "cover")
SIGNALS = tuple(f"{side}_signal" for side in SIDES)  # columns; without rules for shorts the first two
ENTERED = {"buy": 1, "short": -1}  # the position after it


@dataclass(slots=True)
class Position:
    """The position of a strategy after the newest bar that it has seen.

    Attributes:
        since: open time of the bar of the last change; None without a change.
        last_signal: open time, side (one of `SIDES`) and close of the newest bar with a signal.
    """

    position: int | None = None
    since: datetime | None = None
    last_signal: dict[str, Any] | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Continue with rows of signals, in order of time."""
        signalled = rows.filter(pl.any_horizontal(_asks(rows)))
        if signalled.height:
            last = signalled.row(-1, named=True)
            asked = [side for side in SIDES if last.get(f"{side}_signal")]
            # A bar may ask to leave one side and to enter the other: what it entered is what it is known by.
            side = next((side for side in asked if ENTERED.get(side) == last["position"]), asked[0])
            self.last_signal = {"datetime": last["datetime"].isoformat(), "side": side, "price": last["close"]}
        turns = rows.filter(pl.col("position") != pl.col("position").shift(1, fill_value=self.position))
        if turns.height:
            self.since = turns["datetime"][-1]
        if rows.height:
            self.position = int(rows["position"][-1])


def _asks(rows: pl.DataFrame) -> list[pl.Expr]:
    """Bars that signal a change; signals to enter and leave one side at once change nothing."""
    asks = [pl.col("buy_signal") != pl.col("sell_signal")]
    if "short_signal" in rows.columns:
        asks.append(pl.col("short_signal") != pl.col("cover_signal"))
    return asks
