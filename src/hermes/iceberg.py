"""The lake's tables as Iceberg tables, for other engines: `hermes export iceberg`.

- Signals: every execution is a snapshot with a tag of its name. Its immutable file is registered where it is.
- Features: snapshots that follow the files that Hermes replaces. Rows are copied, because a replaced file would break
  the snapshots that refer to it.
- The record: decisions are appended, as they were to the record.

Exports are incremental, so the command can be run after every execution.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from hermes.dataset import iceberg_key
from hermes.errors import MissingTable, StoreError, UsageError
from hermes.lake.catalog import executions
from hermes.lake.executions import is_execution
from hermes.lake.files import LakeFile
from hermes.lake.iceberg_catalog import errors, open_catalog
from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.record.table import DecisionsTable
from hermes.settings import Settings
from hermes.steps.results import StepResult
from hermes.strategies import strategy_name

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction

TABLES = ("signals", "features", "record")
#: What Hermes notes in an Iceberg table: fingerprints of the feature files, or the last sequence of each chain.
_EXPORTED = "hermes.exported"
_EXECUTION = "hermes.execution"


@dataclass(frozen=True, slots=True)
class IcebergTable:
    """One exported table.

    Attributes:
        name: in the catalog, with its namespace.
        location: of its newest metadata file, which engines without a catalog open.
        rows: of the current snapshot.
        snapshots: that can be read; added: of them, by this export; expired: snapshots that are gone on purpose.
    """

    name: str
    location: str
    rows: int
    snapshots: int
    added: int
    expired: int


@dataclass(frozen=True, slots=True)
class Exported(StepResult):
    """The Iceberg tables of one dataset, and their catalog."""

    catalog: str
    tables: Sequence[IcebergTable]

    def as_json(self) -> dict[str, Any]:
        """By name."""
        dataset = self.settings.dataset
        return {
            "symbol": dataset.symbol,
            "interval": dataset.interval,
            "catalog": self.catalog,
            "tables": [{name: getattr(each, name) for name in IcebergTable.__slots__} for each in self.tables],
        }


def export_iceberg(
    settings: Settings,
    lake: Lake | None = None,
    *,
    tables: Sequence[str] = TABLES,
    keep: int | None = None,
    progress: Progress = SILENT,
) -> Exported:
    """Bring the Iceberg tables of one dataset up to date with the lake.

    Args:
        settings: name the dataset and the strategy; `[iceberg]` configures the catalog.
        tables: some of `TABLES`; one that the lake does not have yet is left out, unless it is the only one.
        keep: only the newest so many snapshots of each table stay; without it all do. `hermes prune` never removes an
            execution that a snapshot refers to.
        progress: told how far the work is.

    Raises:
        MissingTable: the lake has none of these tables.
        StoreError: the catalog or its storage fails.
        HermesError: pyiceberg is not installed.
    """
    if unknown := [name for name in tables if name not in TABLES]:
        raise UsageError(f"table {unknown[0]!r} is not one of {', '.join(TABLES)}", "choose from those")
    lake = lake or Lake.open(settings)
    work = {"signals": _signals, "features": _features, "record": _record}
    found = []
    with errors(settings), progress.task(f"iceberg {settings.dataset}", len(tables), "tables") as advance:
        catalog = open_catalog(settings)
        for name in tables:
            if made := work[name](settings, lake, catalog, keep):
                found.append(made)
            advance(1, name)
    if not found:
        raise MissingTable(f"the lake has no {' or '.join(tables)} of {settings.dataset}", "run `hermes run` first")
    return Exported(settings, catalog.name, found)


# --- signals ---------------------------------------------------------------------------------------------------------


def _signals(settings: Settings, lake: Lake, catalog: "Catalog", keep: int | None) -> IcebergTable | None:
    from pyiceberg.expressions import AlwaysTrue  # noqa: PLC0415 - an extra

    strategy = strategy_name(settings.signals.strategy)
    files = executions(lake, settings.dataset, strategy)
    if not files:
        return None
    name = settings.dataset.signals_table(strategy)
    table = _table(settings, catalog, name, _arrow_schema(lake, files[0]))
    known = table.refs().keys()
    wanted = [file for file in files if _execution(file) not in known]
    if keep is not None:
        wanted = wanted[-keep:]
    _pin(lake, name, [*_tags(table), *map(_execution, wanted)])  # before `prune` could remove what is registered next
    for file in wanted:
        execution, said = _execution(file), {_EXECUTION: _execution(file)}
        with table.transaction() as change:
            if table.current_snapshot() is not None:
                change.delete(AlwaysTrue(), snapshot_properties=said)
            _widen(change, _arrow_schema(lake, file))
            change.add_files([_address(lake, file)], snapshot_properties=said)
        made = table.current_snapshot()
        assert made is not None
        table.manage_snapshots().create_tag(made.snapshot_id, execution).commit()
    expired = _expire(table, [] if keep is None else _tags(table)[:-keep])
    _pin(lake, name, _tags(table))
    return _exported(table, len(wanted), expired)


def _pin(lake: Lake, table: str, executions: Sequence[str]) -> None:
    """Note in gold which executions must stay for the snapshots."""
    lake.gold.write_bytes(iceberg_key(table), json.dumps({"executions": list(executions)}).encode())


def _execution(file: LakeFile) -> str:
    assert is_execution(file)
    return file.key.split("/")[1]


def _tags(table: "Table") -> list[str]:
    """Executions that are snapshots of the table, oldest first."""
    tags = {ref.snapshot_id: name for name, ref in table.refs().items() if name != "main"}
    return [tags[each.snapshot_id] for each in table.snapshots() if each.snapshot_id in tags]


def _expire(table: "Table", tags: Sequence[str]) -> int:
    """Expire the snapshots with these tags, and those without any that are not the current one."""
    for tag in tags:
        table.manage_snapshots().remove_tag(tag).commit()
    live = {ref.snapshot_id for ref in table.refs().values()}
    _expire_ids(table, [each.snapshot_id for each in table.snapshots() if each.snapshot_id not in live])
    return len(tags)


# --- features --------------------------------------------------------------------------------------------------------


def _features(settings: Settings, lake: Lake, catalog: "Catalog", keep: int | None) -> IcebergTable | None:
    name = settings.dataset.features_table
    files = lake.gold.files(name)
    if not files:
        return None
    now = dict(zip([file.key for file in files], lake.gold.fingerprints(files), strict=True))
    table = _table(settings, catalog, name, _arrow_schema(lake, files[0]))
    before = json.loads(table.properties.get(_EXPORTED, "{}"))
    stale = [file for file in files if before.get(file.key) != now[file.key]]
    if stale:
        seen = {each.snapshot_id for each in table.snapshots()}
        with table.transaction() as change:
            for file in stale:
                rows = lake.gold.scan([file]).collect()
                _widen(change, rows.to_arrow().schema)
                first, last = (datetime.fromisoformat(str(rows["datetime"][row])) for row in (0, -1))
                span = f"datetime >= '{first:%Y-%m-%dT%H:%M:%S.%f}' and datetime <= '{last:%Y-%m-%dT%H:%M:%S.%f}'"
                change.overwrite(_matching(change, rows), overwrite_filter=span)
            change.set_properties({_EXPORTED: json.dumps(now)})
        if not lake.gold.unchanged(name, files):
            raise StoreError(f"{name} was replaced while it was exported", "run the export again")
        # A snapshot for each file was made on the way: only the last one holds the whole table.
        _expire_ids(table, [each.snapshot_id for each in table.snapshots()[:-1] if each.snapshot_id not in seen])
    return _exported(table, int(bool(stale)), _expire_old(table, keep))


# --- the record ------------------------------------------------------------------------------------------------------


def _record(settings: Settings, lake: Lake, catalog: "Catalog", keep: int | None) -> IcebergTable | None:
    dataset = settings.dataset
    record = DecisionsTable(lake, strategy_name(settings.signals.strategy), dataset.market, dataset.interval)
    rows = record.read([dataset.symbol])
    if rows.is_empty():
        return None
    table = _table(settings, catalog, record.name, rows.to_arrow().schema)
    ends = json.loads(table.properties.get(_EXPORTED, "{}"))
    new = rows.filter(pl.col("sequence") > ends.get(dataset.symbol, -1))
    if new.height:
        with table.transaction() as change:
            _widen(change, new.to_arrow().schema)
            change.append(_matching(change, new))
            ends[dataset.symbol] = int(new["sequence"].max())  # type: ignore[arg-type]
            change.set_properties({_EXPORTED: json.dumps(ends)})
    return _exported(table, int(bool(new.height)), _expire_old(table, keep))


# --- tables and catalogs ---------------------------------------------------------------------------------------------


def _table(settings: Settings, catalog: "Catalog", name: str, schema: "pa.Schema") -> "Table":
    catalog.create_namespace_if_not_exists(settings.iceberg.namespace)
    return catalog.create_table_if_not_exists(f"{settings.iceberg.namespace}.{name}", schema=schema)


def _exported(table: "Table", added: int, expired: int) -> IcebergTable:
    table.refresh()
    rows = table.scan().count()
    return IcebergTable(".".join(table.name()), table.metadata_location, rows, len(table.snapshots()), added, expired)


def _expire_old(table: "Table", keep: int | None) -> int:
    """Expire all snapshots but the newest so many."""
    gone = [] if keep is None else [each.snapshot_id for each in table.snapshots()[:-keep]]
    _expire_ids(table, gone)
    return len(gone)


def _expire_ids(table: "Table", snapshots: list[int]) -> None:
    if snapshots:
        table.maintenance.expire_snapshots().by_ids(snapshots).commit()


def _widen(change: "Transaction", schema: "pa.Schema") -> None:
    """Add the columns that the table lacks; those of earlier snapshots stay."""
    with change.update_schema() as update:
        update.union_by_name(schema)


def _matching(change: "Transaction", rows: pl.DataFrame) -> "pa.Table":
    """The rows with all columns of the table, null where they have none."""
    wanted = change.table_metadata.schema().as_arrow()
    lacking = [pl.lit(None).alias(name) for name in wanted.names if name not in rows.columns]
    return rows.with_columns(lacking).select(wanted.names).to_arrow().cast(wanted)


def _arrow_schema(lake: Lake, file: LakeFile) -> "pa.Schema":
    with lake.gold.errors():
        return lake.gold.scan([file]).head(0).collect().to_arrow().schema


def _address(lake: Lake, file: LakeFile) -> str:
    address = lake.gold.locate(file.key)
    return address if "://" in address else Path(address).absolute().as_uri()
