"""Columns that were promoted from a feature set into the definition of the lake's production tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hermes.errors import MissingTable, StoreError, UsageError
from hermes.indicators.columns import parse
from hermes.indicators.registry import Known, known_indicators
from hermes.lake.store import JSON_FORMAT, Lake
from hermes.lake.tables import column_names
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.gold.timeframes import split
from hermes.steps.feature_set import set_files
from hermes.steps.indicators import doubts
from hermes.steps.results import StepResult
from hermes.steps.step import step

KEY = "features/promoted.json"
_CURE = "promote the columns again: `hermes promote-features COLUMNS --feature-set SET`"


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
    said = lake.gold.read_json(KEY, "it is unknown which columns production has", _CURE)
    if said is None:
        return {}
    try:
        return {str(name): str(source) for name, source in said["columns"].items()}
    except (KeyError, AttributeError):
        where = lake.gold.locate(KEY)
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
    lake.gold.write_bytes(KEY, json.dumps(content, indent=2).encode())
    return PromotedFeatures(settings, list(columns), list(added), lake.gold.locate(KEY))
