"""Funding of perpetual contracts: payments between longs and shorts every few hours.

At a positive rate longs pay shorts: rate times the position's worth at the last close, on the position held before the
fills of that instant. Where the instant lies inside a bar, that is what was held at the bar's open.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.arrays import Floats, Rows, Times

#: The order of what happens within one bar: keys are PHASES times the row plus one of these.
PHASES = 6
IN_GAP, OPENED, INSIDE, REACHED, AT_CLOSE, CLOSED = range(PHASES)

MONTH_SECONDS = 30 * 86_400  # how a bar of a calendar month is written in seconds


class Charges(NamedTuple):
    """The funding charges on some bars.

    Attributes:
        keys: when each is charged, see `PHASES`, ascending.
        rows: the bars whose closing equity it shows in first.
        prices: the last closes before; rates: at which a long pays.
    """

    keys: list[int]
    rows: list[int]
    prices: list[float]
    rates: list[float]


@dataclass(frozen=True, slots=True)
class Funding:
    """The funding of one contract.

    Args:
        times: naive UTC, ascending; rates: fractions of the position's worth, one for each.
        interval_seconds: length of the bars that are traded.
        hours: from one payment to the next, one for each; None where that is not known.
    """

    times: Times
    rates: Floats
    interval_seconds: int
    hours: Rows | None = None

    def on(self, times: Times, close: Floats, before: np.datetime64 | None, last_close: float) -> Charges:
        """The funding charged on successive bars.

        Args:
            times, close: of the bars, at least one.
            before: the close time of the bar before them, None where they are the first; last_close: its close.
        """
        ends = close_times(times, self.interval_seconds)
        # What comes before the first bar of all is charged on nothing.
        first = np.searchsorted(self.times, times[0] if before is None else before, side="right")
        last = np.searchsorted(self.times, ends[-1], side="right")
        at, rates = self.times[first:last], self.rates[first:last]
        rows: Rows = np.searchsorted(ends, at, side="left")
        closing = ends[rows] == at
        phase = np.where(closing, AT_CLOSE, np.where(at > times[rows], INSIDE, IN_GAP))
        previous = np.concatenate([[last_close], close])[rows]
        prices = np.where(closing, close[rows], previous)
        return Charges((rows * PHASES + phase).tolist(), rows.tolist(), prices.tolist(), rates.tolist())


def close_times(times: Times, interval_seconds: int) -> Times:
    """When bars that open at these times end."""
    if interval_seconds == MONTH_SECONDS:
        ends: Times = (times.astype("datetime64[M]") + 1).astype(times.dtype)
    else:
        ends = times + np.timedelta64(interval_seconds * 1_000_000, "us")
    return ends
