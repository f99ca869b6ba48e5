"""One dataset as a live process holds it: its bars in memory, what they decide, and what was decided on already.

Longer than 300 lines, because bars, decisions and position of a series change together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

import polars as pl

from hermes.dataset import INTERVAL_SECONDS, RECENT, Dataset
from hermes.errors import MissingTable
from hermes.indicators.registry import known_indicators
from hermes.lake.store import Lake
from hermes.live.finality import Bar, Waiting
from hermes.live.position import Position
from hermes.live.recent import OVERLAP, RECHECKED, RecentDays, before_hole, covered, in_microseconds, instant
from hermes.record.ledger import Head
from hermes.schemas import silver_schema
from hermes.settings import Settings
from hermes.stages.gold.blocks import LEAD, Compute, Read, proven_lead
from hermes.stages.gold.features import with_indicators
from hermes.stages.gold.splits import adjusted
from hermes.stages.signals.plan import signals
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS

WHOLE_BARS = 100_000  # a series of so many is computed from its first bar on, bit for bit; a longer one from its tail
BELIEVED_BARS = 5_000  # of silver, compared with those in memory after each consolidation
_BAR = list(BARS)
_SAID = [*_BAR, "buy_signal", "sell_signal", "position"]  # what a revision says anew


@dataclass(slots=True)
class Series:
    """One dataset in memory. Everything that a close needs is here, so its cost does not grow with history.

    Attributes:
        bars: `strategies.columns.BARS`, in order of time: all of them, or the tail of a long series.
        base: position before the first of them.
        archived_until: open time of the newest bar that the archive gave; what the exchange says of older ones changes
            nothing, as silver believes the archive.
        decided_until: open time of the newest bar on record.
        skipped: bars before it that came too late to be on record yet.
        head: where the record ends.
        waiting: the bar that is over and has no successor yet.
        read_at: when it is read next, by the server's clock (microseconds); attempts: how often in vain since.
    """

    settings: Settings
    strategy: Strategy
    compute: Compute
    days: RecentDays
    bars: pl.DataFrame
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
        """The series as silver has it, which must be up to date.

        Args:
            head: where its record ends; None where there is none: then it begins with the newest bar.

        Raises:
            MissingTable: silver has no bar of it.
        """
        dataset = settings.dataset
        read, rows = silver_reader(settings, lake)
        compute = _computed(settings, strategy)
        if rows <= WHOLE_BARS:
            bars, base = read(0, rows), 0
        else:
            lead = proven_lead(read, rows, compute, strategy.columns)
            begin = max(0, rows - 2 * lead)
            bars, base = (
                read(begin, rows),
                position_before(read, begin, compute, strategy, settings.signals.start, lead),
            )
        if head is None or head.datetime is None:
            head = Head.before_first(read(0, rows - 1)) if head is None else head
            decided_until = bars["datetime"][-2] if bars.height > 1 else datetime.min
        else:
            decided_until = head.datetime
        archived = [last for key, (_, last) in covered(dataset, lake).items() if f"/{RECENT}/" not in key]
        made = cls(
            settings, strategy, compute, RecentDays(dataset, lake), bars, base,
            archived_until=instant(max(archived, default=0)), decided_until=decided_until, head=head,
        )  # fmt: skip
        if bars.height > 1:
            known = made.judged(bars["datetime"][0]).filter(pl.col("datetime") <= decided_until)
            made.held.add(known)
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

    def reads_from(self) -> int:
        """Open time (microseconds) from which the exchange is read: some bars again, and from a recent hole on."""
        times = self.bars["datetime"].tail(RECHECKED).to_physical()
        return min(int(times[-min(OVERLAP, len(times))]), before_hole(times, self.dataset.interval_seconds * 1_000_000))

    # --- bars -------------------------------------------------------------------------------------------------------

    def unseen(self, closed: Sequence[Bar]) -> list[Bar]:
        """Those of the bars that this process has not taken in just like this."""
        new = [bar for bar in closed if self._seen.get(bar.open_time) != bar]
        self._seen.update({bar.open_time: bar for bar in new})
        for time in sorted(self._seen)[: -2 * RECHECKED]:
            del self._seen[time]
        return new

    def take(self, rows: pl.DataFrame, server_time: int) -> bool:
        """Take closed bars in (`schemas.BRONZE`, in order of time); says whether anything is new or different."""
        taken = self.days.take(rows, server_time)
        differs = self.replace(_as_bars(taken.rows).filter(pl.col("datetime") > self.archived_until))
        return differs or taken.new > 0

    def replace(self, rows: pl.DataFrame) -> bool:
        """Put these bars in place of what is in memory; says whether that differed. Older than all of it is ignored."""
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
        """Keep what was decided before bars change that were decided on; see `decisions`."""
        self._judged = None
        first: datetime = late["datetime"].min()  # type: ignore[assignment]
        there = set(self.bars["datetime"].to_list())
        self.skipped |= {at for at in late["datetime"] if at not in there and at < self.decided_until}
        before = self.judged(first).filter(pl.col("datetime") <= self.decided_until)
        for at, *values in before.select(_SAID).iter_rows():
            self.revised.setdefault(at, tuple(values))

    def compare(self, recorded: pl.DataFrame) -> None:
        """Note which of the newest bars are not on record, and which are there with other values.

        Args:
            recorded: the newest rows of its record, sorted by sequence.
        """
        first = max(self.bars["datetime"].tail(RECHECKED)[0], recorded["datetime"].min())
        last = recorded.group_by("datetime").last().filter(pl.col("datetime") >= first).sort("datetime")
        there = self.bars.filter(pl.col("datetime").is_between(first, self.decided_until))
        self.skipped = set(there["datetime"]) - set(last["datetime"])
        changed = last.join(there, on=_BAR, how="anti", nulls_equal=True)["datetime"].min()
        if changed is not None:  # what was decided on later bars may be different, too
            for at, *values in last.filter(pl.col("datetime") >= changed).select(_SAID).iter_rows():
                self.revised[at] = tuple(values)

    # --- decisions --------------------------------------------------------------------------------------------------

    def judged(self, since: datetime) -> pl.DataFrame:
        """The bars from `since` on, with the strategy's columns, conditions, signals and position."""
        table = self.compute(self.bars)
        times = table["datetime"]
        start = self.settings.signals.start
        begin = int(times.search_sorted(start)) if start else 0
        position = 0 if start and start > times[0] else self.base
        first = max(begin, int(times.search_sorted(since)))
        known = self._judged
        if known and known[0] < since and first and times[first - 1] == known[0]:
            begin, position = first, known[1]
        context = min(begin, max(1, self.strategy.look_back))
        made = signals(table.slice(begin - context), self.strategy, context, position)
        return made.filter(pl.col("datetime") >= since)

    def decisions(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What is not on record yet: decisions, and revisions of what was decided on bars that changed since.

        Columns as `judged`, and `symbol`.
        """
        since = min([*self.revised, *self.skipped, self.decided_until + timedelta(microseconds=1)])
        if since > self.newest:
            empty = self.bars.clear()
            return empty, empty
        made = self.judged(since).with_columns(symbol=pl.lit(self.dataset.symbol))
        is_new = (pl.col("datetime") > self.decided_until) | pl.col("datetime").is_in(list(self.skipped))
        said = {
            at: values for at, values in self.revised.items() if at <= self.decided_until and at not in self.skipped
        }
        changed = [at for at, *values in made.select(_SAID).iter_rows() if at in said and said[at] != tuple(values)]
        return made.filter(is_new), made.filter(pl.col("datetime").is_in(changed))

    def recorded(self, head: Head, made: pl.DataFrame) -> None:
        """These decisions are on record now, and its end is `head`."""
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
        """Take over what silver says of the newest bars: the archive may have come to say something else."""
        read, rows = silver_reader(self.settings, lake)
        self.replace(read(max(0, rows - BELIEVED_BARS), rows))
        archived = [last for key, (_, last) in covered(self.dataset, lake).items() if f"/{RECENT}/" not in key]
        self.archived_until = instant(max(archived, default=0))

    def _rows(self, begin: int, end: int) -> pl.DataFrame:
        return self.bars.slice(begin, end - begin)

    def trim(self) -> None:
        """Drop bars that no column needs any more, where the series is long."""
        if self.base == 0 and self.bars.height <= WHOLE_BARS:
            return
        lead = proven_lead(self._rows, self.bars.height, self.compute, self.strategy.columns)
        drop = self.bars.height - 2 * lead
        if drop > LEAD:
            judged = self.judged(self.bars["datetime"][0])
            self.base = int(judged["position"][drop - 1])
            self.bars = self.bars.slice(drop).rechunk()


def silver_reader(settings: Settings, lake: Lake) -> tuple[Read, int]:
    """A function that reads bars of silver by row, adjusted for known splits, and how many there are.

    Raises:
        MissingTable: there is none.
    """
    dataset = settings.dataset
    files = lake.silver.files(dataset.silver_folder)
    if not files:
        raise MissingTable(f"silver has no rows of {dataset}", "run `hermes refine` first")
    bars = lake.silver.scan(files, schema=silver_schema(dataset.market)).select(_BAR)
    plan = adjusted(bars, settings.quality.of(dataset.symbol))
    rows = sum(about["rows"] for about in lake.silver.footers(files, "rows"))

    def read(begin: int, end: int) -> pl.DataFrame:
        with lake.silver.errors():
            return plan.slice(begin, end - begin).collect(engine="streaming")

    return read, rows


def position_before(
    read: Read, end: int, compute: Compute, strategy: Strategy, start: datetime | None, lead: int
) -> int:
    """The position before row `end`: that of the last turn before it, looked for block by block, backwards."""
    until = end
    while until > 0:
        begin = max(0, until - WHOLE_BARS)
        before = min(begin, lead)
        bars = compute(read(begin - before, until))
        judged = signals(bars, strategy, before, 0)
        turns = judged.filter(pl.col("buy_signal") != pl.col("sell_signal"))
        if start:
            turns = turns.filter(pl.col("datetime") >= start)
        if turns.height:
            return int(turns["buy_signal"][-1])
        until = begin
    return 0


def _computed(settings: Settings, strategy: Strategy) -> Compute:
    """Gives bars the strategy's columns."""
    families = known_indicators(settings.features.indicators).families

    def compute(bars: pl.DataFrame) -> pl.DataFrame:
        return with_indicators(bars.lazy(), strategy.columns, settings.dataset.interval, families).collect()

    return compute


def later(at: datetime, interval: str, bars: int) -> datetime:
    """The instant so many bars after an open time; months are the calendar's."""
    if interval == "1mo":
        month = at.year * 12 + at.month - 1 + bars
        return at.replace(year=month // 12, month=month % 12 + 1)
    return at + timedelta(seconds=INTERVAL_SECONDS[interval] * bars)


def to_microseconds(at: datetime) -> int:
    """Naive UTC as microseconds since 1970."""
    return (at - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _as_bars(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of bronze as bars in memory."""
    time = in_microseconds(pl.col("open_time")).cast(BARS["datetime"]).alias("datetime")
    return rows.select(time, *(name for name in _BAR if name != "datetime"))
