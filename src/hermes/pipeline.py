"""START HERE: the road from the exchange's archive to signals, step by step, in order.

    archive ──ingest──▶ bronze ──refine──▶ silver ──features──▶ gold features ──signals──▶ gold signals ──report──▶ page

Each step takes settings and the lake, brings its layer up to date with the one before, and can be run alone and again:
what is up to date is not written. The steps stand in `hermes.steps`, the only place where the pure stages (`bronze`,
`silver`, `gold`, `signals`, `backtest`) meet storage (`lake`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from hermes.errors import AuditFault, MissingTable
from hermes.lake import catalog
from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.steps.audit import QUICK_CUTS, Audited, audit
from hermes.steps.backtest import Backtested, backtest
from hermes.steps.features import Featured, features
from hermes.steps.ingest import Ingested, ingest
from hermes.steps.refine import Refined, read_quality, refine
from hermes.steps.signals import Signalled, signals

if TYPE_CHECKING:
    from hermes.steps.report import Reported
from hermes.strategies import strategy_name

__all__ = [
    "Audited", "Backtested", "Run", "audit", "backtest", "features", "ingest", "read_features", "read_quality",
    "read_signals", "refine", "report", "run", "signals",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What each step of one run did."""

    ingested: Ingested
    refined: Refined
    featured: Featured
    audited: Audited
    signalled: Signalled
    reported: "Reported"

    def as_json(self) -> dict[str, Any]:
        """The contract's object for one dataset, and what the steps before wrote."""
        return {
            **self.signalled.as_json(),
            "written": {
                "bronze": self.ingested.written,
                "silver": len(self.refined.written),
                "features": len(self.featured.written),
                "executions": 1,
            },
            "report": self.reported.path,
            "audit": self.audited.as_json()["verdict"],
            "quality": self.refined.quality.model_dump(mode="json", exclude={"gaps"}),
        }


def run(
    settings: Settings,
    lake: Lake | None = None,
    *,
    frequencies: Sequence[str] = (),
    since: date | None = None,
    until: date | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Walk the whole road for one dataset.

    Args:
        settings: from `Settings.load`.
        lake: the lake to work in; without it the one that the settings name.
        frequencies: archive files to ingest, `monthly`, `daily` or both; without any the dataset's own.
        since: first day to ingest; until: last day to ingest.
        progress: told how far the work is.

    Raises:
        HermesError: whatever stops a step; the steps before it stay done, nothing is half done.
    """
    lake = lake or Lake.open(settings)
    # 1. archive → bronze: fetch what is new, verify it, keep it unchanged.
    ingested = ingest(settings, lake, frequencies=frequencies, since=since, until=until, progress=progress)
    # 2. bronze → silver: one clean series; what was rejected is kept, what is missing is measured.
    refined = refine(settings.dataset, lake, progress)
    # 3. silver → gold features: indicators over the whole history.
    featured = features(settings.dataset, lake, progress)
    # 4. a quick audit: rules that look ahead, or differ from chunk to chunk, never become signals.
    audited = audit(settings, lake, cuts=QUICK_CUTS, progress=progress)
    if audited.faults:
        raise AuditFault(f"{settings.dataset}: {audited.faults[0]}", "mend the strategy; `hermes audit` looks closer")
    # 5. gold features → gold signals: the strategy's rules, with what they earned on these very rows.
    signalled = signals(settings, lake, progress)
    # 6. gold signals → page: the same figures, measured once more on the file that was published.
    reported = report(settings, lake, signalled.execution, progress)
    return Run(ingested, refined, featured, audited, signalled, reported)


def report(settings: Settings, lake: Lake, execution: str | None = None, progress: Progress = SILENT) -> "Reported":
    """Make the page of one execution (the latest without a name); see `steps.report`, which loads Bokeh."""
    from hermes.steps.report import report as make_page  # noqa: PLC0415 - other steps need not wait for Bokeh

    return make_page(settings, lake, execution, progress)


def read_features(settings: Settings, lake: Lake | None = None) -> pl.LazyFrame:
    """The gold feature table of the settings' dataset, lazily.

    Raises:
        MissingTable: it is not there.
    """
    gold = (lake or Lake.open(settings)).gold
    files = gold.files(settings.dataset.features_table)
    if not files:
        raise MissingTable(f"gold has no table {settings.dataset.features_table}", "run `hermes features` first")
    return catalog.scan_any(gold, files).sort("datetime")


def read_signals(settings: Settings, lake: Lake | None = None) -> pl.LazyFrame:
    """The latest execution of the settings' strategy on their dataset, lazily.

    Raises:
        MissingTable: there is none.
    """
    lake = lake or Lake.open(settings)
    strategy = strategy_name(settings.signals.strategy)
    files = catalog.executions(lake, settings.dataset, strategy)
    if not files:
        table = settings.dataset.signals_table(strategy)
        raise MissingTable(f"gold has no execution in {table}", "run `hermes signals` first")
    return lake.gold.scan(files[-1:])
