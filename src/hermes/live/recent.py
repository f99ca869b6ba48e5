"""`recent`, the third frequency of bronze: closed bars from the exchange's API, one file for each UTC day."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from time import perf_counter

import polars as pl

from hermes.dataset import BRONZE_FREQUENCIES, RECENT, Dataset
from hermes.lake.store import Lake
from hermes.live.days import RecentDays, publish_days, to_rows
from hermes.live.exchange import Exchange
from hermes.live.finality import Bar, Waiting, judge
from hermes.live.times import DAY_US, before_hole
from hermes.progress import SILENT, Progress
from hermes.schemas import BRONZE, in_microseconds
from hermes.settings import Settings
from hermes.stages.bronze.klines import SPAN
from hermes.steps.ingest import Ingested
from hermes.steps.step import step

RECHECKED = 90  # bars before the newest one, from which on all are read again where one is missing
OVERLAP = 3  # bars that are always read again: the exchange may revise what has just closed
FLUSHED_BARS = 100_000  # published at once while a long gap is read: what was read then is kept, whatever happens
_DAY = timedelta(days=1)


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
        since: first day, if bronze has no bar; by default that of the series' first bar.
        until: last day.
        exchange: by default the one that the settings name.

    Raises:
        SymbolUnknown, Banned, NotServed, ExchangeError: see `exchange`. Bars read before are published.
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
        sources=[own.source],
    )


def closed_bars(
    exchange: Exchange, dataset: Dataset, begin: int, end: int | None, settle_seconds: float
) -> Iterator[tuple[Sequence[Bar], int]]:
    """Closed bars that open at `begin` or later and, with an `end`, before it; and the server's time they were read at.

    The newest one is read twice if it has no successor yet.
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


def missing_spans(
    dataset: Dataset, lake: Lake, since: date | None = None, until: date | None = None
) -> list[tuple[int, int | None]]:
    """The missing spans of bronze, oldest first, as (from, before) in microseconds: gaps, then all after the last bar.

    A span includes the last bar before its gap, to compare it with the exchange's current values.

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
    """The newest bar, or the bar before a recent gap, whose missing bars may have been published since."""
    files = lake.bronze.files(dataset.with_frequency(RECENT).bronze_folder)[-2:]
    if not files:
        return newest
    time = in_microseconds(pl.col("open_time"))
    with lake.bronze.errors():
        times = lake.bronze.scan(files, schema=BRONZE).select(time).collect().to_series().sort().tail(RECHECKED)
    return min(newest, int(times[-min(OVERLAP, len(times))]), before_hole(times, dataset.interval_seconds * 1_000_000))


def _microseconds(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_US


def covered(dataset: Dataset, lake: Lake) -> Mapping[str, tuple[int, int]]:
    """Open time of the first and the last bar of every bronze file, microseconds, by key."""
    files = [
        file
        for frequency in BRONZE_FREQUENCIES
        for file in lake.bronze.files(dataset.with_frequency(frequency).bronze_folder)
    ]
    abouts = zip(files, lake.bronze.footers(files), strict=True)
    noted = {file.key: (int(span[0]), int(span[1])) for file, about in abouts if (span := about.get(SPAN))}
    if not (silent := [file for file in files if file.key not in noted]):
        return noted
    time = in_microseconds(pl.col("open_time"))
    plan = lake.bronze.scan(silent, schema=BRONZE, include_file_paths="file").select("file", time=time)
    with lake.bronze.errors():
        found = plan.group_by("file").agg(first=pl.col("time").min(), last=pl.col("time").max()).collect()
    keys = {file.location: file.key for file in silent}
    return noted | {keys[location]: (first, last) for location, first, last in found.iter_rows()}
