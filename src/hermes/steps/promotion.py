"""Promotion: which executions of a table of signals production reads, from the promoted one on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hermes.dataset import parse_signals_table
from hermes.errors import MissingTable, NewerLake, StoreError, UsageError
from hermes.lake.executions import SIGNALS, is_execution, read_executions
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import JSON_FORMAT, Lake
from hermes.lineage import fields_with
from hermes.settings import AccountSettings, Settings

#: Of executions that say nothing of it.
FORMER = {"account": AccountSettings().model_dump(mode="json"), "feature_set": None}
#: What a promotion pins, and what makes two executions of one table alike.
PINNED = tuple(name for name in fields_with("identity") if name not in ("dataset", "strategy"))  # those name the table


@dataclass(frozen=True, slots=True)
class Promotion:
    """The promotion of one table, as stored in gold.

    Attributes:
        table: the table of signals.
        execution: the promoted one; newer ones with the same identity follow it.
        pinned: parameters, configured start and end, account, feature set.
        path: where it is stored in gold.
    """

    table: str
    execution: str
    pinned: Mapping[str, Any]
    path: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """The promotion, or with `withdrawn` the promotion that was undone."""

    settings: Settings
    promotion: Promotion
    withdrawn: bool = False

    def as_json(self) -> dict[str, Any]:
        """The result by name."""
        known = self.promotion
        about = {"table": known.table, "execution": known.execution, **known.pinned, "path": known.path}
        return about | {"promoted": not self.withdrawn}


def promote(settings: Settings, lake: Lake | None = None, *, execution: str) -> Promoted:
    """Pin what production reads: the newest execution with the strategy, parameters, span and account of this one.

    Args:
        settings: the lake's address.
        lake: the lake; without it the one that the settings name.
        execution: its folder's name; `TABLE/EXECUTION`, where several tables have one of that name; or the address
            of its file.

    Raises:
        UsageError, MissingTable: no execution, or several, are called so.
        StoreError: it was made by another tool, or cannot be read; or a newer Hermes has promoted.
    """
    lake = resolve_lake(settings, lake, "promote")
    table, _, name = execution.rstrip("/").removesuffix(f"/{SIGNALS}").rpartition("/")
    table = table.rpartition("/")[2]
    found = [file for file in lake.gold.files(table) if is_execution(file) and file.key.split("/")[1] == name]
    if not found:
        raise MissingTable(f"gold has no execution {execution!r} at {lake.gold.address}", "see `hermes ls`")
    if len(found) > 1:
        full = ", ".join(file.key.rpartition("/")[0] for file in found)
        raise UsageError(f"{len(found)} executions are called {execution!r}: {full}", "give TABLE/EXECUTION")
    (made,) = read_executions(lake.gold, found)
    table = made.file.key.split("/")[0]
    if made.error:
        raise made.error
    if "parameters" not in made.lineage:
        raise StoreError(f"{made.file.location} has no lineage of Hermes", "promote an execution that Hermes made")
    pinned = {key: made.lineage.get(key, FORMER.get(key)) for key in PINNED}
    content = {
        "format": JSON_FORMAT, "table": table, "execution": name, "promoted_at": datetime.now(UTC).isoformat(), **pinned
    }  # fmt: skip
    try:
        promoted(lake, table)
    except NewerLake:
        raise
    except StoreError:  # it cannot be read: promoting again is the cure
        pass
    key = _key(table)
    lake.gold.write_bytes(key, json.dumps(content, indent=2).encode())
    return Promoted(settings, Promotion(table, name, pinned, lake.gold.locate(key)))


def withdraw(settings: Settings, lake: Lake | None = None, *, table: str) -> Promoted:
    """Undo `promote`: production reads the newest execution of the settings again.

    Args:
        settings: the lake's address.
        lake: the lake; without it the one that the settings name.
        table: of signals.

    Raises:
        UsageError: the table is not one of signals.
        MissingTable: the table has no promotion.
    """
    lake = resolve_lake(settings, lake, "withdraw")
    known = promoted(lake, table)
    if known is None:
        raise MissingTable(f"nothing of {table} is promoted at {lake.gold.address}", "see `hermes ls`")
    lake.gold.remove(_key(table))
    return Promoted(settings, known, withdrawn=True)


def promoted(lake: Lake, table: str) -> Promotion | None:
    """The promotion of a table of signals, None without one.

    Raises:
        UsageError: the table is not one of signals.
        StoreError: the stored promotion cannot be read.
    """
    key = _key(table)
    cure = f"promote again: `hermes promote {table}/EXECUTION`"
    said = lake.gold.read_json(key, "it is unknown what is promoted", cure)
    if said is None:
        return None
    if said.get("table", table) != table:
        of = lake.gold.locate(key)
        raise StoreError(f"{of} is of {said['table']}, and was copied: it is unknown what is promoted", cure)
    try:
        pinned = {key: said[key] if key not in FORMER else said.get(key, FORMER[key]) for key in PINNED}
        return Promotion(table, str(said["execution"]), pinned, lake.gold.locate(key))
    except KeyError:
        raise StoreError(f"{lake.gold.locate(key)} is incomplete: it is unknown what is promoted", cure) from None


def _key(table: str) -> str:
    named = parse_signals_table(table)
    if not named:
        raise UsageError(f"{table!r} is not a table of signals", "see `hermes ls` for the tables")
    strategy, dataset = named
    return dataset.promotion_key(strategy)
