"""Recent days in bronze: one file for each UTC day of a dataset, replaced as its bars close."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from hermes.dataset import RECENT, Dataset
from hermes.lake.store import Lake, check_written
from hermes.live.finality import Bar
from hermes.live.times import DAY_US, instant
from hermes.schemas import BRONZE, as_microseconds, in_microseconds
from hermes.stages.bronze.klines import parse, span_of

STAGED_AT_ONCE = 4  # days: each is encoded and written outside of Python
_VALUES = [name for name in BRONZE if name not in ("line", "open_time")]
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Revision:
    """A bar that the exchange returned twice with different values."""

    open_time: datetime
    column: str
    before: float | str
    after: float | str


@dataclass(slots=True)
class Day:
    """One UTC day of one dataset: its rows as `schemas.BRONZE`, in order of time.

    Attributes:
        server_time: of the reading that last changed it, in microseconds.
        revised: values that the exchange changed, each as (open_time, column, before, after).
    """

    dataset: Dataset
    day: date
    rows: pl.DataFrame
    server_time: int
    revised: list[dict[str, Any]] = field(default_factory=list)
    _hashed: int = 0  # of the rows, from the first one on, by `_hash`: a close adds one row to some 1,000
    _hash: Any = field(default_factory=hashlib.sha256)

    @property
    def key(self) -> str:
        """Its key in bronze."""
        return self.dataset.with_frequency(RECENT).bronze_key(self.day)

    def about(self, source: str) -> dict[str, Any]:
        """The content of its footer."""
        new = self.rows.slice(self._hashed)
        self._hash.update(new.drop("line").write_csv(include_header=False).encode())
        self._hashed += new.height
        return {
            "layer": "bronze",
            "source": source,
            "size": None,
            "version": "",
            "sha256": self._hash.hexdigest(),
            "verified": False,
            "rows": self.rows.height,
            **span_of(self.rows),
            "read_at": instant(self.server_time).isoformat(),
            "revised": self.revised,
        }

    def merge(self, rows: pl.DataFrame, server_time: int) -> list[Revision]:
        """Add closed bars of this day; existing ones are compared, and replaced if they differ.

        Returns:
            The values that differ from earlier ones.
        """
        self.server_time = server_time
        numbers = pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias("line")
        if self.follows(rows):
            self.rows = pl.concat([self.rows, rows], rechunk=True).with_columns(numbers)
            return []
        revised = self._compared(rows)
        merged = pl.concat([self.rows, rows]).unique("open_time", keep="last").sort("open_time")
        self.rows = merged.with_columns(numbers)
        self._hashed, self._hash = 0, hashlib.sha256()
        self.revised += [
            {"datetime": each.open_time.isoformat(), "column": each.column, "before": each.before, "after": each.after}
            for each in revised
        ]
        return revised

    def follows(self, rows: pl.DataFrame) -> bool:
        """Whether all of these rows are later than the existing ones, as is nearly always the case."""
        newest = self.rows["open_time"][-1] if self.rows.height else -1
        return bool(rows["open_time"][0] > newest and rows["open_time"].is_sorted())

    def _compared(self, rows: pl.DataFrame) -> list[Revision]:
        both = self.rows.join(rows, on="open_time", suffix="|new")
        return [
            Revision(instant(as_microseconds(time)), name, before, after)
            for name in _VALUES
            for time, before, after in both.filter(pl.col(name).ne_missing(pl.col(f"{name}|new")))
            .select("open_time", name, f"{name}|new")
            .iter_rows()
        ]


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of adding bars: how many are new or differ, and the revisions."""

    new: int
    revised: list[Revision]


class RecentDays:
    """The recent days of one dataset, loaded from bronze when needed, and those waiting to be published."""

    def __init__(self, dataset: Dataset, lake: Lake) -> None:
        self.dataset = dataset
        self._lake = lake
        self._days: dict[date, Day] = {}
        self._changed: set[date] = set()

    def take(self, rows: pl.DataFrame, server_time: int) -> Taken:
        """Add closed bars; new or different ones wait to be published.

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
        return Taken(fresh, revised)

    def _different(self, day: Day, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that are missing or differ."""
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
        """Note that these days are in bronze. Only the newest two stay in memory."""
        self._changed -= {each.day for each in days}
        for day in sorted(self._days)[:-2]:
            if day not in self._changed:
                del self._days[day]


def publish_days(lake: Lake, days: Sequence[Day], source: str) -> None:
    """Publish days of one or many datasets together; the caller holds the lock of each dataset."""
    if not days:
        return
    with ExitStack() as stack:
        staged = {day.key: stack.enter_context(lake.bronze.staged()) for day in days}

        def stage(day: Day) -> None:
            lake.bronze.stage(staged[day.key], day.rows, day.about(source), day.key)

        if len(days) == 1:
            stage(days[0])
        else:
            with ThreadPoolExecutor(STAGED_AT_ONCE, "hermes-stage") as pool:
                list(pool.map(stage, days))
        with lake.bronze.errors():
            check_written(list(staged.values()), sum(day.rows.height for day in days))
        lake.bronze.replace_all(staged, in_order=False)


def to_rows(bars: Sequence[Bar], name: str) -> pl.DataFrame:
    """Bars as rows of bronze: parsed as the archive's lines are, from the same texts."""
    return parse("\n".join(bar.line for bar in bars).encode(), name)


def _by_day(rows: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    """Rows in order of time, by their UTC day, counted from 1970."""
    if not rows.height:
        return []
    first, last = (as_microseconds(rows["open_time"][at]) // DAY_US for at in (0, -1))
    if first == last:  # nearly always
        return [(first, rows)]
    day = (in_microseconds(pl.col("open_time")) // DAY_US).alias("_day")
    parts = rows.with_columns(day).partition_by("_day", as_dict=True, maintain_order=True)
    return [(int(number), part.drop("_day")) for (number,), part in parts.items()]
