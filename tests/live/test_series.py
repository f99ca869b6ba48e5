"""One dataset in memory: what it says anew once earlier bars have changed."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from hermes.lake.store import Lake
from hermes.live.days import RecentDays
from hermes.live.history import Computed
from hermes.live.series import Series
from hermes.record.ledger import Head
from hermes.settings import Settings
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS

BEGIN = datetime(2025, 6, 15)


class Falling(Strategy):
    """Short wherever the close fell."""

    name = "falling"
    columns = ()
    look_back = 1

    def conditions(self):
        return {"fell": pl.col("close") < pl.col("close").shift(1)}

    def buy(self):
        return pl.lit(value=False)

    def sell(self):
        return pl.lit(value=False)

    def short(self):
        return pl.col("fell")

    def cover(self):
        return pl.lit(value=False)


def bars(closes: list[float]) -> pl.DataFrame:
    times = [BEGIN + timedelta(hours=4 * number) for number in range(len(closes))]
    prices = dict.fromkeys(("open", "high", "low", "close"), closes)
    return pl.DataFrame({"datetime": times, **prices, "volume": 1.0}).select(
        pl.col(name).cast(kind) for name, kind in BARS.items()
    )


def series(tmp_path: Path, closes: list[float]) -> Series:
    settings = Settings.load({"lake.url": str(tmp_path / "{layer}")}, environ={})
    rows = bars(closes)
    return Series(
        settings, Falling(), Computed(settings, Falling()), RecentDays(settings.dataset, Lake.open(settings)), rows,
        lead=0, base=0, archived_until=datetime.min, decided_until=rows["datetime"][-1], head=Head(),
    )  # fmt: skip


def test_signals_of_shorts_that_changed_are_revised(tmp_path: Path):
    """The position stays as it was; what was said of a bar that did not change itself is different."""
    one = series(tmp_path, [10, 9, 8, 7, 6])
    assert one.replace(bars([10, 9, 6, 7, 6])[2:3])
    new, revised = one.decisions(one.due)
    assert new.is_empty()
    assert revised["datetime"].to_list() == [BEGIN + timedelta(hours=8), BEGIN + timedelta(hours=12)]
    assert revised["short_signal"].to_list() == [True, False]
    assert revised["position"].to_list() == [-1, -1]


def test_what_changed_while_nothing_ran_is_compared_with_the_record(tmp_path: Path):
    one = series(tmp_path, [10, 9, 8, 7, 6])
    known = one.judged(BEGIN).with_row_index("sequence")
    other = series(tmp_path, [10, 9, 6, 7, 6])
    other.compare(known)
    _, revised = other.decisions(other.due)
    assert revised["datetime"].to_list() == [BEGIN + timedelta(hours=8), BEGIN + timedelta(hours=12)]
    # A record from before the strategy had rules for shorts says nothing of them.
    other.compare(known.drop("short_signal", "cover_signal"))
    _, revised = other.decisions(other.due)
    assert revised["datetime"].to_list() == [BEGIN + timedelta(hours=at) for at in (8, 12, 16)]
