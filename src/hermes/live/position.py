"""What a strategy holds, and the signal that it came from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl


@dataclass(slots=True)
class Position:
    """What a strategy holds after the newest bar that it was asked about.

    Attributes:
        since: open time of the bar after which it holds this; None where it has held nothing else.
        last_signal: open time, side and close of the newest bar with a signal.
    """

    position: int | None = None
    since: datetime | None = None
    last_signal: dict[str, Any] | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Go on with judged rows, in order of time."""
        signalled = rows.filter(pl.col("buy_signal") != pl.col("sell_signal"))
        if signalled.height:
            last = signalled.row(-1, named=True)
            side = "buy" if last["buy_signal"] else "sell"
            self.last_signal = {"datetime": last["datetime"].isoformat(), "side": side, "price": last["close"]}
        turns = rows.filter(pl.col("position") != pl.col("position").shift(1, fill_value=self.position))
        if turns.height:
            self.since = turns["datetime"][-1]
        if rows.height:
            self.position = int(rows["position"][-1])
