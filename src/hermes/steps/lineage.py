"""Reuse of executions and audit verdicts: whether their inputs are still the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from logging import WARNING
from math import ceil
from secrets import token_hex
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hermes.errors import StoreError
from hermes.freshness import Freshness
from hermes.indicators.columns import parse
from hermes.indicators.registry import known_indicators
from hermes.lake import catalog
from hermes.lake.store import Lake, fingerprint
from hermes.lineage import Lineage, source_versions
from hermes.logs import event
from hermes.measures import REVISION
from hermes.settings import Settings
from hermes.stages.audit.causality import judge
from hermes.stages.gold.timeframes import split
from hermes.steps.feature_set import set_files
from hermes.steps.indicators import own_sources
from hermes.steps.measure import measure_frame
from hermes.steps.production import identity, newest_alike
from hermes.steps.results import Rows, published_rows
from hermes.steps.selection import Selection, feature_files
from hermes.steps.warnings import freshness_of, warnings, warnings_now
from hermes.strategies import find_strategy
from hermes.strategies.base import Strategy
from hermes.strategies.columns import signal_rules
from hermes.version import __version__


@dataclass(frozen=True, slots=True)
class Unchanged(Rows):
    """An existing execution that is reused.

    Attributes:
        lineage: from its footer.
        execution: its folder's name; path: address of its signals.
        report: address of its page, None where it has none.
        freshness: how old the newest bar is now.
    """

    settings: Settings
    lineage: Lineage
    execution: str
    path: str
    report: str | None
    freshness: Freshness

    @property
    def warnings(self) -> list[str]:
        """Warnings about these signals and their measures, as of now."""
        kept = self.lineage.warnings or warnings(self.settings.dataset, self.metrics)
        return warnings_now(self.settings.dataset, kept, self.freshness)

    @property
    def fills(self) -> dict[str, dict[str, Any]]:
        """The measures with each fill; executions of older versions have only the configured one."""
        return self.lineage.fills or {self.settings.backtest.fill: self.metrics}

    @property
    def trial(self) -> Mapping[str, Any] | None:
        """The feature set that was read, None without one."""
        return self.lineage.trial

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Of the strategy."""
        return self.lineage.parameters

    @property
    def metrics(self) -> dict[str, Any]:
        """The measures with the configured fill."""
        return self.lineage.metrics

    @property
    def trades(self) -> pl.DataFrame:
        """One row per trade with the configured fill, measured again on the rows; raises as `lazy` does."""
        return measure_frame(self.lazy(), self.settings).results[self.settings.backtest.fill].trades

    def lazy(self) -> pl.LazyFrame:
        """The rows of this execution's file, lazily; raises MissingTable where the settings' lake has it no more."""
        return published_rows(self.settings, self.path)

    def as_json(self) -> dict[str, Any]:
        """The contract's object for one dataset, as it was when the execution was made."""
        made = self.lineage
        names = ("rows", "first", "last", "unique_days", "buy_signals", "sell_signals", "total_signals")
        return {
            "symbol": self.settings.dataset.symbol,
            "interval": self.settings.dataset.interval,
            "strategy": made.strategy,
            **{name: getattr(made, name) for name in names},
            "chunks": ceil(made.rows / made.chunk_rows),
            "signal_rate_pct": round(100 * made.total_signals / made.rows, 2),
            "path": self.path,
            "seconds": made.seconds,
            "rows_per_second": round(made.rows / made.seconds),
            "metrics": made.metrics,
            "fills": self.fills,
            "freshness": self.freshness.as_json(),
            "warnings": self.warnings,
        }


def latest_same(settings: Settings, lake: Lake, since: datetime | None = None) -> Unchanged | None:
    """The newest execution of these settings, if its features and rules have not changed since.

    Args:
        since: only if it was made then or later; an instant with a time zone.

    Raises:
        MissingTable: there is no feature table.
        StrategyError, UsageError: the strategy is unknown or misconfigured.
    """
    found = find_strategy(settings.signals.strategy)
    strategy = found.make(settings.strategy.get(found.kind.name, {}))
    files = feature_files(settings.dataset, lake.gold)
    wanted = identity(settings, strategy.name, strategy.parameters.model_dump(mode="json"))
    execution = newest_alike(lake, settings.dataset, strategy.name, wanted)
    if execution is None:
        return None
    lineage = Lineage.read(catalog.checked_lineage(lake.gold, execution), execution.file.location)
    if settings.features.feature_set:
        files = [*files, *set_files(settings, lake)]
    now = {
        "hermes": __version__,
        "measures_revision": REVISION,
        "strategy_source": found.source,
        "indicators": own_sources(strategy.columns, known_indicators(settings.features.indicators)),
        "sources": source_versions((file.location, file.version) for file in files),
    }
    if lineage.inputs() != now or (since and datetime.fromisoformat(lineage.generated_at) < since):
        return None
    folder = f"{settings.dataset.signals_table(strategy.name)}/{execution.name}"
    pages = lake.gold.files(folder, "report.html")
    return Unchanged(
        settings,
        lineage,
        execution.name,
        execution.file.location,
        pages[0].location if pages else None,
        freshness_of(settings.dataset, lake, lineage.newest_bar),
    )


_PROCESS = token_hex(16)


class CheckEnd(BaseModel):
    """The result of one check of an audit."""

    model_config = ConfigDict(frozen=True)

    verdict: str
    detail: str


class KeptVerdict(BaseModel):
    """The verdict of an audit, as stored in gold and in the lineage of later executions."""

    model_config = ConfigDict(frozen=True, extra="allow")  # what else the audit said travels along

    verdict: str
    checks: dict[str, CheckEnd]
    cuts: int = Field(ge=0)
    at: str = ""
    made_from: str = Field(default="", exclude=True)

    @property
    def ends(self) -> dict[str, str]:
        """The result of each check, without the warm-up, which is only measured."""
        return {name: check.verdict for name, check in self.checks.items() if name != "warm_up"}


def kept_verdict(selection: Selection, lake: Lake) -> KeptVerdict | None:
    """The verdict of the last audit, if it was made on the same bars with the same rules and parameters."""
    try:
        told = lake.gold.read_json(_key(selection), "it keeps the verdict of the last audit", "`hermes audit` does")
        if told and (verdict := KeptVerdict.model_validate(told)).made_from == _made_from(selection):
            return verdict
    except (StoreError, ValidationError) as error:  # a copy, which the next audit makes again
        where = lake.gold.locate(_key(selection))
        message = f"{where} cannot be read: the next audit makes it again"
        event("audit", level=WARNING, message=message, reason=str(error))
    return None


def keep_verdict(said: Mapping[str, Any], selection: Selection, lake: Lake) -> None:
    """Store the verdict, unless an equal one of the same inputs with at least as many cuts is stored.

    Args:
        said: the JSON of an audit.
    """
    verdict = KeptVerdict.model_validate({**said, "at": datetime.now(UTC).isoformat()})
    kept = kept_verdict(selection, lake)
    if kept and kept.ends == verdict.ends and kept.cuts >= verdict.cuts:
        return
    stored = verdict.model_dump() | {"made_from": _made_from(selection)}
    lake.gold.write_bytes(_key(selection), json.dumps(stored, indent=2).encode())


def _key(selection: Selection) -> str:
    return f"audits/{selection.settings.dataset.signals_table(selection.strategy.name)}.json"


def written_rules(selection: Selection) -> dict[str, str]:
    """A fingerprint of each rule by its name, and of each rank; the same for all that call Python or a plug-in."""
    rules = _expressions(selection.strategy)
    return {name: "" if judge(rule).is_open else _digest(rule) for name, rule in rules.items()}


def _made_from(selection: Selection) -> str:
    """A fingerprint of all inputs of a verdict: rules, parameters, indicators, bars, and the version of Hermes.

    What a Python function does depends on more than its serialized form, so a verdict on one is valid for this
    process only, and as long as the form is the same.
    """
    strategy, settings = selection.strategy, selection.settings
    parameters = strategy.parameters.model_dump(mode="json")
    tried = [part.file for part in selection.trial.parts] if selection.trial else []
    files = [(file.key, file.version) for file in (*selection.table.files, *tried)]
    known = known_indicators(settings.features.indicators)
    own = own_sources(strategy.columns, known)
    # The same source may define another expression: a file imports others, a package is changed in place.
    columns = {name: parse(split(name)[0], known.families).call for name in own}
    written = {name: _written(each) for name, each in {**_expressions(strategy), **columns}.items()}
    versions, context_rows = (__version__, pl.__version__), settings.signals.context_rows
    return fingerprint(versions, strategy.name, selection.found.source, parameters, context_rows, written, files, own)


def _expressions(strategy: Strategy) -> dict[str, pl.Expr]:
    ranks = {f"rank {name}": rank for name, rank in strategy.ranks().items()}
    return {**strategy.conditions(), **signal_rules(strategy), **ranks}


def _written(expression: pl.Expr) -> list[str]:
    return [_digest(expression), *([_PROCESS] if judge(expression).is_open else [])]


def _digest(expression: pl.Expr) -> str:
    try:
        return sha256(expression.meta.serialize()).hexdigest()
    except Exception:  # a Python function that cannot be pickled
        return ""
