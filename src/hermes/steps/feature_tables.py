"""Feature tables: the production table and those of feature sets, with their columns and definitions.

Columns of a feature set can be promoted into the definition of the lake's production tables.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import polars_talib

from hermes.dataset import Dataset
from hermes.errors import MissingTable, StoreError, UsageError
from hermes.indicators.columns import Families, parse
from hermes.indicators.registry import Known, known_indicators
from hermes.lake.store import JSON_FORMAT, Lake, Layer
from hermes.lake.tables import column_names
from hermes.progress import SILENT, Progress
from hermes.schemas import FEATURES, INDICATORS
from hermes.settings import Settings
from hermes.stages.gold.blocks import BLOCK_ROWS, LEAD, block_features
from hermes.stages.gold.features import features, with_indicators
from hermes.stages.gold.timeframes import split
from hermes.steps.feature_set import set_files
from hermes.steps.indicators import doubts
from hermes.steps.results import StepResult
from hermes.steps.step import step

# Part of every fingerprint: files are made again when their definition changes.
DEFINITION = f"features 1, polars-talib {polars_talib.__version__}"
BLOCKS_DEFINITION = f"{DEFINITION}, in blocks of {BLOCK_ROWS} after {LEAD} or more"
VERSION = "features_version"
PROMOTED_KEY = "features/promoted.json"
_CURE = "promote the columns again: `hermes promote-features COLUMNS --feature-set SET`"
_KEY = ("datetime", "symbol", "timeframe")


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """One feature table of a dataset.

    Attributes:
        layer: the layer that holds it.
        name: its folder.
        feature_set: its name, empty for production's.
        columns: in addition to the bars: the columns of a set, or the promoted ones of production.
        version: of the feature set.
        sources: where the definition of each of these columns comes from.
    """

    dataset: Dataset
    layer: Layer
    name: str
    feature_set: str = ""
    columns: tuple[str, ...] = ()
    version: str = ""
    sources: tuple[str, ...] = ()
    families: Families | None = None

    def key(self, year: int, month: int | None = None) -> str:
        """The file of one year or, where `features_by_month`, of one month."""
        return self.dataset.features_key(year, month, self.name)

    def definition(self, *, in_blocks: bool) -> str:
        """The definition of the columns: files with another one are written again."""
        base = BLOCKS_DEFINITION if in_blocks else DEFINITION
        own = ", ".join(f"{name} of {source}" for name, source in zip(self.columns, self.sources, strict=True))
        if self.feature_set:
            return f"feature set {self.feature_set} {self.version}: {own}; polars-talib {polars_talib.__version__}"
        return f"{base}; promoted: {own}" if own else base

    def about(self) -> dict[str, Any]:
        """The entries of the footer that only files of a set have."""
        return {"feature_set": self.feature_set, "version": self.version} if self.feature_set else {}

    def whole(self, silver: pl.LazyFrame) -> pl.LazyFrame:
        """All rows of the table from a whole silver series."""
        bars = [name for name in FEATURES if name not in INDICATORS]
        if not self.feature_set:
            return self._with_own(features(silver))
        made = self._with_own(silver.select(bars)).with_columns(pl.lit(self.version).alias(VERSION))
        return made.select(*_KEY, *self.columns, VERSION)

    def block(self, silver: pl.LazyFrame, begin: int, end: int) -> pl.DataFrame:
        """The rows from `begin` up to `end` of a series that is too long to compute at once."""

        def read(first: int, last: int) -> pl.DataFrame:
            return silver.slice(first, last - first).collect(engine="streaming")

        made = block_features(read, begin, end)
        if not self.columns:
            return made
        bars = [name for name in FEATURES if name not in INDICATORS]
        own = self._with_own(silver.select(bars)).select(self.columns).slice(begin, end - begin)
        return made.hstack(own.collect(engine="streaming"))

    def _with_own(self, bars: pl.LazyFrame) -> pl.LazyFrame:
        if not self.columns or self.families is None:
            return bars
        return with_indicators(bars, self.columns, self.dataset.interval, self.families)


def production_table(settings: Settings, lake: Lake) -> FeatureTable:
    """The feature table that production reads."""
    dataset, promoted = settings.dataset, promoted_columns(lake)
    table = FeatureTable(dataset, lake.gold, dataset.features_table)
    if not promoted:
        return table
    known = known_indicators(settings.features.indicators)
    check_sources(promoted, known)
    columns, sources = tuple(promoted), tuple(promoted.values())
    return replace(table, columns=columns, sources=sources, families=known.families)


def set_table(settings: Settings, lake: Lake) -> FeatureTable:
    """The table of the settings' feature set, in the layer `test`."""
    chosen, dataset = settings.features, settings.dataset
    name = dataset.feature_set_table(chosen.feature_set)
    return FeatureTable(dataset, lake.test, name, chosen.feature_set, version=chosen.version)


def with_definitions(table: FeatureTable, settings: Settings, columns: tuple[str, ...]) -> FeatureTable:
    """The table with the columns to compute.

    Raises:
        UsageError: there is no column, production has one of them, or one cannot be made or looks at later bars.
    """
    if not columns:
        raise UsageError(
            f"the feature set {table.feature_set} has no columns",
            "name them: --columns zscore_20,ema_50@1d, or [features] columns in hermes.toml",
        )
    if known := [name for name in columns if name in FEATURES]:
        raise UsageError(
            f"{known[0]} is a column of the production table", "leave it out: it is joined to the set's own columns"
        )
    known_ones = known_indicators(settings.features.indicators)
    doubts(columns, known_ones)
    with_indicators(pl.LazyFrame(schema=FEATURES), columns, table.dataset.interval, known_ones.families)
    return replace(
        table,
        columns=columns,
        sources=tuple(source_of(name, known_ones) for name in columns),
        families=known_ones.families,
    )


@dataclass(frozen=True, slots=True)
class PromotedFeatures(StepResult):
    """The columns of production in addition to the 23 indicators.

    Attributes:
        columns: all of them, in the order of the table; added: those added by this step.
        path: where the definition is stored in gold.
    """

    columns: Sequence[str]
    added: Sequence[str]
    path: str


@step()
def promote_features(
    settings: Settings, lake: Lake, *, columns: Sequence[str], withdraw: bool = False, progress: Progress = SILENT
) -> PromotedFeatures:
    """Move columns of the settings' feature set into the definition of the lake's production tables, or out of it.

    No table is written: `hermes features` does that, for every dataset of the lake, the next time it runs.

    Args:
        settings: the feature set, and a dataset that has it.
        columns: to promote; withdraw: take them out of the definition instead.
        progress: unused, as the step is short.

    Raises:
        UsageError: no feature set or column, a column that is not in the set, or that looks at later bars.
        MissingTable: the set has no table of this dataset, or the column is not promoted.
        StoreError: the definition cannot be read.
    """
    if not columns:
        raise UsageError("no column was named", "name those to promote, like zscore_20")
    known = _to_replace(lake) if not withdraw else promoted_columns(lake)
    if withdraw:
        if lacking := [name for name in columns if name not in known]:
            raise MissingTable(f"{lacking[0]} is not promoted", f"promoted: {', '.join(known) or 'none'}")
        kept = {name: source for name, source in known.items() if name not in columns}
        return _stored(settings, lake, kept, ())
    if not settings.features.feature_set:
        raise UsageError("columns are promoted from a feature set", "name it: --feature-set test")
    there = column_names(lake.test, set_files(settings, lake))
    if lacking := [name for name in columns if name not in there]:
        raise UsageError(
            f"the feature set {settings.features.feature_set} has no column {lacking[0]}",
            f"write it first: `hermes features --feature-set {settings.features.feature_set} --columns {lacking[0]}`",
        )
    indicators = known_indicators(settings.features.indicators)
    doubts(columns, indicators)
    added = {name: source_of(name, indicators) for name in columns}
    return _stored(settings, lake, {**known, **added}, [name for name in columns if name not in known])


def promoted_columns(lake: Lake) -> Mapping[str, str]:
    """The promoted columns, and the source of the definition of each.

    Raises:
        StoreError: the stored definition cannot be read.
    """
    said = lake.gold.read_json(PROMOTED_KEY, "it is unknown which columns production has", _CURE)
    if said is None:
        return {}
    try:
        return {str(name): str(source) for name, source in said["columns"].items()}
    except (KeyError, AttributeError):
        where = lake.gold.locate(PROMOTED_KEY)
        raise StoreError(f"{where} is incomplete: it is unknown which columns production has", _CURE) from None


def _to_replace(lake: Lake) -> Mapping[str, str]:
    """`promoted_columns`, or nothing if the stored definition cannot be read: it is replaced."""
    try:
        return promoted_columns(lake)
    except StoreError as error:
        if error.cure != _CURE:  # it is the store that fails
            raise
        return {}


def check_sources(promoted: Mapping[str, str], known: Known) -> None:
    """Refuse to compute a promoted column by another definition than the one that was promoted.

    Raises:
        UsageError: the definition is not available, or differs.
    """
    for name, source in promoted.items():
        family = split(name)[0]
        try:
            now = source_of(family, known)
        except UsageError:
            now = "unknown here"
        if now != source and not (source.startswith("hermes ") and now.startswith("hermes ")):
            raise UsageError(
                f"the promoted column {name} is defined by {source}, and is {now}",
                "name that file in [features] indicators; or promote the column again, as it is now",
            )


def source_of(name: str, known: Known) -> str:
    """Where the definition of a column comes from; raises UnknownIndicator."""
    return known.sources[parse(split(name)[0], known.families).family]


def _stored(settings: Settings, lake: Lake, columns: Mapping[str, str], added: Sequence[str]) -> PromotedFeatures:
    content = {"format": JSON_FORMAT, "columns": dict(columns), "promoted_at": datetime.now(UTC).isoformat()}
    lake.gold.write_bytes(PROMOTED_KEY, json.dumps(content, indent=2).encode())
    return PromotedFeatures(settings, list(columns), list(added), lake.gold.locate(PROMOTED_KEY))
