"""The status files of a live process: its heartbeat, and one small file for each dataset."""

import json
import os
import socket
import uuid
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path

import polars as pl

from hermes.dataset import RECENT
from hermes.errors import HermesError
from hermes.lake.store import Layer
from hermes.live.engine import Engine
from hermes.live.series import Series
from hermes.live.status import FOLDER, SERVICES, described, forget_services, utc
from hermes.live.times import instant
from hermes.record.accounts import PaperAccounts
from hermes.record.ledger import chain_of
from hermes.steps.account import account_of

MOST_BYTES = 32_000_000  # of a record that is read at once; a longer one day by day, between closes


class Heartbeat:
    """The heartbeat of a live process, a small file in gold, with the offset of its clock."""

    def __init__(self) -> None:
        self.key = f"{SERVICES}/{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}.json"
        self._started: datetime | None = None

    def write(self, engine: Engine, *, ended: bool = False) -> None:
        """Publish the heartbeat; the first call also removes those of processes that ended long ago.

        Raises:
            StoreError: gold cannot be written.
        """
        now = instant(engine.server_now())
        if self._started is None:
            forget_services(engine.lake, now)
            self._started = now
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
    """The status files of one process, with the positions of its paper accounts."""

    def __init__(self) -> None:
        self._accounts: PaperAccounts | None = None  # until the first row

    def decided(self, rows: pl.DataFrame) -> None:
        """Note that these rows are on record."""
        if self._accounts:
            self._accounts.add(rows)

    def follow(self, engine: Engine) -> bool:
        """Let the paper accounts read one more day of a long record; returns whether there was one.

        Raises:
            HermesError: it cannot be read.
        """
        if self._accounts is None or not self._accounts.behind:
            return False
        self._accounts.catch_up()
        if not self._accounts.behind:
            for series in engine.series:
                series.told_until = None
            self.publish(engine)
        return True

    def publish(self, engine: Engine) -> None:
        """Publish the status of every dataset that has changed, all together.

        Raises:
            StoreError: gold cannot be written.
        """
        changed = [series for series in engine.series if series.told_until != series.decided_until]
        if not changed:
            return
        now, gold = instant(engine.server_now()), engine.lake.gold
        self._accounts = self._accounts or _accounts(engine)
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
            account_position=self._accounts.position(chain_of(series.dataset, engine.strategy.name))
            if self._accounts
            else None,
        )  # fmt: skip
        path = stack.enter_context(gold.staged(".json"))
        path.write_text(json.dumps(told))
        return path


def _accounts(engine: Engine) -> PaperAccounts:
    """The paper accounts of an engine's datasets; short records are read at once."""
    name = engine.strategy.name
    terms = {chain_of(each.dataset, name): account_of(each.settings) for each in engine.series}
    accounts = PaperAccounts(engine.table, terms)
    if engine.table.size <= MOST_BYTES:
        with suppress(HermesError):  # then it is read later
            while accounts.behind:
                accounts.catch_up()
    return accounts
