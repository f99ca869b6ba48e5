"""How old the newest bar is, and whether that is older than it should be. Pure: the time now is given."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hermes.dataset import RECENT, bar_close

#: How much older than expected the newest bar may be, beside two intervals, by how the bars arrive.
LAGS = {RECENT: timedelta(), "daily": timedelta(days=2), "monthly": timedelta(days=33)}


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the newest bar is; times are naive UTC.

    Attributes:
        newest: open time of the newest bar; expected: of the newest bar that is over by now.
        age: from the newest bar's close until now.
        stale: whether the newest bar is older than expected by more than two intervals plus the lag of its files;
            never for a simulated market, whose bars are not of the present.
    """

    newest: datetime
    expected: datetime
    age: timedelta
    stale: bool

    def as_json(self) -> dict[str, Any]:
        """The names of `hermes status`; times are ISO 8601, UTC."""
        return {
            "newest_bar": f"{self.newest.isoformat()}Z",
            "age_seconds": round(self.age.total_seconds(), 3),
            "expected_bar": f"{self.expected.isoformat()}Z",
            "stale": self.stale,
        }


def expected_bar(newest: datetime, interval: str, now: datetime) -> datetime:
    """Open time of the newest bar that is over at `now`, on the grid of a bar that is there."""
    found, close = newest, bar_close(interval, newest)
    if interval != "1mo":
        step = close - newest
        return newest + step * max(0, (now - newest) // step - 1)
    while (after := bar_close(interval, close)) <= now:
        found, close = close, after
    return found


def freshness(
    newest: datetime, interval: str, frequencies: Collection[str], now: datetime, *, simulated: bool = False
) -> Freshness:
    """Judge the newest bar.

    Args:
        newest: its open time; now: both naive UTC.
        interval: of the bars, by its name.
        frequencies: how bars of this series arrive: recent, daily, monthly; the quickest of them counts.
        simulated: whether they are of a simulated market.
    """
    expected = expected_bar(newest, interval, now)
    lag = min((LAGS[each] for each in frequencies if each in LAGS), default=LAGS["monthly"])
    two = bar_close(interval, bar_close(interval, expected)) - expected
    stale = not simulated and expected - newest > two + lag
    return Freshness(newest, expected, now - bar_close(interval, newest), stale)
