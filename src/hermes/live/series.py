"""One dataset of a live process: its bars in memory, their decisions, and the state of its record."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

import polars as pl

from hermes.dataset import RECENT, Dataset
from hermes.lake.store import Lake
from hermes.live import history
from hermes.live.days import RecentDays
from hermes.live.finality import Bar, Waiting
from hermes.live.history import Computed, position_before, silver_reader
from hermes.live.position import Position
from hermes.live.recent import OVERLAP, RECHECKED, covered
from hermes.live.times import before_hole, instant, later
from hermes.record.ledger import Head
from hermes.schemas import in_microseconds
from hermes.settings import Settings
from hermes.stages.gold import blocks
from hermes.stages.gold.blocks import proven_lead
from hermes.stages.signals.plan import signals
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS, signal_rules

BELIEVED_BARS = 5_000  # of silver, compared with those in memory after each consolidation
_BAR = list(BARS)


@dataclass(slots=True)
class Series:
    """One dataset in memory, with everything that a close needs, so that its cost does not grow with the history.

    Attributes:
        bars: `strategies.columns.BARS`, in order of time: all of them, or the tail of a long series.
        lead: how many of the first of them are there only for the columns of later ones: none where all bars are here.
        base: position before the first bar after those.
        archived_until: open time of the newest bar that the archive gave; what the exchange says of older ones changes
            nothing, as silver believes the archive.
        decided_until: open time of the newest bar on record.
        skipped: earlier bars that are not on record, because they arrived late.
        head: the end of its record.
        waiting: the bar that is over but has no successor yet.
        read_at: when it is read next, by the server's clock (microseconds); attempts: how often in vain since.
    """

    settings: Settings
    strategy: Strategy
    compute: Computed
    days: RecentDays
    bars: pl.DataFrame
    lead: int
    base: int
    archived_until: datetime
    decided_until: datetime
    head: Head
    skipped: set[datetime] = field(default_factory=set)
    waiting: Waiting | None = None
    read_at: int = 0
    attempts: int = 0
    revised: dict[datetime, tuple[object, ...]] = field(default_factory=dict)
    held: Position = field(default_factory=Position)
    told_until: datetime | None = None
    _seen: dict[int, Bar] = field(default_factory=dict)
    _judged: tuple[datetime, int] | None = None

    @classmethod
    def load(cls, settings: Settings, strategy: Strategy, lake: Lake, head: Head | None) -> Self:
        """Load the series from silver, which must be up to date.

        Args:
            head: where its record ends; None where there is none: then it begins with the newest bar.

        Raises:
            MissingTable: silver has no bar of it.
        """
        dataset = settings.dataset
        read, rows = silver_reader(settings, lake)
        compute = Computed(settings, strategy)
        if rows <= history.WHOLE_BARS:
            bars, lead, base = read(0, rows), 0, 0
        else:
            lead = proven_lead(read, rows, compute, strategy.columns)
            begin = max(0, rows - 2 * lead)
            bars, lead = read(begin, rows), lead if begin else 0
            base = position_before(read, begin + lead, compute, strategy, settings.signals.start)
        if head is None or head.datetime is None:
            head = Head.before_first(read(0, rows - 1)) if head is None else head
            decided_until = bars["datetime"][-2] if bars.height > 1 else datetime.min
        else:
            decided_until = head.datetime
        made = cls(
            settings, strategy, compute, RecentDays(dataset, lake), bars, lead, base,
            archived_until=_archived_until(dataset, lake), decided_until=decided_until, head=head,
        )  # fmt: skip
        if bars.height > 1:
            made.held.add(made.judged(bars["datetime"][0]).filter(pl.col("datetime") <= decided_until))
        return made

    @property
    def dataset(self) -> Dataset:
        """The dataset."""
        return self.settings.dataset

    @property
    def newest(self) -> datetime:
        """Open time of the newest closed bar."""
        return self.bars["datetime"][-1]  # type: ignore[no-any-return]

    @property
    def next_close(self) -> datetime:
        """When the bar after the newest one is over."""
        return later(self.newest, self.dataset.interval, 2)

    @property
    def _said(self) -> list[str]:
        """The columns of a decision; a bar on which one of them has changed needs a revision."""
        return [*_BAR, *signal_rules(self.strategy), "position"]

    def reads_from(self) -> int:
        """Open time (microseconds) from which the exchange is read: some bars again, and from a recent hole on."""
        times = self.bars["datetime"].tail(RECHECKED).to_physical()
        return min(int(times[-min(OVERLAP, len(times))]), before_hole(times, self.dataset.interval_seconds * 1_000_000))

    # --- bars -------------------------------------------------------------------------------------------------------

    def unseen(self, closed: Sequence[Bar]) -> list[Bar]:
        """The bars that this process does not have yet, or has with other values."""
        new = [bar for bar in closed if self._seen.get(bar.open_time) != bar]
        self._seen.update({bar.open_time: bar for bar in new})
        for time in sorted(self._seen)[: -2 * RECHECKED]:
            del self._seen[time]
        return new

    def take(self, rows: pl.DataFrame, bars: pl.DataFrame, server_time: int) -> bool:
        """Add closed bars; returns whether anything is new or different.

        Args:
            rows: as `schemas.BRONZE`, in order of time.
            bars: the same, see `as_bars`.
        """
        taken = self.days.take(rows, server_time)
        if bars["datetime"][0] <= self.archived_until:
            bars = bars.filter(pl.col("datetime") > self.archived_until)
        return self.replace(bars) or taken.new > 0

    def replace(self, rows: pl.DataFrame) -> bool:
        """Replace bars in memory by these; returns whether any differed. Bars older than all of them are ignored."""
        if rows.height and rows["datetime"][0] > self.newest and rows["datetime"].is_sorted():
            self.bars = pl.concat([self.bars, rows], rechunk=True)
            return True
        known = rows.join(self.bars, on=_BAR, how="semi", nulls_equal=True)
        rows = rows.join(known, on="datetime", how="anti").filter(pl.col("datetime") >= self.bars["datetime"][0])
        if rows.is_empty():
            return False
        newest = self.newest
        late = rows.filter(pl.col("datetime") <= newest)
        if late.height:
            self._remember(late)
        merged = pl.concat([self.bars, rows]).unique("datetime", keep="last").sort("datetime")
        self.bars = merged.rechunk()
        return True

    def _remember(self, late: pl.DataFrame) -> None:
        """Keep the decisions on bars before these change; see `decisions`."""
        self._judged = None
        first: datetime = late["datetime"].min()  # type: ignore[assignment]
        there = set(self.bars["datetime"].to_list())
        self.skipped |= {at for at in late["datetime"] if at not in there and at < self.decided_until}
        before = self.judged(first).filter(pl.col("datetime") <= self.decided_until)
        for at, *values in before.select(self._said).iter_rows():
            self.revised.setdefault(at, tuple(values))

    def compare(self, recorded: pl.DataFrame) -> None:
        """Note which of the newest bars are not on record, or are on record with other values.

        Args:
            recorded: the newest rows of its record, sorted by sequence.
        """
        first = max(self.bars["datetime"].tail(RECHECKED)[0], recorded["datetime"].min())
        last = recorded.group_by("datetime").last().filter(pl.col("datetime") >= first).sort("datetime")
        there = self.bars.filter(pl.col("datetime").is_between(first, self.decided_until))
        self.skipped = set(there["datetime"]) - set(last["datetime"])
        changed = last.join(there, on=_BAR, how="anti", nulls_equal=True)["datetime"].min()
        if changed is not None:  # what was decided on later bars may be different, too
            # Rules for shorts may be newer than the record.
            said = (pl.col(name) if name in last.columns else pl.lit(None).alias(name) for name in self._said)
            for at, *values in last.filter(pl.col("datetime") >= changed).select(said).iter_rows():
                self.revised[at] = tuple(values)

    # --- decisions --------------------------------------------------------------------------------------------------

    @property
    def due(self) -> datetime | None:
        """Open time of the first bar that `decisions` has to examine; None if there is nothing to decide."""
        since = min([*self.revised, *self.skipped, self.decided_until + timedelta(microseconds=1)])
        return since if since <= self.newest else None

    def judged(self, since: datetime) -> pl.DataFrame:
        """The bars from `since` on, with the strategy's columns, conditions, signals and position, without the lead."""
        times = self.bars["datetime"]
        begin, position, start = self.lead, self.base, self.settings.signals.start
        if start and start > times[begin]:
            begin, position = int(times.search_sorted(start)), 0
        first = max(begin, int(times.search_sorted(since)))
        known = self._judged
        if known and known[0] < since and first and times[first - 1] == known[0]:
            begin, position = first, known[1]
        context = min(begin, max(1, self.strategy.look_back))
        window = self.compute.plan(self.bars).slice(begin - context)  # else all columns of all bars would be copied
        made = signals(window, self.strategy, context, position)
        return made.filter(pl.col("datetime") >= since)

    def decisions(self, since: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows to append: decisions, and revisions of decisions on bars that changed since.

        Args:
            since: from `due`.

        Returns:
            Columns as `judged`, and `symbol`.
        """
        made = self.judged(since).with_columns(symbol=pl.lit(self.dataset.symbol))
        if not self.skipped and not self.revised:
            return made, made.clear()
        is_new = (pl.col("datetime") > self.decided_until) | pl.col("datetime").is_in(list(self.skipped))
        said = {
            at: values for at, values in self.revised.items() if at <= self.decided_until and at not in self.skipped
        }
        changed = [
            at for at, *values in made.select(self._said).iter_rows() if at in said and said[at] != tuple(values)
        ]
        return made.filter(is_new), made.filter(pl.col("datetime").is_in(changed))

    def recorded(self, head: Head, made: pl.DataFrame) -> None:
        """Note that these decisions are on record, up to `head`."""
        self.head = head
        changed = bool(self.skipped or self.revised)
        self.skipped.clear()
        self.revised.clear()
        if made.height and made["datetime"][-1] >= self.decided_until:
            self.held.add(made.filter(pl.col("datetime") > self.decided_until))
            self.decided_until = made["datetime"][-1]
            self._judged = (self.decided_until, int(made["position"][-1]))
        if changed:
            known = self.judged(self.bars["datetime"][0]).filter(pl.col("datetime") <= self.decided_until)
            self.held = Position()
            self.held.add(known)

    def believe_silver(self, lake: Lake) -> None:
        """Adopt silver's newest bars, as the archive may have published other values."""
        read, rows = silver_reader(self.settings, lake)
        self.replace(read(max(0, rows - BELIEVED_BARS), rows))
        self.archived_until = _archived_until(self.dataset, lake)

    def _rows(self, begin: int, end: int) -> pl.DataFrame:
        return self.bars.slice(begin, end - begin)

    def trim(self) -> None:
        """Drop bars of a long series that no column needs any more."""
        most = 2 * self.lead + blocks.LEAD if self.lead else history.WHOLE_BARS
        if self.bars.height <= most:
            return
        lead = proven_lead(self._rows, self.bars.height, self.compute, self.strategy.columns)
        drop = self.bars.height - 2 * lead
        if drop > 0:
            before = self.bars["datetime"][drop + lead - 1]
            self.base = int(self.judged(before)["position"][0])
            self.bars, self.lead = self.bars.slice(drop).rechunk(), lead


def _archived_until(dataset: Dataset, lake: Lake) -> datetime:
    """Open time of the newest bar in bronze that the archive gave."""
    found = covered(dataset, lake).items()
    return instant(max((last for key, (_, last) in found if f"/{RECENT}/" not in key), default=0))


def as_bars(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of bronze as bars in memory."""
    time = in_microseconds(pl.col("open_time")).cast(BARS["datetime"]).alias("datetime")
    return rows.select(time, *(name for name in _BAR if name != "datetime"))
