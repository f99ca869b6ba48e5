"""Feature tables: the production table and those of feature sets, with their columns and definitions."""

from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import polars_talib

from hermes.dataset import Dataset
from hermes.errors import UsageError
from hermes.indicators.columns import Families
from hermes.indicators.registry import known_indicators
from hermes.lake.store import Lake, Layer
from hermes.schemas import FEATURES, INDICATORS
from hermes.settings import Settings
from hermes.stages.gold.blocks import BLOCK_ROWS, LEAD, block_features
from hermes.stages.gold.features import features, with_indicators
from hermes.steps.indicators import doubts
from hermes.steps.promoted_features import check_sources, promoted_columns, source_of

# Part of every fingerprint: files are made again when their definition changes.
DEFINITION = f"features 1, polars-talib {polars_talib.__version__}"
BLOCKS_DEFINITION = f"{DEFINITION}, in blocks of {BLOCK_ROWS} after {LEAD} or more"
VERSION = "features_version"
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
