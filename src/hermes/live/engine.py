"""Reads closed bars of many datasets, decides on them, and publishes bars and decisions; `loop` says when."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Self, TypeGuard

import polars as pl

from hermes.errors import HermesError, NotServed
from hermes.lake.store import Lake
from hermes.live.days import Day, publish_days, to_rows
from hermes.live.exchange import Exchange
from hermes.live.finality import Bar, judge
from hermes.live.patience import patiently
from hermes.live.preconditions import check_decidable
from hermes.live.reader import READERS, Read, Reader
from hermes.live.recent import RECHECKED, top_up
from hermes.live.series import Series, as_bars
from hermes.live.times import instant
from hermes.logs import event
from hermes.progress import SILENT, Progress
from hermes.record import ledger
from hermes.record.ledger import Chain
from hermes.record.table import DecisionsTable
from hermes.redaction import as_hermes_error
from hermes.settings import Settings
from hermes.steps.refine import refine
from hermes.strategies import find_strategy
from hermes.strategies.base import Strategy

PUBLISHED_AT_ONCE = 100  # datasets that are locked at the same time: each lock is an open file


@dataclass(frozen=True, slots=True)
class Round:
    """The decisions of one round.

    Attributes:
        server_time: of its readings (naive UTC).
        decided: sealed rows, see `record.ledger`; empty if nothing closed.
        key: the file in gold that holds them.
    """

    server_time: datetime
    decided: pl.DataFrame
    key: str


@dataclass(slots=True)
class Engine:
    """The datasets of one market, interval and strategy. `start` creates it, and takes the leases of the records.

    Attributes:
        refused: datasets left out at the start, and why.
        newest_change: series (by `id`) whose bars changed since it was last cleared.
    """

    lake: Lake
    reader: Reader
    strategy: Strategy
    series: list[Series]
    table: DecisionsTable
    late_seconds: float
    refused: dict[str, HermesError] = field(default_factory=dict)
    newest_change: set[int] = field(default_factory=set)
    _failures: dict[int, int] = field(default_factory=dict)

    # --- start ------------------------------------------------------------------------------------------------------

    @classmethod
    def start(
        cls,
        tasks: Sequence[Settings],
        lake: Lake,
        exchange: Exchange,
        stack: ExitStack,
        progress: Progress = SILENT,
    ) -> Self:
        """Catch up: bring bronze and silver up to date, load what is needed, take the leases, read where records end.

        Args:
            tasks: one for each dataset; they differ in the symbol alone.
            stack: the engine's leases are held until the caller leaves it.

        Raises:
            DatasetLocked: another process decides on one of the datasets.
            HermesError: no dataset is left; of several, those that fail are left out, see `refused`.
        """
        first = tasks[0]
        found = find_strategy(first.signals.strategy)
        strategy = found.make(first.strategy.get(found.kind.name, {}))
        check_decidable(first, lake, strategy)
        chains = {ledger.chain_of(task.dataset, strategy.name): task for task in tasks}
        dataset = first.dataset
        table = DecisionsTable(lake, strategy.name, dataset.market, dataset.interval)
        table = stack.enter_context(table.held(chains, "live"))
        engine = cls(lake, Reader(exchange), strategy, [], table, first.record.late_seconds)
        engine.reader.measure_time()
        heads = table.heads(chains)
        with progress.task(f"catch up, {strategy.name}", len(tasks), "datasets") as advance:
            alone = len(chains) == 1

            def read_up(task: Settings) -> None:
                patiently(lambda: top_up(task, lake, exchange=exchange), task.dataset, exchange, alone=alone)

            for task, error in engine._each(read_up, list(chains.values()), READERS):
                chain = ledger.chain_of(task.dataset, strategy.name)
                try:
                    if error:
                        raise error
                    patiently(partial(refine, task, lake), task.dataset, exchange, alone=alone)
                    engine.series.append(Series.load(task, strategy, lake, heads.get(chain)))
                except (NotServed, InterruptedError):
                    raise
                except HermesError as refused:
                    if len(tasks) == 1:
                        raise
                    engine.refused[task.dataset.symbol] = refused
                advance(1, str(task.dataset))
        if not engine.series:
            raise next(iter(engine.refused.values()))
        engine.series.sort(key=lambda series: series.dataset.symbol)
        engine._compare_record(table)
        return engine

    def _each(
        self, work: Callable[[Settings], None], tasks: Sequence[Settings], workers: int
    ) -> "Sequence[tuple[Settings, HermesError | None]]":
        """Run `work` for each task, several at once; returns results or errors in order."""
        done: SimpleQueue[tuple[int, BaseException | None]] = SimpleQueue()
        waiting: SimpleQueue[int] = SimpleQueue()
        for number in range(len(tasks)):
            waiting.put(number)

        def run() -> None:
            while True:
                try:
                    number = waiting.get_nowait()
                except Empty:
                    return
                try:
                    work(tasks[number])
                    done.put((number, None))
                except BaseException as error:  # a panic of Polars is no Exception; it must not be waited for forever
                    done.put((number, error))

        for _ in range(min(workers, len(tasks))):
            Thread(target=run, daemon=True, name="hermes-catch-up").start()
        errors: dict[int, HermesError | None] = {}
        for _ in tasks:
            number, error = done.get()
            if _ends_everything(error):
                raise error
            errors[number] = as_hermes_error(error) if error else None
        return [(task, errors[number]) for number, task in enumerate(tasks)]

    def _compare_record(self, table: DecisionsTable) -> None:
        """Find bars before the newest decision that arrived or changed while nothing was running."""
        since = min(series.bars["datetime"].tail(RECHECKED)[0] for series in self.series)
        rows = table.read(since=since.date())
        if rows.is_empty():
            return
        parts = rows.sort("sequence").partition_by("symbol", as_dict=True)
        for series in self.series:
            if (recorded := parts.get((series.dataset.symbol,))) is not None:
                series.compare(recorded)

    @property
    def exchange(self) -> Exchange:
        """The exchange."""
        return self.reader.exchange

    def server_now(self) -> int:
        """An estimate of the server's time (microseconds); see `Reader.server_now`."""
        return self.reader.server_now()

    # --- one close --------------------------------------------------------------------------------------------------

    def decide(self, reads: Sequence[Read]) -> Round:
        """Process answers: decide on closed bars, and publish the decisions of all datasets in one file.

        Closed bars wait in memory for `publish_bars`, so that decisions need not: if they are lost, the next start
        reads them again, and compares them with the record.

        Raises:
            StoreError: the lake cannot be written. The next round decides on these bars.
        """
        closed = []
        for each in reads:
            series = each.series
            if each.reading is None:
                self._failed(each)
                continue
            self._failures.pop(id(series), None)
            settle = round(series.settings.live.settle_seconds * 1_000_000)
            judged = judge(each.reading, series.waiting, settle=settle)
            series.waiting = judged.waiting
            if new := series.unseen(judged.closed):
                closed.append((series, new, each.reading.server_time))
        self._take(closed)
        decided, key = self._publish_decisions()
        return Round(instant(self.reader.server_time), decided, key)

    def _take(self, closed: "Sequence[tuple[Series, list[Bar], int]]") -> None:
        """Add bars, all parsed at once: parsing a hundred small texts takes a hundred times as long as one."""
        if not closed:
            return
        rows, begin = to_rows([bar for _, new, _ in closed for bar in new], "the bars of this close"), 0
        bars = as_bars(rows)
        for series, new, server_time in closed:
            if series.take(rows.slice(begin, len(new)), bars.slice(begin, len(new)), server_time):
                self.newest_change.add(id(series))
            begin += len(new)

    def _failed(self, read: Read) -> None:
        """Note that a dataset could not be read; permanent errors are raised."""
        error = read.error
        assert error is not None
        if isinstance(error, NotServed) or _ends_everything(error):
            raise error
        self._failures[id(read.series)] = self._failures.get(id(read.series), 0) + 1
        known = as_hermes_error(error)
        level = logging.WARNING if self._failures[id(read.series)] == 1 else logging.INFO
        message = f"{read.series.dataset}: {known.message}"
        event("reading", level=level, message=message, dataset=str(read.series.dataset), cure=known.cure)

    def publish_bars(self) -> None:
        """Publish recent days that changed; if another process holds the dataset's lock, they wait for the next round.

        Raises:
            StoreError: the lake cannot be written.
        """
        pending = [(series, days) for series in self.series if (days := series.days.pending())]
        for begin in range(0, len(pending), PUBLISHED_AT_ONCE):
            batch = pending[begin : begin + PUBLISHED_AT_ONCE]
            with self.lake.locked_each([series.dataset for series, _ in batch], "live") as (lake, held):
                taken = [(series, days) for series, days in batch if series.dataset in held]
                all_days: list[Day] = [day for _, days in taken for day in days]
                publish_days(lake, all_days, self.exchange.source)
            for series, days in taken:
                series.days.published(days)

    def _publish_decisions(self) -> tuple[pl.DataFrame, str]:
        """Decide on bars that are not on record yet, and append the decisions to the record of each dataset."""
        parts: dict[ledger.Kind, list[pl.DataFrame]] = {"decision": [], "revision": []}
        made = []
        for series in self.series:
            if (since := series.due) is None:
                continue
            new, revised = series.decisions(since)
            if new.height or revised.height:
                made.append((series, new))
                parts["decision"].append(new)
                parts["revision"].append(revised)
        if not made:
            return pl.DataFrame(), ""
        decided_at = datetime.fromtimestamp(self.exchange.clock.time(), UTC).replace(tzinfo=None)
        rows = [
            ledger.decisions(
                pl.concat(frames),
                self.series[0].dataset,
                self.strategy,
                decided_at=decided_at,
                server_time=instant(self.reader.server_time),
                late_seconds=self.late_seconds,
                kind=kind,
            )
            for kind, frames in parts.items()
            if sum(frame.height for frame in frames if frame.height)
        ]
        ordered = pl.concat(rows).sort("symbol", "datetime", maintain_order=True)
        appended = self.table.append(ordered, {self._chain(series): series.head for series, _ in made})
        for series, new in made:
            series.recorded(appended.heads[self._chain(series)], new)
        return appended.rows, appended.key

    def _chain(self, series: Series) -> Chain:
        return ledger.chain_of(series.dataset, self.strategy.name)


def _ends_everything(error: BaseException | None) -> TypeGuard[BaseException]:
    """Whether an error concerns the whole service, so that it is no reason to leave out a dataset."""
    return isinstance(error, InterruptedError) or not isinstance(error, Exception | None)
