"""Monitoring of a live process: notices of its signals, and metrics in the metrics file.

Everything here runs in a separate thread, after the decisions are on record, so that a slow receiver delays
no close; errors become warnings.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any, TypeVar

from hermes.dataset import expanded
from hermes.errors import HermesError
from hermes.lake.store import Lake
from hermes.live.engine import Engine, Round
from hermes.live.times import to_microseconds
from hermes.logs import event
from hermes.monitoring.notices import is_signal, tell_decisions
from hermes.monitoring.outbox import Outbox, Receiver
from hermes.monitoring.receivers import find_receivers
from hermes.redaction import as_hermes_error
from hermes.settings import Settings
from hermes.text import counted

Labels = tuple[str, ...]
_Given = TypeVar("_Given")
RETRY_S = 60.0  # after which notices that nobody took are sent again
DELIVERY_S = 20.0  # deadline of sending what waits


@dataclass(frozen=True, slots=True)
class _Work:
    made: Round | None
    figures: Mapping[Labels, Mapping[str, float]]


class Watcher:
    """Sends notices of decisions, and writes metrics; `close` waits shortly for pending work.

    Args:
        tasks: settings of the datasets, by symbol.
    """

    def __init__(self, tasks: Mapping[str, Settings], lake: Lake, strategy: str) -> None:
        self._tasks, self._lake, self._strategy = tasks, lake, strategy
        first = next(iter(tasks.values()))
        self._receivers: list[Receiver] = find_receivers(first.notify) if "signal" in first.notify.on else []
        self._metrics = expanded(first.upkeep.metrics_file) if first.upkeep.metrics_file else None
        self._work: SimpleQueue[_Work] = SimpleQueue()
        self._waiting: set[str] = set()  # symbols with notices that may not have been taken yet
        self._failed: dict[Labels, int] = {}
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True, name="hermes-watcher")
        if self._receivers or self._metrics:
            self._thread.start()

    def decided(self, engine: Engine, made: Round) -> None:
        """Queue the decisions of a round, and their metrics."""
        if self._thread.ident is not None:
            self._work.put(_Work(made, self._figures(engine, made) if self._metrics else {}))

    def beat(self, engine: Engine) -> None:
        """Note a heartbeat."""
        if self._metrics:
            self._work.put(_Work(None, self._figures(engine, None)))

    def close(self, seconds: float = 0.3) -> None:
        """Stop the thread, within this time."""
        self._stop.set()
        self._work.put(_Work(None, {}))
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _figures(self, engine: Engine, made: Round | None) -> dict[Labels, dict[str, float]]:
        found: dict[Labels, dict[str, float]] = {}
        for series in engine.series:
            dataset = series.dataset
            figures = {
                "hermes_live_heartbeat_timestamp_seconds": engine.exchange.clock.time(),
                "hermes_live_last_bar_open_timestamp_seconds": to_microseconds(series.newest) / 1e6,
                "hermes_live_clock_skew_seconds": engine.reader.skew_s,
            }
            if made is not None:
                closed = series.next_close - timedelta(seconds=dataset.interval_seconds)
                figures["hermes_live_decision_delay_seconds"] = max(0.0, (made.server_time - closed).total_seconds())
            labels = (dataset.provider, dataset.market, dataset.symbol, dataset.interval, engine.strategy.name)
            found[labels] = figures
        return found

    def _run(self) -> None:
        tried = monotonic()
        while not self._stop.is_set():
            try:
                work = self._work.get(timeout=RETRY_S)
            except Empty:
                work = _Work(None, {})
            for step in (self._tell, self._write):
                self._surely(step, work)
            if self._waiting and monotonic() - tried > RETRY_S:
                tried = monotonic()
                for symbol in list(self._waiting):
                    self._surely(self._deliver, symbol)

    def _surely(self, step: Callable[[_Given], None], given: _Given) -> None:
        """Run one step; an error becomes a warning, and the thread continues."""
        try:
            step(given)
        except BaseException as error:  # a panic of Polars is no Exception
            event("upkeep", level=logging.WARNING, message=f"{as_hermes_error(error)}")

    def _tell(self, work: _Work) -> None:
        if work.made is None or not self._receivers:
            return
        rows = work.made.decided
        for symbol in rows.filter(is_signal(rows.columns))["symbol"].unique(maintain_order=True):
            dataset = self._tasks[symbol].dataset
            outbox = Outbox(self._lake, dataset.signals_table(self._strategy))
            part = rows.filter(rows["symbol"] == symbol)
            location = self._lake.gold.locate(work.made.key)

            def put(notice: Mapping[str, Any], outbox: Outbox = outbox) -> None:
                outbox.put(notice, self._receivers)

            tell_decisions(self._lake, dataset, part, location, put)
            self._deliver(symbol)

    def _deliver(self, symbol: str) -> None:
        outbox = Outbox(self._lake, self._tasks[symbol].dataset.signals_table(self._strategy))
        self._waiting.add(symbol)  # until it is known that nothing waits: what fails is tried again
        try:
            done = outbox.deliver(self._receivers, DELIVERY_S)
        except HermesError as error:
            event("upkeep", level=logging.WARNING, message=f"{symbol}: {error}")
            return
        if not done.waiting:
            self._waiting.discard(symbol)
        for problem in done.problems:
            message = f"{symbol}: {problem} ({counted(done.waiting, 'notice')} queued)"
            event("upkeep", level=logging.WARNING, message=message, dataset=symbol)
            labels = self._labels(symbol)
            self._failed[labels] = self._failed.get(labels, 0) + 1

    def _labels(self, symbol: str) -> Labels:
        dataset = self._tasks[symbol].dataset
        return (dataset.provider, dataset.market, dataset.symbol, dataset.interval, self._strategy)

    def _write(self, work: _Work) -> None:
        if self._metrics is None or not work.figures:
            return
        from hermes.monitoring.metrics_file import update_all  # noqa: PLC0415 - few have a metrics file

        failed, self._failed = self._failed, {}
        update_all(self._metrics, work.figures, failed)
