"""Compacts past days of the record into one file each, while the service keeps running."""

import logging
from datetime import date
from threading import Thread

from hermes.dataset import decisions_table
from hermes.lake.store import Lake
from hermes.live.engine import Engine
from hermes.logs import event
from hermes.record.table import DecisionsTable
from hermes.redaction import as_hermes_error


class DayMerger:
    """Merges the days before the current one, once a day, in a separate thread.

    It may be killed at any point, and run beside others: see `DecisionsTable.merge`.
    """

    def __init__(self) -> None:
        self._day: date | None = None
        self._thread: Thread | None = None

    def on(self, engine: Engine, day: date, *, wait: bool = False) -> None:
        """Merge the days before `day` (UTC, server's clock), unless done already; with `wait`, block until done."""
        busy = self._thread is not None and self._thread.is_alive()
        if day != self._day and not busy:
            self._day = day
            self._thread = Thread(target=_merge, args=(engine, day), daemon=True, name="hermes-merge")
            self._thread.start()
        if wait and self._thread:
            self._thread.join()


def _merge(engine: Engine, day: date) -> None:
    settings = engine.series[0].settings
    strategy, dataset = engine.strategy.name, settings.dataset
    try:
        # A separate lake object, independent of what the loop stages meanwhile.
        made = DecisionsTable(Lake.open(settings), strategy, dataset.market, dataset.interval).merge(day)
    except BaseException as error:  # a panic of Polars, too; the next day it is tried again, and nothing is lost
        event("merge", level=logging.WARNING, message=f"{as_hermes_error(error)}")
        return
    if made:
        event("merge", table=decisions_table(strategy, dataset.market, dataset.interval), days=len(made))
