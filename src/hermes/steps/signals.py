"""gold features → gold signals: one pass to measure, one to write, one immutable file per execution."""

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from logging import WARNING
from pathlib import Path
from time import perf_counter
from typing import IO, Any, cast

import numpy as np
import obstore
import polars as pl
from polars.exceptions import ShapeError

from hermes.errors import AuditFault, StoreError
from hermes.freshness import Freshness
from hermes.indicators.registry import known_indicators
from hermes.lake.executions import SIGNALS, next_sequence, publish
from hermes.lake.files import HashedFile
from hermes.lake.store import FORMAT, Lake, check_written, footer_of
from hermes.lineage import Lineage
from hermes.logs import event
from hermes.measures import REVISION
from hermes.progress import SILENT, Advance, Progress
from hermes.settings import Settings
from hermes.stages.signals.generate import Decisions, write_signals
from hermes.stages.signals.plan import constants
from hermes.steps.indicators import own_sources
from hermes.steps.lineage import kept_verdict, written_rules
from hermes.steps.measure import Measured, MeasuredRows, Tally, measure
from hermes.steps.production import find_execution, identity, why_not_production
from hermes.steps.results import published_rows
from hermes.steps.selection import Selection, select
from hermes.steps.step import step
from hermes.steps.warnings import freshness_of, warnings
from hermes.strategies.columns import decided_columns, input_schema, output_schema
from hermes.text import counted
from hermes.version import __version__


@dataclass(frozen=True, slots=True, repr=False)
class Signalled(MeasuredRows):
    """A published execution: its rows, its address, and the measures of exactly these rows.

    Attributes:
        trial: the feature set that was read, as in the lineage; None without one.
    """

    settings: Settings
    strategy: str
    parameters: Mapping[str, Any]
    measured: Measured
    chunks: int
    path: str
    freshness: Freshness
    seconds: float
    trial: Mapping[str, Any] | None = None

    @property
    def warnings(self) -> list[str]:
        """Warnings about these signals and their measures."""
        return [*warnings(self.settings.dataset, self.metrics, self.freshness), *self.measured.remarks]

    @property
    def tally(self) -> Tally:
        """Counts of the rows that were written."""
        return self.measured.tally

    @property
    def execution(self) -> str:
        """The folder of this execution."""
        return self.path.rsplit("/", 2)[-2]

    def lazy(self) -> pl.LazyFrame:
        """The rows of this execution's file, lazily; raises MissingTable where the settings' lake has it no more."""
        return published_rows(self.settings, self.path)

    def as_json(self) -> dict[str, Any]:
        """The contract's object for one dataset."""
        return {
            "symbol": self.settings.dataset.symbol,
            "interval": self.settings.dataset.interval,
            "strategy": self.strategy,
            **self.tally.as_json(),
            "chunks": self.chunks,
            "signal_rate_pct": round(100 * (self.tally.buys + self.tally.sells) / self.tally.rows, 2),
            "path": self.path,
            "seconds": round(self.seconds, 6),
            "rows_per_second": round(self.tally.rows / self.seconds),
            "metrics": self.metrics,
            "fills": self.measured.fills,
            "freshness": self.freshness.as_json(),
            "warnings": self.warnings,
        }


@step()
def signals(
    settings: Settings, lake: Lake, *, rules: Mapping[str, str] | None = None, progress: Progress = SILENT
) -> Signalled:
    """Make and publish the signals of one dataset.

    Args:
        rules: the fingerprints of those that were audited; other rules are refused then.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `select`.
        AuditFault: the strategy gives other rules than those that were audited.
        SourceChanged: the features were replaced again and again while they were read.
    """
    started = perf_counter()
    selection = select(settings, lake)
    if rules is not None:
        _check_audited(selection, rules)
    decisions = Decisions(decided_columns(selection.strategy))
    measured = measure(selection, progress, decisions.add)
    with lake.gold.staged() as path:
        lineage = _lineage(selection, lake)
        audited = kept_verdict(selection, lake)
        lineage["audit"] = audited and audited.model_dump()
        # The redenominations that the features were adjusted for: first instant after each, new over old price.
        lineage["splits"] = lake.gold.footer(selection.table.parts[-1].file).get("splits", [])
        fresh = freshness_of(settings.dataset, lake, selection.table.parts[-1].last)
        lineage["freshness"] = fresh.as_json()
        figures = measured.fills[settings.backtest.fill]
        lineage["warnings"] = [*warnings(settings.dataset, figures, fresh), *measured.remarks]
        table = settings.dataset.signals_table(selection.strategy.name)
        lineage["sequence"] = next_sequence(lake.gold, table)
        digest = _write(selection, measured, decisions, path, lineage, progress, started)
        selection.check_unchanged()
        published = _publish(selection, lake, path, digest, lineage)
        return Signalled(
            settings=settings,
            strategy=selection.strategy.name,
            parameters=lineage["parameters"],
            measured=measured,
            chunks=selection.chunks,
            path=published,
            freshness=fresh,
            seconds=perf_counter() - started,
            trial=lineage["trial"],
        )


def _check_audited(selection: Selection, audited: Mapping[str, str]) -> None:
    """Refuse rules that differ from the audited ones: a strategy may depend on more than its parameters."""
    now = written_rules(selection)
    if other := [name for name in {**audited, **now} if audited.get(name) != now.get(name)]:
        said = f"{selection.strategy.name} gives another {other[0]!r} than the one that was audited"
        cure = "make rules of parameters alone, the same whenever they are asked for"
        raise AuditFault(f"{selection.settings.dataset}: {said}", cure)


def _write(
    selection: Selection,
    measured: Measured,
    decisions: Decisions,
    path: Path,
    lineage: dict[str, Any],
    progress: Progress,
    started: float,
) -> str:
    """The second pass: write the rows with what the first one decided and measured; `lineage` gets its last entries.

    Returns the file's SHA-256.

    Raises:
        SourceChanged: the rows were not those of the first pass.
    """
    strategy, dataset, tally = selection.strategy, selection.settings.dataset, measured.tally
    generated_at = datetime.now(UTC).isoformat()
    fills = measured.fills
    metrics = fills[selection.settings.backtest.fill]
    lineage.update(tally.as_json(), generated_at=generated_at, metrics=metrics, fills=fills)

    def footer() -> dict[str, str]:
        lineage["seconds"] = round(perf_counter() - started, 6)
        return footer_of(Lineage.footer(lineage))

    def made(advance: Advance) -> Iterator[pl.DataFrame]:
        for frame in decisions.stamped(constants(strategy, dataset.symbol, generated_at, metrics)):
            yield frame
            advance(frame.height, f"{counted(tally.buys, 'buy')}, {counted(tally.sells, 'sell')}")

    given = selection.given(list(input_schema(strategy)))
    try:
        with progress.task(f"signals {dataset}", tally.rows, "rows") as advance, HashedFile(path) as file:
            write_signals(given, made(advance), output_schema(strategy), cast("IO[bytes]", file), footer)
    except ShapeError:
        if file.failure:  # what Polars may make of a disk that is full: it stopped one side of the rows first
            raise file.failure from None
        raise selection.changed from None
    check_written([path], tally.rows)
    return file.sha256


def _publish(selection: Selection, lake: Lake, path: Path, digest: str, lineage: Mapping[str, Any]) -> str:
    """Publish as the next execution of the table; returns the address."""
    settings, strategy = selection.settings, selection.strategy.name
    at = datetime.fromisoformat(lineage["generated_at"])
    folder = publish(lake.gold, settings.dataset.signals_table(strategy), SIGNALS, path, at, digest)
    location = lake.gold.locate(f"{folder}/{SIGNALS}")
    copy = {**lineage, "path": location, "sha256": digest}
    try:
        lake.gold.write_bytes(f"{folder}/run.json", json.dumps(copy, indent=2).encode())
    except StoreError as error:  # the execution is there, whole, with its lineage in its footer: no failure
        event("copy", level=WARNING, message=f"{folder}/run.json was not written: {error}", path=location)
    try:
        passed_over = why_not_production(settings, lake, strategy, lineage)
    except StoreError as error:
        passed_over = error
    if passed_over:
        event("promotion", level=WARNING, message=str(passed_over), path=location)
    return location


def _lineage(selection: Selection, lake: Lake) -> dict[str, Any]:
    """The inputs of an execution: versions, dataset, strategy, span, account and source files."""
    settings, strategy, trial = selection.settings, selection.strategy, selection.trial
    fingerprints = lake.gold.fingerprints([part.file for part in selection.table.parts])
    fingerprints += trial.layer.fingerprints([part.file for part in trial.parts]) if trial else []
    return {
        "format": FORMAT,
        "hermes": __version__,
        "python": platform.python_version(),
        "libraries": {"polars": pl.__version__, "obstore": obstore.__version__, "numpy": np.__version__},
        "layer": "gold",
        "dataset": asdict(settings.dataset),
        "strategy": strategy.name,
        "strategy_source": selection.found.source,
        "columns": {name: str(dtype) for name, dtype in output_schema(strategy).items()},
        "derived_columns": list(selection.derived),
        "trial": trial and trial.as_json(),
        "indicators": own_sources(strategy.columns, known_indicators(settings.features.indicators)),
        **identity(settings, strategy.name, strategy.parameters.model_dump(mode="json")),
        "measures_revision": REVISION,
        "chunk_rows": settings.signals.chunk_rows,
        "context_rows": settings.signals.context_rows,
        "sources": [
            {
                "path": part.file.location,
                "size": part.file.size,
                "fingerprint": fingerprint,
                "version": part.file.version,
                "rows": part.rows,
            }
            for part, fingerprint in zip(selection.parts, fingerprints, strict=True)
        ],
    }


def read_signals(settings: Settings, lake: Lake | None = None) -> pl.LazyFrame:
    """The rows that production reads, lazily: of the newest promoted execution, else of the newest of the settings.

    Raises:
        MissingTable: there is none; says which there are.
    """
    lake = lake or Lake.open(settings)
    return lake.gold.scan([find_execution(settings, lake).file])
