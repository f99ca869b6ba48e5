"""START HERE: the pipeline from the exchange's archive to signals, step by step, in order.

    archive ──ingest──▶ bronze ──refine──▶ silver ──features──▶ gold features ──signals──▶ gold signals ──report──▶ page

Each step takes settings and the lake, brings its layer up to date with the one before, and can be run alone and again:
what is up to date is not written. The steps are in `hermes.steps`, the only place where the pure stages (`bronze`,
`silver`, `gold`, `signals`, `backtest`) meet storage (`lake`).
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hermes.dataset import RECENT
from hermes.errors import AuditFault
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.monitoring.watch import watched
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.steps.audit import QUICK_CUTS, Audited, audit
from hermes.steps.backtest import Backtested, backtest
from hermes.steps.features import features, features_for_signals
from hermes.steps.ingest import Ingested
from hermes.steps.ingest import ingest as ingest_archive
from hermes.steps.lineage import latest_same
from hermes.steps.refine import read_quality, refine
from hermes.steps.run import Run
from hermes.steps.signals import signals

if TYPE_CHECKING:
    from hermes.steps.report import Reported

__all__ = [
    "Audited", "Backtested", "Run", "audit", "backtest", "features", "ingest", "read_quality", "refine", "report",
    "run", "signals",
]  # fmt: skip

#: Where the pipeline can begin, in its order.
SOURCES = ("archive", "bronze", "silver", "gold")


@watched
def run(
    settings: Settings,
    lake: Lake | None = None,
    *,
    source: str = "archive",
    frequencies: Sequence[str] = (),
    since: date | None = None,
    until: date | None = None,
    audited: bool = True,
    reported: bool = True,
    fresh_after: datetime | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Run the full pipeline for one dataset, or the part of it that begins at `source`.

    Args:
        settings: from `Settings.load`.
        lake: the lake to work in; without it the one that the settings name.
        source: one of `SOURCES`; earlier steps are skipped.
        frequencies: what to ingest, see `ingest`.
        since: first day to ingest; until: last day to ingest.
        audited: whether a quick audit must pass before signals are made; reported: whether to make the page.
        fresh_after: reuse an execution that was made at this instant (with a time zone) or later from exactly the
            same inputs; without it a new one is always made.
        progress: receives progress updates.

    Raises:
        HermesError: a step failed; earlier steps stay done, nothing is half done.
    """
    lake = lake or Lake.open(settings)
    layer = SOURCES.index(source)
    ingested = refined = featured = verdict = page = None
    # 1. archive → bronze: fetch what is new, verify it, keep it unchanged.
    if layer < SOURCES.index("bronze"):
        ingested = ingest(settings, lake, frequencies=frequencies, since=since, until=until, progress=progress)
    # 2. bronze → silver: one clean series; what was rejected is kept, what is missing is measured.
    if layer < SOURCES.index("silver"):
        refined = refine(settings, lake, progress=progress)
    # 3. silver → gold features: indicators over the whole history.
    if layer < SOURCES.index("gold"):
        featured = features_for_signals(settings, lake, progress=progress)
    # Under a scheduler: reuse the execution that was made from exactly these inputs.
    standing = latest_same(settings, lake, fresh_after) if fresh_after else None
    if standing:
        if reported and not standing.report:
            page = report(settings, lake, execution=standing.execution, progress=progress)
        return Run(ingested, refined, featured, None, standing, page)
    # 4. a quick audit: what looks ahead, or differs from chunk to chunk, never becomes signals.
    if audited:
        verdict = audit(settings, lake, cuts=QUICK_CUTS, progress=progress)
        if verdict.faults:
            raise AuditFault(f"{settings.dataset}: {verdict.faults[0]}", _cure(verdict))
    # 5. gold features → gold signals: the strategy's rules, with what they earned on these very rows.
    signalled = signals(settings, lake, rules=verdict.rules if verdict else None, progress=progress)
    # 6. gold signals → page: the same figures, measured once more on the file that was published.
    if reported:
        page = report(settings, lake, execution=signalled.execution, progress=progress)
    return Run(ingested, refined, featured, verdict, signalled, page)


def _cure(verdict: "Audited") -> str:
    if verdict.checks["columns"].verdict == "fault":  # `features` goes by footers, and would find it up to date
        table = verdict.settings.dataset.features_table
        return f"correct the table, or remove {table} and run `hermes features` again; `hermes audit` shows every check"
    return "correct the strategy; `hermes audit` shows every check"


def ingest(
    settings: Settings,
    lake: Lake | None = None,
    *,
    frequencies: Sequence[str] = (),
    since: date | None = None,
    until: date | None = None,
    progress: Progress = SILENT,
) -> Ingested:
    """Bring the archive's files, the exchange's closed bars or both into bronze, only what is new or changed.

    Args:
        frequencies: `monthly` and `daily` files of the archive, `recent` bars of the exchange; without any the
            dataset's own.
        since: first day to ingest; until: last day to ingest.

    Raises:
        ArchiveError, KlinesRefused, ExchangeError, StoreError: see `steps.ingest` and `live.recent`.
    """
    lake = resolve_lake(settings, lake, "ingest")
    made = Ingested(settings, 0, 0, 0, [], 0.0)
    archived = [each for each in frequencies if each != RECENT]
    if archived or not frequencies:
        made += ingest_archive(settings, lake, frequencies=archived, since=since, until=until, progress=progress)
    if RECENT in frequencies:
        # The archive alone needs no client of the exchange.
        from hermes.live.funding import top_up_funding  # noqa: PLC0415
        from hermes.live.recent import top_up  # noqa: PLC0415

        made += top_up(settings, lake, since=since, until=until, progress=progress)
        top_up_funding(settings, lake, since=since)
    return made


def report(
    settings: Settings,
    lake: Lake | None = None,
    *,
    execution: str | None = None,
    out: Path | None = None,
    progress: Progress = SILENT,
) -> "Reported":
    """Make the page of one execution, with what is on record; see `steps.report`."""
    from hermes.record.review import on_record  # noqa: PLC0415 - other steps need not wait for it, nor for Bokeh
    from hermes.steps.report import report as make_page  # noqa: PLC0415

    lake = resolve_lake(settings, lake, "report")
    found = on_record(settings, lake)
    return make_page(settings, lake, execution=execution, record=found, out=out, progress=progress)
