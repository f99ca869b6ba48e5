"""Gaps, zero-volume bars, coverage: measured and reported, never filled."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self

import polars as pl
from pydantic import BaseModel

from hermes.dataset import Dataset
from hermes.errors import TableRefused
from hermes.schemas import JUMP_FROM

GAPS_LISTED = 100
JUMPS_LISTED = 100
CONFLICTS_LISTED = 5


class Conflict(BaseModel, frozen=True):
    """One value on which frequencies disagree: silver keeps the daily one, else the monthly one.

    A frequency that has no such bar says nothing (None).
    """

    datetime: datetime
    column: str
    monthly: float | None
    daily: float | None
    recent: float | None = None


class Tally(BaseModel, frozen=True):
    """Counts of what cleaning found and removed. Tallies of adjacent spans add up.

    Attributes:
        rejected: quarantined rows by rule.
        identical_duplicates: rows dropped because an identical row exists.
        conflicts: bars on which the monthly, the daily and the recent file disagree.
        conflict_examples: the first few of their values.
        short_bars: bars that closed before their interval was over.
        open_bars: bars left out because they were still open when their file was made.
        refused: archive files left out because too many of their rows break a rule, and why.
    """

    rejected: dict[str, int] = {}
    identical_duplicates: int = 0
    conflicts: int = 0
    conflict_examples: tuple[Conflict, ...] = ()
    short_bars: int = 0
    open_bars: int = 0
    refused: dict[str, str] = {}

    def __add__(self, other: Self) -> "Tally":
        rules = sorted(self.rejected.keys() | other.rejected.keys())
        examples = sorted(
            self.conflict_examples + other.conflict_examples, key=lambda each: (each.datetime, each.column)
        )
        return Tally(
            rejected={rule: self.rejected.get(rule, 0) + other.rejected.get(rule, 0) for rule in rules},
            identical_duplicates=self.identical_duplicates + other.identical_duplicates,
            conflicts=self.conflicts + other.conflicts,
            conflict_examples=tuple(examples[:CONFLICTS_LISTED]),
            short_bars=self.short_bars + other.short_bars,
            open_bars=self.open_bars + other.open_bars,
            refused=dict(sorted((self.refused | other.refused).items())),
        )


class Gap(BaseModel, frozen=True):
    """Missing bars: `after` and `before` are the open times of the bars on either side."""

    after: datetime
    before: datetime
    missing_bars: int
    hours: float


class PriceJump(BaseModel, frozen=True):
    """An open that is far from the close before it: `bar` opens at `open`, the bar before it closed at `close`.

    `factor` is open / close, `hours` the time from the one bar's open time to the other's.
    """

    bar: datetime
    close: float
    open: float
    factor: float
    hours: float


class Quality(BaseModel, frozen=True):
    """The quality table of one silver series.

    Attributes:
        first, last: open times (UTC) of the first and the last bar.
        expected_bars: slots of the interval's grid from `first` to `last`.
        missing_bars: slots in which no bar opens.
        coverage_pct: share of the slots that have a bar.
        gap_count: runs of missing bars; `gaps` lists the longest (at most 100) in order of time.
        max_gap_hours: longest time between two consecutive open times; None with fewer than two bars.
        zero_volume_bars: bars in which nothing was traded; they are kept.
        off_grid_bars: bars that do not open where the interval's grid says.
        price_jump_count: bars that open at 5 times the close before or more, or at a fifth of it or less: a
            redenomination, or a fault; `price_jumps` lists the largest (at most 100) in order of time.
        tally: the counts of cleaning.
        missing_checksums: archive files that came without a CHECKSUM.
        refused_files: archive files that cannot be trusted and are left out, and why; excluded ones are not among them.
    """

    symbol: str
    interval: str
    rows: int
    first: datetime
    last: datetime
    expected_bars: int
    missing_bars: int
    coverage_pct: float
    gap_count: int
    gaps: tuple[Gap, ...]
    max_gap_hours: float | None
    zero_volume_bars: int
    off_grid_bars: int
    price_jump_count: int = 0
    price_jumps: tuple[PriceJump, ...] = ()
    tally: Tally
    missing_checksums: tuple[str, ...]
    refused_files: dict[str, str] = {}

    def to_json(self) -> str:
        """The table as JSON, the same text for the same values; times are ISO 8601, UTC without offset."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`."""
        return cls.model_validate_json(text)


def measure(
    rows: pl.LazyFrame,
    dataset: Dataset,
    tally: Tally,
    missing_checksums: tuple[str, ...] = (),
    refused: Mapping[str, str] | None = None,
) -> Quality:
    """Measures one silver series, whole.

    Args:
        rows: `datetime` (sorted, unique, naive UTC), `open`, `close` and `zero_volume`; other columns are not read.
        dataset: the series, for its interval.
        tally: the counts of cleaning, over the same span.
        missing_checksums: stems of the archive files that came without a CHECKSUM.
        refused: stem → why, of archive files that never came into bronze.

    Raises:
        TableRefused: there is no row at all.
    """
    time, slot = pl.col("datetime"), pl.col("slot")
    numbered = rows.select(time, "zero_volume", slot=_slot(dataset), off_grid=_is_off_grid(dataset))
    summary = numbered.select(
        rows=pl.len(),
        first=time.first(),
        last=time.last(),
        expected=slot.last() - slot.first() + 1,
        max_gap=time.diff().max(),
        zero_volume=pl.col("zero_volume").sum(),
        off_grid=pl.col("off_grid").sum(),
    )
    gaps = numbered.select(after=time.shift(), before=time, missing_bars=slot.diff() - 1).filter(
        pl.col("missing_bars") > 0
    )
    factor = pl.col("open") / pl.col("close").shift()
    jumps = rows.select(
        bar=time, close=pl.col("close").shift(), open="open", factor=factor, hours=time.diff().dt.total_seconds() / 3600
    ).filter((pl.col("factor") >= JUMP_FROM) | (pl.col("factor") * JUMP_FROM <= 1))
    measured, gap_rows, jump_rows = summary.collect(), gaps.collect(), jumps.collect(engine="streaming")
    found = measured.row(0, named=True)
    if not found["rows"]:
        raise TableRefused(f"silver of {dataset} has no rows", "ingest and refine it first")
    missing = int(gap_rows["missing_bars"].sum())
    longest = gap_rows.sort("missing_bars", "after", descending=[True, False]).head(GAPS_LISTED).sort("after")
    size = pl.col("factor").log().abs()
    largest = jump_rows.sort(size, "bar", descending=[True, False]).head(JUMPS_LISTED).sort("bar")
    return Quality(
        symbol=dataset.symbol,
        interval=dataset.interval,
        rows=found["rows"],
        first=found["first"],
        last=found["last"],
        expected_bars=found["expected"],
        missing_bars=missing,
        coverage_pct=100 * (found["expected"] - missing) / found["expected"],
        gap_count=gap_rows.height,
        gaps=tuple(Gap(**gap, hours=_hours(gap["before"] - gap["after"])) for gap in longest.iter_rows(named=True)),
        max_gap_hours=None if found["max_gap"] is None else _hours(found["max_gap"]),
        zero_volume_bars=found["zero_volume"],
        off_grid_bars=found["off_grid"],
        price_jump_count=jump_rows.height,
        price_jumps=tuple(PriceJump(**jump) for jump in largest.iter_rows(named=True)),
        tally=tally,
        missing_checksums=tuple(sorted(missing_checksums)),
        refused_files=dict(sorted({**(refused or {}), **tally.refused}.items())),
    )


def _hours(time: timedelta) -> float:
    return time / timedelta(hours=1)


def _slot(dataset: Dataset) -> pl.Expr:
    """Number of the grid slot that a bar opens in; consecutive bars have consecutive numbers."""
    time = pl.col("datetime")
    if dataset.interval == "1mo":
        return time.dt.year().cast(pl.Int64) * 12 + time.dt.month()
    return (time - _origin(dataset)).dt.total_microseconds() // (dataset.interval_seconds * 1_000_000)


def _is_off_grid(dataset: Dataset) -> pl.Expr:
    time = pl.col("datetime")
    if dataset.interval == "1mo":
        return time != time.dt.truncate("1mo")
    return (time - _origin(dataset)).dt.total_microseconds() % (dataset.interval_seconds * 1_000_000) != 0


def _origin(dataset: Dataset) -> pl.Expr:
    """One point of the grid: weeks open on Monday, three-day bars have no calendar but their first bar's."""
    match dataset.interval:
        case "3d":
            return pl.col("datetime").first()
        case "1w":
            return pl.lit(datetime(1970, 1, 5))
        case _:
            return pl.lit(datetime(1970, 1, 1))
