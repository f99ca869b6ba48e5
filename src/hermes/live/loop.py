"""The loop of the live service: when to read, and what follows a close. The only place that waits."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

import polars as pl

from hermes.errors import (
    AlreadyPublished,
    Banned,
    ExchangeError,
    HermesError,
    LockLost,
    NotServed,
    StoreError,
)
from hermes.live.consolidation import Consolidation
from hermes.live.engine import Engine, Round
from hermes.live.merging import DayMerger
from hermes.live.reader import Read
from hermes.live.series import Series
from hermes.live.service import Heartbeat, StatusFiles
from hermes.live.times import instant, to_microseconds
from hermes.logs import event

SOON_S = 0.02  # after a close, before the first reading: what this machine knows of the server's time is not exact
FIRST_PAUSE_S, GROWTH = 0.02, 1.4  # between readings that found nothing new
FAILURE_PAUSE_S = 0.05  # grows likewise, after the exchange could not be asked
LOOK_S = 0.2  # how long answers are waited for before the clock is looked at again
COMPLETE_S = 1.0  # after decisions, until bars and status follow even if other datasets are still being read
STORE_PAUSE_S = 5.0  # after the lake could not be written
_SECOND = 1_000_000


def growing(first: float, times: int, longest: float) -> float:
    """The next wait of an exponential backoff in seconds: from `first` up to `longest`."""
    return min(longest, first * GROWTH ** min(times, 99))


class Listener:
    """Receives events of the loop; this one ignores them."""

    def started(self, engine: Engine) -> None:
        """All datasets are up to date, and the wait for closes begins."""

    def decided(self, engine: Engine, made: Round) -> None:
        """The decisions on a close were published."""

    def beat(self, engine: Engine, next_close: datetime) -> None:
        """Nothing to do until the next close, or for `poll_seconds`."""

    def trouble(self, error: HermesError) -> None:
        """An error occurred, and the work will be retried."""

    def close(self) -> None:
        """The loop has ended."""


@dataclass(slots=True)
class Loop:
    """Waits for closes, and lets the engine decide on them, until it is stopped.

    Args:
        stop: ends it; wake: ends a sleep.
    """

    engine: Engine
    listener: Listener = field(default_factory=Listener)
    stop: Event = field(default_factory=Event)
    wake: Event = field(default_factory=Event)
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    _status: StatusFiles = field(default_factory=StatusFiles)
    _merger: DayMerger = field(default_factory=DayMerger)
    _tables: Consolidation = field(init=False)
    _failures: int = 0
    _retry_at: int = 0  # server's clock: when to publish again what the lake did not take
    _decided: list[pl.DataFrame] = field(default_factory=list)  # on record, and not told in the status yet
    _incomplete_since: float | None = None  # when something was decided on whose bars were not published yet

    def __post_init__(self) -> None:
        self._tables = Consolidation(self.engine, self.listener.trouble, self.wake)

    def once(self) -> None:
        """Decide on everything that has closed, bring the tables up to date, and return."""
        self._publish()
        for series in self.engine.series:
            if series.settings.live.consolidate != "never":
                self._tables.consolidate(series)
        self._merger.on(self.engine, instant(self.engine.server_now()).date(), wait=True)
        self._beat()

    def run(self, until: int | None = None) -> None:
        """Run until `stop` is set, or until an instant of the server's clock (microseconds).

        Raises:
            NotServed, LockLost, AlreadyPublished, DatasetLocked: errors that waiting cannot cure.
        """
        engine = self.engine
        self._publish()
        for series in engine.series:
            self._tables.mark(series)
            series.read_at = self._first_read(series)
        self.listener.started(engine)
        self._beat()
        last_beat = engine.exchange.clock.elapsed()
        while not self.stop.is_set():
            now = engine.server_now()
            if until is not None and now >= until:
                break
            self._read([series for series in engine.series if series.read_at <= now])
            if reads := engine.reader.gathered(LOOK_S):
                self._decide(reads)
                self._schedule([read.series for read in reads])
            next_read = min(series.read_at for series in engine.series)
            if self._may_complete(next_read):
                self._complete()
                continue
            if reads or engine.reader.is_reading:
                continue
            if self._retry_at and now >= self._retry_at:
                self._publish()
            poll = engine.series[0].settings.live.poll_seconds
            if next_read - now > _SECOND and (self._follow() or self._tables.consolidate_one()):
                continue
            if engine.exchange.clock.elapsed() - last_beat >= poll:
                self._measure()
                self._beat()
                last_beat = engine.exchange.clock.elapsed()
            wait = min(poll, max(0.0, (next_read - engine.server_now()) / _SECOND))
            if until is not None:
                wait = min(wait, max(0.0, (until - engine.server_now()) / _SECOND))
            engine.exchange.clock.wait(self.wake, wait)
            self.wake.clear()
        if self._incomplete_since is not None:
            self._complete()

    def woken(self, symbol: str) -> None:
        """Called by the stream: a bar of `symbol` closed, so read it now."""
        for series in self.engine.series:
            if series.dataset.symbol == symbol:
                series.read_at = 0
        self.wake.set()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _read(self, due: Sequence[Series]) -> None:
        if not due:
            return
        try:
            self.engine.reader.read(due)
            self._failures = 0
        except NotServed:
            raise
        except ExchangeError as error:
            self._failures += 1
            if self._failures == 1 or isinstance(error, Banned):
                self.listener.trouble(error)
                event("reading", level=logging.WARNING, message=error.message, cure=error.cure)
            poll = due[0].settings.live.poll_seconds
            pause = error.seconds if isinstance(error, Banned) else growing(FAILURE_PAUSE_S, self._failures, poll)
            for series in due:
                series.read_at = self.engine.server_now() + round(pause * _SECOND)

    def _first_read(self, series: Series) -> int:
        """The first read: shortly after the next close, and staggered if the budget is small for so many datasets."""
        weight = len(self.engine.series) * self.engine.exchange.api.weight(10)
        delay = SOON_S + min(1.0, 2 * weight / self.engine.exchange.budget.most)
        return to_microseconds(series.next_close) + round(delay * _SECOND)

    def _schedule(self, read: Sequence[Series]) -> None:
        """Schedule the next read of each dataset: at its next close, or soon if the bar was not listed yet."""
        engine, now = self.engine, self.engine.server_now()
        left = [series for series in read if to_microseconds(series.next_close) <= now]
        weight = len(left) * engine.exchange.api.weight(10)
        pace = 0.0 if engine.exchange.budget.left() >= 2 * weight else 60 * weight / engine.exchange.budget.most
        for series in read:
            if to_microseconds(series.next_close) > now:
                series.attempts, series.read_at = 0, self._first_read(series)
                continue
            series.attempts += 1
            first = max(FIRST_PAUSE_S, 2 * weight / engine.exchange.budget.most)
            pause = max(pace, growing(first, series.attempts - 1, series.settings.live.poll_seconds))
            series.read_at = now + round(pause * _SECOND)
            if series.waiting:  # a second reading may close it
                settled = series.waiting.since + round(series.settings.live.settle_seconds * _SECOND) + 1
                series.read_at = max(now + round(pace * _SECOND), min(series.read_at, settled))

    def _measure(self) -> None:
        try:
            self.engine.reader.measure_time()
            if self._failures:
                self._failures = 0
        except NotServed:
            raise
        except ExchangeError as error:
            self._failures += 1
            if self._failures == 1:
                self.listener.trouble(error)

    # --- what follows -----------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Decide on what was read, and publish all that follows."""
        if self._decide([]):
            self._complete()

    def _decide(self, reads: Sequence[Read]) -> bool:
        """Take answers in and publish decisions; returns whether the lake took them."""
        engine = self.engine
        try:
            made = engine.decide(reads)
        except StoreError as error:
            self._postpone(error)
            return False
        if made.decided.height:
            self.listener.decided(engine, made)
            self._decided.append(made.decided)
        if self._incomplete_since is None and (engine.newest_change or self._decided):
            self._incomplete_since = engine.exchange.clock.elapsed()
        return True

    def _may_complete(self, next_read: int) -> bool:
        """Whether bars and status can follow: when no other dataset of the same close has to wait for it, or soon."""
        if self._incomplete_since is None:
            return False
        engine = self.engine
        if engine.exchange.clock.elapsed() - self._incomplete_since >= COMPLETE_S:
            return True
        return not engine.reader.is_reading and next_read - engine.server_now() > LOOK_S * _SECOND

    def _complete(self) -> None:
        """Publish what nobody waits for: bars, then the status; and note what is to be consolidated."""
        engine = self.engine
        self._incomplete_since = None
        for rows in self._decided:
            self._status.decided(rows)
        self._decided.clear()
        try:
            engine.publish_bars()
        except StoreError as error:
            self._postpone(error)
            return
        self._retry_at = 0
        changed = [series for series in engine.series if id(series) in engine.newest_change]
        engine.newest_change.clear()
        for series in changed:
            self._tables.follow(series)
            series.trim()
        self._tell_status()
        self._merger.on(engine, instant(engine.reader.server_time).date())

    def _postpone(self, error: StoreError) -> None:
        """Say that the lake did not take something, and try again shortly; what ended a lease or a record ends it."""
        if isinstance(error, LockLost | AlreadyPublished):
            raise error
        self.listener.trouble(error)
        event("publishing", level=logging.WARNING, message=error.message, cure=error.cure)
        self._retry_at = self.engine.server_now() + round(STORE_PAUSE_S * _SECOND)

    def _follow(self) -> bool:
        """Advance the paper accounts over rows of the record they have not read; returns whether there were any."""
        try:
            return self._status.follow(self.engine)
        except HermesError as error:
            event("status", level=logging.WARNING, message=error.message, cure=error.cure)
            return False

    def end(self) -> None:
        """Publish that this process has ended."""
        with suppress(HermesError):
            self.heartbeat.write(self.engine, ended=True)

    def _tell_status(self) -> None:
        try:
            self._status.publish(self.engine)
        except (LockLost, StoreError) as error:
            event("status", level=logging.WARNING, message=error.message)

    def _beat(self) -> None:
        """Publish a heartbeat."""
        try:
            self.heartbeat.write(self.engine)
        except StoreError as error:
            event("heartbeat", level=logging.WARNING, message=error.message)
        self.listener.beat(self.engine, min(series.next_close for series in self.engine.series))
