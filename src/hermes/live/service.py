"""What a live process publishes of itself and of what holds: its heartbeat, and one small file for each dataset."""

import json
import os
import socket
import uuid
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import polars as pl

from hermes.dataset import RECENT
from hermes.lake.store import Layer
from hermes.live.engine import Engine
from hermes.live.series import Series
from hermes.live.status import FOLDER, SERVICES, described, records, utc
from hermes.live.times import instant
from hermes.record.paper import paper_position
from hermes.steps.account import account_of

MOST_DATASETS = 20  # whose records are kept in memory, to know what the paper account holds
MOST_BYTES = 8_000_000  # of these records


class Heartbeat:
    """One small file in gold that says that a live process is alive, and how far its clock is off."""

    def __init__(self) -> None:
        self.key = f"{SERVICES}/{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}.json"
        self._started: datetime | None = None

    def write(self, engine: Engine, *, ended: bool = False) -> None:
        """Say so now.

        Raises:
            StoreError: gold cannot be written.
        """
        now = instant(engine.server_now())
        self._started = self._started or now
        told = {
            "at": utc(now),
            "started": utc(self._started),
            "ended": ended,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "clock_skew_seconds": round(engine.reader.skew_s, 3),
            "tables": [series.dataset.signals_table(engine.strategy.name) for series in engine.series],
        }
        engine.lake.gold.write_bytes(self.key, json.dumps(told).encode())


class StatusFiles:
    """The status files of one process. Records are read once, and grow by what is decided."""

    def __init__(self) -> None:
        self._records: dict[str, pl.DataFrame] | None = None  # not read yet
        self._too_long = False

    def decided(self, rows: pl.DataFrame) -> None:
        """These rows are on record now."""
        if self._records is None or self._too_long:
            return
        for (symbol,), part in rows.group_by("symbol"):
            before = self._records.get(str(symbol))
            self._records[str(symbol)] = part if before is None else pl.concat([before, part], how="diagonal_relaxed")

    def publish(self, engine: Engine) -> None:
        """Publish what holds now of every dataset where that has changed, all together.

        Raises:
            StoreError: gold cannot be written.
        """
        changed = [series for series in engine.series if series.told_until != series.decided_until]
        if not changed:
            return
        now, gold = instant(engine.server_now()), engine.lake.gold
        with ExitStack() as stack:
            stack.enter_context(gold.keeping_staging())
            staged = {}
            for series in changed:
                key = f"{FOLDER}/{series.dataset.signals_table(engine.strategy.name)}.json"
                staged[key] = self._staged(series, engine, now, gold, stack)
            gold.replace_all(staged, in_order=False)
        for series in changed:
            series.told_until = series.decided_until

    def _staged(self, series: Series, engine: Engine, now: datetime, gold: Layer, stack: ExitStack) -> Path:
        told = described(
            series.dataset, engine.strategy.name, engine.strategy.parameters.model_dump(mode="json"), series.newest,
            series.held, now=now, frequencies=(RECENT,), heartbeat=now, head=series.head,
            account_position=self._on_paper(series, engine),
        )  # fmt: skip
        path = stack.enter_context(gold.staged(".json"))
        path.write_text(json.dumps(told))
        return path

    def _on_paper(self, series: Series, engine: Engine) -> int | None:
        """What the paper account holds; None where the records are too long to be kept in memory."""
        if self._records is None:
            symbols = [each.dataset.symbol for each in engine.series]
            few = len(symbols) <= MOST_DATASETS
            self._records = records(series.settings, engine.lake, symbols, MOST_BYTES) if few else {}
            self._too_long = not self._records and any(each.head.sequence >= 0 for each in engine.series)
        if sum(record.estimated_size() for record in self._records.values()) > MOST_BYTES:
            self._records, self._too_long = {}, True
        record = self._records.get(series.dataset.symbol)
        return None if record is None else paper_position(record, account_of(series.settings, fill="next_open"))
