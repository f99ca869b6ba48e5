"""The rows of a feature table from start to end, and the strategy to apply."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

import polars as pl

from hermes.dataset import Dataset
from hermes.errors import HermesError, IndicatorFault, MissingTable, NoBars, SourceChanged, StrategyError
from hermes.indicators.registry import known_indicators
from hermes.lake.batches import check_all_read
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, Layer
from hermes.lake.tables import Table, TablePart, column_names, in_order, open_table
from hermes.schemas import INDICATORS
from hermes.settings import Settings
from hermes.stages.backtest.funding import Funding
from hermes.stages.signals.generate import check_context, signal_chunks
from hermes.steps.feature_set import FeatureSet, read_feature_set
from hermes.steps.funding import funding_of
from hermes.steps.refine import read_quality
from hermes.strategies import find_strategy
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS, input_schema
from hermes.strategies.contract import check_strategy
from hermes.strategies.registry import Found


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a feature table between start and end, and the strategy to apply.

    Attributes:
        plan: the selected rows, after `seen` context rows.
        before: number of rows of the table before the first selected row.
        rows: number of selected rows.
        found: the strategy with its source.
        derived: columns that the table lacks, computed from its bars.
        trial: the columns read from a feature set, None without one.
        funding: of the contract, None if there is none or it is unknown.
        behind: a warning if silver has bars after the table's last one.
    """

    settings: Settings
    strategy: Strategy
    gold: Layer
    table: Table
    plan: pl.LazyFrame
    before: int
    seen: int
    rows: int
    found: Found
    derived: Sequence[str] = ()
    trial: FeatureSet | None = None
    funding: Funding | None = None
    behind: Sequence[str] = ()

    @property
    def parts(self) -> list[TablePart]:
        """The source files: those of production, then those of a feature set."""
        return [*self.table.parts, *(self.trial.parts if self.trial else ())]

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return ceil(self.rows / self.settings.signals.chunk_rows)

    def judged(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """These columns of the selected rows, with their signals, `chunk_rows` of the settings at a time."""
        sizes = self.settings.signals.model_dump(include={"chunk_rows", "context_rows"})
        with self.gold.errors():
            yield from signal_chunks(self.plan.select(columns), self.strategy, seen=self.seen, **sizes)

    @property
    def changed(self) -> SourceChanged:
        """The error that the features are others than those that were read."""
        return SourceChanged(f"features of {self.settings.dataset} changed while they were read", "run one at a time")

    def check_unchanged(self) -> None:
        """Raise `changed` if the features were replaced since they were selected."""
        stands = self.gold.unchanged(self.settings.dataset.features_table, self.table.files)
        if not stands or (self.trial and not self.trial.unchanged()):
            raise self.changed

    def given(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns of the selected rows."""
        return self.plan.select(columns).slice(self.seen)


def select(settings: Settings, lake: Lake) -> Selection:
    """Open the feature table of the dataset and cut out the rows from start to end.

    Up to `context_rows` bars before the start are included as context. Indicators outside the
    feature table's contract that it lacks are derived from all of its bars, so they are the same for every start and
    chunk size; they are held in memory.

    Raises:
        MissingTable: there is no feature table.
        TableRefused: the table cannot be used, or (`NoBars`) no bar lies between start and end.
        StrategyError, UsageError: the strategy is unknown, misconfigured, does not keep its contract, reads a column
            that is neither in the table nor an indicator, or looks back further than the context.
        IndicatorFault: an indicator that is derived looks at later bars.
    """
    dataset, start, end = settings.dataset, settings.signals.start, settings.signals.end
    found = find_strategy(settings.signals.strategy)
    strategy = found.make(settings.strategy.get(found.kind.name, {}))
    check_strategy(strategy)
    check_context(strategy, settings.signals.context_rows)
    files = feature_files(dataset, lake.gold)
    lacking = _lacking(lake.gold, files, strategy)
    trial = read_feature_set(settings, lake, lacking)
    derived = [name for name in lacking if trial is None or name not in trial.columns]
    wanted = {name: dtype for name, dtype in input_schema(strategy).items() if name not in lacking}
    table = open_table(lake.gold, files, wanted, dataset.symbol)

    before, until = 0, table.rows
    if start or end:
        before, until = _cut(lake.gold, table, start, end)
    if until <= before:
        raise no_bars(settings, table)
    seen = min(before, settings.signals.context_rows)
    plan = _with_derived(settings, lake.gold, table, strategy, derived)
    if trial is not None:
        with lake.gold.errors():
            plan = trial.joined(plan)
    plan = plan.slice(before - seen, until - before + seen)
    return Selection(
        settings, strategy, lake.gold, table, plan, before, seen, until - before, found, tuple(derived), trial,
        funding_of(dataset, lake), () if end and end <= table.parts[-1].last else _behind(dataset, lake, table),
    )  # fmt: skip


def _behind(dataset: Dataset, lake: Lake, table: Table) -> list[str]:
    """A warning if silver goes on after the last bar: features are to be made, or their newest file is gone."""
    quality, last = read_quality(dataset, lake), table.parts[-1].last
    if quality is None or quality.last is None or quality.last <= last:
        return []
    return [
        f"features end at {last} UTC, and silver goes on to {quality.last}: `hermes features` brings the newer bars"
    ]


def feature_files(dataset: Dataset, gold: Layer) -> list[LakeFile]:
    """The files of a dataset's feature table; raises MissingTable where there is none."""
    if files := gold.files(dataset.features_table):
        return files
    where = f"gold has no table {dataset.features_table} at {gold.address}"
    raise MissingTable(where, "run `hermes features` first, or `hermes run` for the full pipeline")


def no_bars(settings: Settings, table: Table) -> NoBars:
    """The error that no bar of the table lies between start and end."""
    start, end = settings.signals.start, settings.signals.end
    return NoBars(
        f"{settings.dataset} has no bar from {start or 'its first'} to {end or 'its last'}",
        f"its bars go from {table.parts[0].first} to {table.parts[-1].last}",
    )


def _lacking(gold: Layer, files: Sequence[LakeFile], strategy: Strategy) -> list[str]:
    """Columns of the strategy that no file has; contract columns are never derived."""
    own = [name for name in strategy.columns if name not in INDICATORS]
    there = column_names(gold, files) if own else set()
    return [name for name in own if name not in there]


def _with_derived(
    settings: Settings, gold: Layer, table: Table, strategy: Strategy, derived: list[str]
) -> pl.LazyFrame:
    """The table's rows with the derived columns beside them, computed over all of its bars."""
    if not derived:
        return table.plan
    from hermes.stages.gold.features import with_indicators  # noqa: PLC0415 - TA-Lib, which few strategies need here
    from hermes.steps.indicators import doubts  # noqa: PLC0415 - the same

    known = known_indicators(settings.features.indicators)
    try:
        doubts(derived, known)
        plan = with_indicators(table.plan.select(BARS.keys()), derived, settings.dataset.interval, known.families)
    except IndicatorFault:
        raise
    except HermesError as error:
        raise StrategyError(
            f"{strategy.name}: {error.message}, and it is not in the feature table", error.cure
        ) from None
    with gold.errors():
        made = plan.select(derived).collect()
    return pl.concat([table.plan, made.lazy()], how="horizontal")


def _cut(gold: Layer, table: Table, start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The number of rows before the start and up to the end, in a table that is in order."""
    before = until = read = 0
    with gold.errors():
        frames = table.plan.select("datetime").collect_batches(maintain_order=True, engine="streaming")
        for frame in in_order(frames, table):
            times = frame["datetime"]
            read += frame.height
            before += int((times < start).sum()) if start else 0
            until += int((times <= end).sum()) if end else frame.height
    check_all_read("the feature table", read, table.rows)
    return before, until
