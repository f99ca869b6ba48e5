"""Silver, features and a signals execution follow the decisions, dataset by dataset, between closes."""

import logging
from collections.abc import Callable
from threading import Event

from hermes.errors import DatasetLocked, HermesError
from hermes.live.engine import Engine
from hermes.live.funding import FundingReader
from hermes.live.series import Series
from hermes.live.times import later, to_microseconds
from hermes.logs import event
from hermes.steps.features import features_for_signals
from hermes.steps.refine import refine
from hermes.steps.signals import signals

LOCKED_PAUSE_S = 0.5  # where another process is at the dataset
_HOUR_US = 3_600_000_000


class Consolidation:
    """Knows which datasets' tables are behind, and brings them up to date as `[live] consolidate` says.

    Args:
        trouble: told what went wrong; the next close tries again.
        wake: ends a wait.
    """

    def __init__(self, engine: Engine, trouble: Callable[[HermesError], None], wake: Event) -> None:
        self._engine, self._trouble, self._wake = engine, trouble, wake
        self._stale: dict[int, Series] = {}
        self._hours: dict[int, int] = {}
        self._funding = FundingReader(engine.exchange)

    def mark(self, series: Series) -> None:
        """Its tables are behind."""
        if series.settings.live.consolidate != "never":
            self._stale[id(series)] = series

    def follow(self, series: Series) -> None:
        """A bar of it closed, or changed: its tables follow now, with the hour, or never."""
        when = series.settings.live.consolidate
        if when == "auto":
            when = "close" if series.dataset.interval_seconds >= 3600 else "hourly"
        if when == "hourly":
            hour = to_microseconds(later(series.newest, series.dataset.interval, 1)) // _HOUR_US
            if self._hours.setdefault(id(series), hour) == hour:
                return
            self._hours[id(series)] = hour
        self.mark(series)

    def consolidate_one(self) -> bool:
        """Bring one dataset up to date, the one that has waited longest; returns whether one was waiting."""
        if not self._stale:
            return False
        self.consolidate(self._stale.pop(next(iter(self._stale))))
        return True

    def consolidate(self, series: Series) -> None:
        """Bring one dataset's silver, features and signals up to date."""
        engine, settings = self._engine, series.settings
        try:
            with engine.lake.locked(series.dataset, "live") as lake:
                self._funding.read(settings, lake)
                refined = refine(settings, lake)
                features_for_signals(settings, lake)
                signals(settings, lake)
            if refined.written:
                series.believe_silver(engine.lake)
        except DatasetLocked:
            self._stale[id(series)] = series
            engine.exchange.clock.wait(self._wake, LOCKED_PAUSE_S)
        except HermesError as error:
            self._trouble(error)
            message = f"{series.dataset}: {error.message}"
            event("consolidate", level=logging.WARNING, message=message, dataset=str(series.dataset), cure=error.cure)
