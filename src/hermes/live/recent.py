"""`recent`, the third frequency of bronze: closed bars that the exchange itself gave, one file for each UTC day.

Longer than 300 lines, because fetching a day, comparing it with what is there and publishing it is one transaction.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from time import perf_counter
from typing import Any

import polars as pl

from hermes.dataset import BRONZE_FREQUENCIES, RECENT, Dataset
from hermes.lake.store import Lake, check_written
from hermes.live.exchange import Exchange
from hermes.live.finality import Bar, Waiting, judge
from hermes.progress import SILENT, Progress
from hermes.schemas import BRONZE
from hermes.settings import Settings
from hermes.stages.bronze.klines import MILLISECONDS_BELOW, parse
from hermes.steps.ingest import Ingested
from hermes.steps.step import step

RECHECKED = 90  # bars before the newest one, from which on all are read again where one is missing
OVERLAP = 3  # bars that are read again in any case: the exchange may revise what has just closed
FLUSHED_BARS = 100_000  # published at once while a long gap is read: what was read then is kept, whatever happens
_VALUES = [name for name in BRONZE if name not in ("line", "open_time")]
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Revision:
    """A bar that the exchange gave twice, with different values."""

    open_time: datetime
    column: str
    before: float | str
    after: float | str


@dataclass(slots=True)
class Day:
    """One UTC day of one dataset: its rows as `schemas.BRONZE`, in order of time.

    Attributes:
        server_time: of the reading that changed it last, microseconds.
        revised: values that the exchange changed, each as (open_time, column, before, after).
    """

    dataset: Dataset
    day: date
    rows: pl.DataFrame
    server_time: int
    revised: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its place in bronze."""
        return self.dataset.with_frequency(RECENT).bronze_key(self.day)

    def about(self, source: str) -> dict[str, Any]:
        """What its footer says."""
        values = self.rows.drop("line").write_csv(include_header=False).encode()
        return {
            "layer": "bronze",
            "source": source,
            "size": None,
            "version": "",
            "sha256": hashlib.sha256(values).hexdigest(),
            "verified": False,
            "rows": self.rows.height,
            "read_at": instant(self.server_time).isoformat(),
            "revised": self.revised,
        }

    def merge(self, rows: pl.DataFrame, server_time: int) -> list[Revision]:
        """Take closed bars of this day in; those that are there already are compared, and replaced where they differ.

        Returns:
            The values that differ from those taken before.
        """
        self.server_time = server_time
        numbers = pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias("line")
        if self.follows(rows):
            self.rows = pl.concat([self.rows, rows], rechunk=True).with_columns(numbers)
            return []
        revised = self._compared(rows)
        merged = pl.concat([self.rows, rows]).unique("open_time", keep="last").sort("open_time")
        self.rows = merged.with_columns(numbers)
        self.revised += [
            {"datetime": each.open_time.isoformat(), "column": each.column, "before": each.before, "after": each.after}
            for each in revised
        ]
        return revised

    def follows(self, rows: pl.DataFrame) -> bool:
        """Whether these rows are all later than those that are there, as nearly always."""
        newest = self.rows["open_time"][-1] if self.rows.height else -1
        return bool(rows["open_time"][0] > newest and rows["open_time"].is_sorted())

    def _compared(self, rows: pl.DataFrame) -> list[Revision]:
        both = self.rows.join(rows, on="open_time", suffix="|new")
        return [
            Revision(instant(time if time >= MILLISECONDS_BELOW else time * 1000), name, before, after)
            for name in _VALUES
            for time, before, after in both.filter(pl.col(name).ne_missing(pl.col(f"{name}|new")))
            .select("open_time", name, f"{name}|new")
            .iter_rows()
        ]


@dataclass(frozen=True, slots=True)
class Taken:
    """Bars that were taken in: as `schemas.BRONZE`, how many are new or differ, and where they differ from before."""

    rows: pl.DataFrame
    new: int
    revised: list[Revision]


class RecentDays:
    """The recent days of one dataset, loaded from bronze as they are needed, and which of them wait to be published."""

    def __init__(self, dataset: Dataset, lake: Lake) -> None:
        self.dataset = dataset
        self._lake = lake
        self._days: dict[date, Day] = {}
        self._changed: set[date] = set()

    def take(self, rows: pl.DataFrame, server_time: int) -> Taken:
        """Take closed bars in; what is new or different waits to be published.

        Args:
            rows: as `schemas.BRONZE`, in order of time; see `to_rows`.
        """
        fresh, revised = 0, []
        for number, part in _by_day(rows):
            day = self._day(date(1970, 1, 1) + number * _DAY)
            new = part if day.follows(part) else self._different(day, part)
            if new.height:
                revised += day.merge(new, server_time)
                self._changed.add(day.day)
                fresh += new.height
        return Taken(rows, fresh, revised)

    def _different(self, day: Day, rows: pl.DataFrame) -> pl.DataFrame:
        """Those rows that are not there just like this."""
        on = ["open_time", *_VALUES]
        return rows.join(day.rows.select(on), on=on, how="anti", nulls_equal=True, maintain_order="left")

    def _day(self, day: date) -> Day:
        if day not in self._days:
            recent = self.dataset.with_frequency(RECENT)
            key = recent.bronze_key(day)
            files = [file for file in self._lake.bronze.files(key.rpartition("/")[0]) if file.key == key]
            rows, revised = pl.DataFrame(schema=BRONZE), []
            if files:
                with self._lake.bronze.errors():
                    rows = self._lake.bronze.scan(files, schema=BRONZE).collect()
                revised = self._lake.bronze.footer(files[0]).get("revised", [])
            self._days[day] = Day(self.dataset, day, rows, 0, revised)
        return self._days[day]

    def pending(self) -> list[Day]:
        """Days that wait to be published, oldest first."""
        return [self._days[day] for day in sorted(self._changed)]

    def published(self, days: Iterable[Day]) -> None:
        """These days are in bronze now. Only the newest two stay in memory."""
        self._changed -= {each.day for each in days}
        for day in sorted(self._days)[:-2]:
            if day not in self._changed:
                del self._days[day]


@step(exclusive=True)
def top_up(
    settings: Settings,
    lake: Lake,
    *,
    since: date | None = None,
    until: date | None = None,
    exchange: Exchange | None = None,
    progress: Progress = SILENT,
) -> Ingested:
    """Bring the bars that closed since bronze's newest one into bronze, and those of every hole between its files.

    Args:
        since: first day wanted where bronze has no bar; without it the series' first bar.
        until: last day wanted.
        exchange: without it the one that the settings name.

    Raises:
        SymbolUnknown, Banned, NotServed, ExchangeError: see `exchange`. What was read before is published.
        StoreError: bronze cannot be read or written.
    """
    started = perf_counter()
    dataset = settings.dataset
    own = exchange or Exchange(dataset.market, settings.live)
    days = RecentDays(dataset, lake)
    written: dict[str, int] = {}

    def publish() -> None:
        pending = days.pending()
        publish_days(lake, pending, own.source)
        written.update({day.key: day.rows.height for day in pending})
        days.published(pending)

    try:
        spans = missing_spans(dataset, lake, since, until)
        step, now = dataset.interval_seconds * 1_000_000, own.server_time()
        most = sum(max(0, (now if end is None else end) - begin) // step for begin, end in spans if begin)
        with progress.task(f"ingest {dataset}, recent", most or 1, "bars") as advance:
            held = 0
            for begin, end in spans:
                try:
                    for closed, server_time in closed_bars(own, dataset, begin, end, settings.live.settle_seconds):
                        fresh = days.take(to_rows(closed, str(dataset)), server_time).new if closed else 0
                        held += fresh
                        advance(len(closed), f"{fresh:,} new")
                        if held >= FLUSHED_BARS:
                            publish()
                            held = 0
                finally:
                    publish()
    finally:
        if exchange is None:
            own.close()
    return Ingested(
        settings=settings,
        files=len(written),
        written=len(written),
        rows=sum(written.values()),
        without_checksum=[],
        seconds=perf_counter() - started,
    )


def closed_bars(
    exchange: Exchange, dataset: Dataset, begin: int, end: int | None, settle_seconds: float
) -> Iterator[tuple[Sequence[Bar], int]]:
    """Closed bars that open at `begin` or later and, with an `end`, before it; and the server's time they were read at.

    The newest one is read twice where it has no successor yet.
    """
    settle = round(settle_seconds * 1_000_000)
    waiting: Waiting | None = None
    for reading in exchange.readings(dataset, begin):
        judged = judge(reading, waiting, settle=settle)
        waiting = judged.waiting
        yield [bar for bar in judged.closed if end is None or bar.open_time < end], reading.server_time
        if end is not None and reading.bars and reading.bars[-1].open_time >= end:
            return
    if waiting and (end is None or waiting.bar.open_time < end):
        exchange.pause(settle_seconds)
        for reading in exchange.readings(dataset, waiting.bar.open_time, 10):
            judged = judge(reading, waiting, settle=settle)
            waiting = judged.waiting
            yield judged.closed, reading.server_time


def publish_days(lake: Lake, days: Sequence[Day], source: str) -> None:
    """Publish days, of one dataset or of many, all together; the caller holds the lock of each dataset."""
    if not days:
        return
    with ExitStack() as stack:
        staged = {}
        for day in days:
            path = stack.enter_context(lake.bronze.staged())
            lake.bronze.stage(path, day.rows, day.about(source), day.key)
            staged[day.key] = path
        with lake.bronze.errors():
            check_written(list(staged.values()), sum(day.rows.height for day in days))
        lake.bronze.replace_all(staged, in_order=False)


def missing_spans(
    dataset: Dataset, lake: Lake, since: date | None = None, until: date | None = None
) -> list[tuple[int, int | None]]:
    """What bronze lacks, oldest first, as (from, before) in microseconds: holes between files, then all after the last.

    The last bar before a hole is in it, too: it is compared with what the exchange says of it now.

    Args:
        since: first day, where bronze has no bar at all; until: last day.
    """
    end = _microseconds(until + _DAY) if until else None
    spans = sorted(covered(dataset, lake).values())
    if not spans:
        return [(_microseconds(since) if since else 0, end)]
    step = round(1.5 * dataset.interval_seconds * 1_000_000)
    merged = [spans[0]]
    for first, last in spans[1:]:
        begin, newest = merged[-1]
        if first - newest <= step:
            merged[-1] = (begin, max(newest, last))
        else:
            merged.append((first, last))
    holes: list[tuple[int, int | None]] = [(before[1], after[0]) for before, after in pairwise(merged)]
    found = [*holes, (_reread_from(dataset, lake, merged[-1][1]), None)]
    return [(begin, min(before or end, end) if end else before) for begin, before in found if not end or begin < end]


def _reread_from(dataset: Dataset, lake: Lake, newest: int) -> int:
    """The newest bar, or the one before a hole among the recent bars just before it: what is missing may have come."""
    files = lake.bronze.files(dataset.with_frequency(RECENT).bronze_folder)[-2:]
    if not files:
        return newest
    time = in_microseconds(pl.col("open_time"))
    with lake.bronze.errors():
        times = lake.bronze.scan(files, schema=BRONZE).select(time).collect().to_series().sort().tail(RECHECKED)
    return min(newest, int(times[-min(OVERLAP, len(times))]), before_hole(times, dataset.interval_seconds * 1_000_000))


def before_hole(times: pl.Series, step: int) -> int:
    """The last of ascending times (microseconds) before the first hole among them; the last of all without one."""
    holes = (times.diff() > 1.5 * step).arg_true()
    return int(times[int(holes[0]) - 1] if len(holes) else times[-1])


def _microseconds(day: date) -> int:
    return (day - date(1970, 1, 1)).days * _DAY_US


def covered(dataset: Dataset, lake: Lake) -> Mapping[str, tuple[int, int]]:
    """Open time of the first and the last bar of every bronze file, microseconds, by key."""
    files = [
        file
        for frequency in BRONZE_FREQUENCIES
        for file in lake.bronze.files(dataset.with_frequency(frequency).bronze_folder)
    ]
    if not files:
        return {}
    time = in_microseconds(pl.col("open_time"))
    plan = lake.bronze.scan(files, schema=BRONZE, include_file_paths="file").select("file", time=time)
    with lake.bronze.errors():
        found = plan.group_by("file").agg(first=pl.col("time").min(), last=pl.col("time").max()).collect()
    keys = {file.location: file.key for file in files}
    return {keys[location]: (first, last) for location, first, last in found.iter_rows()}


def to_rows(bars: Sequence[Bar], name: str) -> pl.DataFrame:
    """Bars as rows of bronze: parsed as the archive's lines are, from the same texts."""
    return parse("\n".join(bar.line for bar in bars).encode(), name)


def _by_day(rows: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    """Rows by their UTC day, counted from 1970."""
    ends = rows.select(in_microseconds(pl.col("open_time")) // _DAY_US).to_series()
    if not rows.height or ends[0] == ends[-1] == ends.max():
        return [(int(ends[0]), rows)] if rows.height else []
    parts = rows.with_columns(ends.alias("_day")).partition_by("_day", as_dict=True, maintain_order=True)
    return [(int(day), part.drop("_day")) for (day,), part in parts.items()]


def in_microseconds(time: pl.Expr) -> pl.Expr:
    """Times of bronze, which are in the units of their files."""
    return pl.when(time < MILLISECONDS_BELOW).then(time * 1000).otherwise(time)


def instant(time: int) -> datetime:
    """Microseconds since 1970 as naive UTC."""
    return datetime(1970, 1, 1) + timedelta(microseconds=time)
