"""The steps of the road for Python: settings in, a result out that knows its rows and shows itself in a notebook.

Each takes the lake that the settings name unless one is given, and a `progress` that is told how far the work is.
Everything raises `HermesError`: one line that names the value and the cure. `hermes.pipeline` has the same steps for
programs that pass datasets and lakes around.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from time import perf_counter
from typing import Any

import polars as pl

from hermes import compute, pipeline
from hermes.errors import MissingTable, UsageError
from hermes.lake.store import Lake
from hermes.pages import notebook
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.steps.audit import FULL_CUTS, Audited
from hermes.steps.backtest import Backtested
from hermes.steps.features import Featured, read_features
from hermes.steps.ingest import Ingested
from hermes.steps.refine import Refined
from hermes.steps.report import Reported
from hermes.steps.results import Rows
from hermes.steps.signals import Signalled
from hermes.strategies import strategy_name

__all__ = ["Features", "Page", "audit", "backtest", "features", "ingest", "refine", "report", "signals"]


@dataclass(frozen=True, slots=True, repr=False)
class Features(Featured, Rows):
    """The gold feature table: what was written, and its rows."""

    settings: Settings

    def lazy(self) -> pl.LazyFrame:
        """The table as it stands in the lake now, lazily."""
        return read_features(self.settings)

    def __repr__(self) -> str:
        """What was written, as text."""
        return notebook.listed(*self._said())

    def _repr_html_(self) -> str:
        """What was written, as a notebook shows it."""
        title, found, symbol = self._said()
        return notebook.card(title, notebook.facts(found), symbol=symbol)

    def _said(self) -> tuple[str, list[tuple[str, Any]], str]:
        dataset = self.settings.dataset
        wrote = f"{len(self.written)} files; {len(self.unchanged)} were up to date"
        found = [("rows", self.rows), ("wrote", wrote), ("table", self.settings.paths()["features"])]
        return f"Gold features: {dataset}", found, dataset.symbol


@dataclass(frozen=True, slots=True, repr=False)
class Page(Reported):
    """The page of one execution; a notebook shows it whole, with its charts, and asks no server for anything."""

    settings: Settings

    @property
    def html(self) -> str:
        """The page itself; raises MissingTable where it is no longer in the settings' lake."""
        table = self.settings.dataset.signals_table(strategy_name(self.settings.signals.strategy))
        content = Lake.open(self.settings).gold.read(f"{table}/{self.execution}/report.html")
        if content is None:
            raise MissingTable(f"{self.path} is not there any more", "make it again with `hermes.report`")
        return content.decode()

    def __repr__(self) -> str:
        """Where the page is."""
        found = [("page", self.path), ("trades", self.trades_path), ("bars drawn", f"{self.drawn:,} of {self.rows:,}")]
        return notebook.listed(f"Page: {self.settings.dataset}", found, self.settings.dataset.symbol)

    def _repr_html_(self) -> str:
        """The page itself, in a frame of its own."""
        return notebook.inline(self.html)


def ingest(
    settings: Settings,
    lake: Lake | None = None,
    *,
    frequencies: Sequence[str] = (),
    since: date | None = None,
    until: date | None = None,
    progress: Progress = SILENT,
) -> Ingested:
    """Bring the archive's files into bronze, only what is new or changed; see `steps.ingest.ingest`."""
    lake = _opened(settings, lake)
    return pipeline.ingest(settings, lake, frequencies=frequencies, since=since, until=until, progress=progress)


def refine(settings: Settings, lake: Lake | None = None, *, progress: Progress = SILENT) -> Refined:
    """Bring silver up to date with bronze, and measure its quality; see `steps.refine.refine`."""
    return pipeline.refine(settings.dataset, _opened(settings, lake), progress, exclude=settings.archive.exclude)


def features(settings: Settings, lake: Lake | None = None, *, progress: Progress = SILENT) -> Features:
    """Bring the gold features up to date with silver; see `steps.features.features`."""
    made = pipeline.features(settings.dataset, _opened(settings, lake), progress)
    return Features(settings=settings, **_fields(made))


def signals(settings: Settings, lake: Lake | None = None, *, progress: Progress = SILENT) -> Signalled:
    """Make and publish signals, with what they earned on exactly these rows; see `steps.signals.signals`."""
    return pipeline.signals(settings, _opened(settings, lake), progress)


def backtest(
    settings: Settings,
    lake: Lake | None = None,
    *,
    frame: pl.DataFrame | pl.LazyFrame | None = None,
    progress: Progress = SILENT,
) -> Backtested:
    """Measure the strategy on the gold features, or signals of your own, without writing anything.

    Args:
        settings: name the dataset, the strategy, the span and the account.
        lake: where the features are; without it the one that the settings name.
        frame: signals to measure instead, whoever made them: `datetime, open, close, buy_signal, sell_signal` in time
            order. No lake is touched; `signals.start` and `end` do not cut it.
        progress: told how far the work is.
    """
    if frame is None:
        return pipeline.backtest(settings, _opened(settings, lake), progress)
    started = perf_counter()
    rows = frame.lazy().collect()
    measured = compute.measure(rows, settings)
    seconds = perf_counter() - started
    return Backtested(settings, strategy_name(settings.signals.strategy), measured, seconds, given=rows)


def audit(
    settings: Settings, lake: Lake | None = None, *, cuts: int = FULL_CUTS, progress: Progress = SILENT
) -> Audited:
    """Prove continuity, absence of look-ahead and warm-up on this data; see `steps.audit.audit`."""
    return pipeline.audit(settings, _opened(settings, lake), cuts=cuts, progress=progress)


def report(
    settings: Settings, lake: Lake | None = None, execution: str | None = None, *, progress: Progress = SILENT
) -> Page:
    """Make the page of one execution, by its folder's name, or of the one that production reads; see `steps.report`."""
    made = pipeline.report(settings, _opened(settings, lake), execution, progress)
    return Page(settings=settings, **_fields(made))


def _opened(settings: Settings, lake: Lake | None) -> Lake:
    """The lake to work in; results read their rows from the settings' lake, so it must be that one."""
    named = Lake.open(settings)
    if lake is None:
        return named
    if lake.gold.address != named.gold.address:
        raise UsageError(
            f"the lake at {lake.gold.address} is not the one that the settings name, at {named.gold.address}",
            "load settings with its lake.url, or leave the lake out",
        )
    return lake


def _fields(made: Any) -> dict[str, Any]:
    return {each.name: getattr(made, each.name) for each in fields(made)}
