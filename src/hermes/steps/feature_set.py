"""Feature sets: columns under trial, joined to the production table by time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from hermes.dataset import TEST_LAYER
from hermes.errors import MissingTable, TableRefused
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, Layer
from hermes.lake.tables import TablePart, column_names, open_table
from hermes.schemas import DATETIME
from hermes.settings import Settings

_NOT_THERE = "run `hermes features` with the same --feature-set and --columns"


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """The columns of a feature set that a strategy reads.

    Attributes:
        feature_set: its name; version: from the footers of its files.
        rows: `datetime` and the columns, one row per bar, in memory.
        parts: the files that they were read from.
    """

    feature_set: str
    version: str
    rows: pl.DataFrame
    layer: Layer
    table: str
    parts: Sequence[TablePart]

    @property
    def columns(self) -> list[str]:
        """The columns under trial that are read."""
        return [name for name in self.rows.columns if name != "datetime"]

    def joined(self, bars: pl.LazyFrame) -> pl.LazyFrame:
        """The production rows with these columns added.

        Args:
            bars: all rows of the production table, with `datetime`.

        Raises:
            TableRefused: the set has no row for one of the bars.
        """
        times = bars.select("datetime").collect()
        beside = times.join(self.rows.with_columns(_there=True), on="datetime", how="left", maintain_order="left")
        if beside["_there"].null_count():
            first = beside.filter(pl.col("_there").is_null())["datetime"][0]
            raise TableRefused(f"{self.table} has no row for the bar at {first}", _NOT_THERE)
        return pl.concat([bars, beside.select(self.columns).lazy()], how="horizontal")

    def unchanged(self) -> bool:
        """Whether the set's files are still those that were read."""
        return self.layer.unchanged(self.table, [part.file for part in self.parts])

    def as_json(self) -> dict[str, Any]:
        """Its entry in the lineage."""
        return {"name": self.feature_set, "version": self.version, "columns": self.columns}


def merged(sets: Iterable[FeatureSet | None]) -> dict[str, Any] | None:
    """The entry in the lineage for one feature set that several datasets read; None without one.

    All versions are listed if they differ.
    """
    found = [each for each in sets if each is not None]
    if not found:
        return None
    versions = sorted({each.version for each in found})
    columns = dict.fromkeys(name for each in found for name in each.columns)
    return {"name": found[0].feature_set, "version": ", ".join(versions), "columns": list(columns)}


def features_read(trial: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entries of a result's JSON for the feature set that it read; null without one.

    Args:
        trial: as the lineage has it.
    """
    return {"feature_set": trial and trial["name"], "features_version": trial and trial["version"]}


def set_files(settings: Settings, lake: Lake) -> list[LakeFile]:
    """The files of the settings' feature set.

    Raises:
        MissingTable: there are none.
    """
    table = settings.dataset.feature_set_table(settings.features.feature_set)
    if files := lake.test.files(table):
        return files
    raise MissingTable(f"layer {TEST_LAYER} has no table {table} at {lake.test.address}", _NOT_THERE)


def set_version(settings: Settings, lake: Lake) -> str | None:
    """The version of the settings' feature set, from the footers of its files; None without a feature set.

    Raises:
        MissingTable: the set has no table of this dataset.
        TableRefused: its files do not agree.
    """
    if not settings.features.feature_set:
        return None
    versions = {str(about.get("version")) for about in lake.test.footers(set_files(settings, lake))}
    if len(versions) != 1:
        table = settings.dataset.feature_set_table(settings.features.feature_set)
        raise TableRefused(f"{table} holds files of versions {', '.join(sorted(versions))}", _NOT_THERE)
    return versions.pop()


def read_feature_set(settings: Settings, lake: Lake, wanted: Sequence[str]) -> FeatureSet | None:
    """The wanted columns that the settings' feature set has; None without a feature set.

    Raises:
        MissingTable: the set has no table of this dataset.
        TableRefused: its files do not agree, or are another tool's.
    """
    chosen, dataset = settings.features, settings.dataset
    if not chosen.feature_set:
        return None
    files, table = set_files(settings, lake), dataset.feature_set_table(chosen.feature_set)
    version = set_version(settings, lake)
    assert version is not None  # a feature set is asked for
    there = column_names(lake.test, files)
    columns = {name: pl.Int8() if "_dir_" in name else pl.Float64() for name in wanted if name in there}
    opened = open_table(lake.test, files, {"datetime": DATETIME, **columns}, dataset.symbol)
    with lake.test.errors():
        rows = opened.plan.select("datetime", *columns).collect()
    return FeatureSet(chosen.feature_set, version, rows, lake.test, table, opened.parts)
