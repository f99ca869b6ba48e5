"""Which execution is meant: the newest of what was promoted, else the newest of what the settings ask for.

An experiment with other parameters, another span or another account is published like any other execution; it is read
by its name, and never taken for what production decides on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hermes.dataset import Dataset, parse_signals_table, strategy_file
from hermes.errors import HermesError, MissingTable, StoreError, StrategyError, UsageError
from hermes.lake import catalog
from hermes.lake.catalog import LakeTable
from hermes.lake.executions import SIGNALS, Execution, is_execution, newest, read_executions
from hermes.lake.store import Lake
from hermes.lineage import fields_with
from hermes.settings import AccountSettings, Settings
from hermes.strategies import find_strategy, strategy_name

FORMAT = 1  # of the promotion's JSON
#: Of executions that say nothing of it.
_FORMER = {"account": AccountSettings().model_dump(mode="json"), "feature_set": None}
#: What a promotion pins, and what makes two executions of one table alike.
PINNED = tuple(name for name in fields_with("identity") if name not in ("dataset", "strategy"))  # those name the table
MOST_NAMED = 5  # executions that an error describes
_NOT_THIS = (
    "run `hermes signals` with these settings, name one with --execution (`show`, `report`), or pin one:"
    " `hermes promote EXECUTION`"
)


@dataclass(frozen=True, slots=True)
class Promoted:
    """What production reads of one table.

    Attributes:
        table: of the signals.
        execution: the one that was named; newer ones that were made alike follow it.
        pinned: parameters, configured start and end, account, feature set.
        path: where gold keeps it.
    """

    table: str
    execution: str
    pinned: Mapping[str, Any]
    path: str

    def as_json(self) -> dict[str, Any]:
        """The result by name."""
        return {"table": self.table, "execution": self.execution, **self.pinned, "path": self.path}


def identity(settings: Settings, strategy: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What makes two executions of a table the same thing at different times, as the lineage has it.

    Args:
        settings: they configure span and account.
        strategy: its name.
        parameters: of the strategy; without them those that the settings give it.

    Returns:
        parameters, start, end, backtest, account, feature_set. Without `parameters` where nobody can tell them: a
        strategy that is in a file which the settings do not name.

    Raises:
        StrategyError, UsageError: the strategy cannot be loaded or is misconfigured.
    """
    start, end = settings.signals.start, settings.signals.end
    about = {
        "start": start and start.isoformat(),
        "end": end and end.isoformat(),
        "backtest": settings.backtest.model_dump(mode="json"),
        "account": settings.account.model_dump(mode="json"),
        "feature_set": settings.features.feature_set or None,
    }
    if parameters is None:
        spec = settings.signals.strategy if strategy_name(settings.signals.strategy) == strategy else strategy
        try:
            found = find_strategy(spec)
        except StrategyError:
            if strategy_file(spec):
                raise
            return about
        parameters = found.make(settings.strategy.get(strategy, {})).parameters.model_dump(mode="json")
    return {"parameters": dict(parameters), **about}


def matches(execution: Execution, wanted: Mapping[str, Any]) -> bool:
    """Whether an execution was made as `wanted` says (from `identity` or a promotion); another tool's never was."""
    return bool(execution.lineage) and not _differences(execution.lineage, wanted)


def find_execution(settings: Settings, lake: Lake, name: str | None = None) -> Execution:
    """The execution of the settings' dataset and strategy that `name` names, or that production reads.

    Raises:
        MissingTable: there is none; says which there are.
        StoreError: it, or a later one, cannot be read.
        StrategyError, UsageError: the strategy is unknown or misconfigured.
    """
    strategy = strategy_name(settings.signals.strategy)
    table = settings.dataset.signals_table(strategy)
    files = catalog.executions(lake, settings.dataset, strategy)
    if not files:
        raise MissingTable(f"gold has no execution in {table} at {lake.gold.address}", "run `hermes signals` first")
    if name is None:
        return _chosen(settings, lake, table, strategy, read_executions(lake.gold, files))
    named = {file.key.split("/")[1]: file for file in files}
    if name not in named:
        raise MissingTable(f"{table} has no {name!r}", f"it has {_listed(sorted(named))}")
    (found,) = read_executions(lake.gold, [named[name]])
    if found.error:
        raise found.error
    return found


def production(settings: Settings, lake: Lake) -> catalog.Choose:
    """Tells `catalog` which execution of a table of signals is meant; it raises as `find_execution` does."""

    def choose(table: LakeTable) -> Execution:
        return _chosen(settings, lake, table.folder, table.strategy, read_executions(lake.gold, table.files))

    return choose


def overview(settings: Settings, lake: Lake) -> tuple[list[dict[str, Any]], list[HermesError]]:
    """`catalog.overview` of what production reads; a table of signals says whether it was `promoted`."""
    found, broken = catalog.overview(lake, production(settings, lake), short_names(settings))
    for each in found:
        table = each["path"].rpartition("/")[2]
        each["promoted"] = bool(each["execution"]) and bool(parse_signals_table(table)) and bool(promoted(lake, table))
    return found, broken


def short_names(settings: Settings) -> str:
    """The strategy whose tables have the short names in SQL; of a file that cannot be loaded, the default one."""
    try:
        return strategy_name(settings.signals.strategy)
    except HermesError:
        return catalog.DEFAULT


def newest_alike(lake: Lake, dataset: Dataset, strategy: str, wanted: Mapping[str, Any]) -> Execution | None:
    """The newest execution that was made as `wanted` says, promoted or not; None without one."""
    found = read_executions(lake.gold, catalog.executions(lake, dataset, strategy))
    return newest(found, lambda each: matches(each, wanted))


def promote(lake: Lake, execution: str) -> Promoted:
    """Pin what production reads: the newest execution with the strategy, parameters, span and account of this one.

    Args:
        execution: its folder's name; `TABLE/EXECUTION`, where several tables have one of that name; or the address
            of its file.

    Raises:
        UsageError, MissingTable: no execution, or several, are called so.
        StoreError: it was made by another tool, or cannot be read.
    """
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
    pinned = {key: made.lineage.get(key, _FORMER.get(key)) for key in PINNED}
    content = {
        "format": FORMAT, "table": table, "execution": name, "promoted_at": datetime.now(UTC).isoformat(), **pinned
    }  # fmt: skip
    key = _key(table)
    lake.gold.write_bytes(key, json.dumps(content, indent=2).encode())
    return Promoted(table, name, pinned, lake.gold.locate(key))


def withdraw(lake: Lake, table: str) -> Promoted:
    """Undo `promote`: production reads the newest execution of what the settings ask for.

    Raises:
        MissingTable: nothing is promoted there.
    """
    known = promoted(lake, table)
    if known is None:
        raise MissingTable(f"nothing of {table} is promoted at {lake.gold.address}", "see `hermes ls`")
    lake.gold.remove(_key(table))
    return known


def promoted(lake: Lake, table: str) -> Promoted | None:
    """What was promoted of a table of signals, None without a promotion.

    Raises:
        StoreError: what gold keeps of it cannot be read.
    """
    key = _key(table)
    cure = f"promote again: `hermes promote {table}/EXECUTION`"
    said = lake.gold.read_json(key, "nobody can tell what is promoted", cure)
    if said is None:
        return None
    try:
        pinned = {key: said[key] if key not in _FORMER else said.get(key, _FORMER[key]) for key in PINNED}
        return Promoted(table, str(said["execution"]), pinned, lake.gold.locate(key))
    except KeyError:
        raise StoreError(f"{lake.gold.locate(key)} is not whole: nobody can tell what is promoted", cure) from None


def _key(table: str) -> str:
    named = parse_signals_table(table)
    if not named:
        raise UsageError(f"{table!r} is no table of signals", "see `hermes ls` for the tables")
    strategy, dataset = named
    return dataset.promotion_key(strategy)


def production_identity(settings: Settings | None, lake: Lake, table: str) -> Mapping[str, Any] | None:
    """What production reads of a table of signals, see `identity`; None without a promotion and settings."""
    if known := promoted(lake, table):
        return known.pinned
    named = parse_signals_table(table)
    return identity(settings, named[0]) if settings and named else None


def _chosen(settings: Settings, lake: Lake, table: str, strategy: str, executions: Sequence[Execution]) -> Execution:
    known = promoted(lake, table)
    wanted = known.pinned if known else identity(settings, strategy)
    found = newest(executions, lambda each: matches(each, wanted))
    if found:
        return found
    what = "made as what is promoted" if known else "made as the settings say"
    there = "; ".join(_described(each, wanted) for each in executions[: -MOST_NAMED - 1 : -1])
    more = f"; and {len(executions) - MOST_NAMED} older" if len(executions) > MOST_NAMED else ""
    raise MissingTable(f"{table} has no execution {what}. There is {there}{more}", _NOT_THIS)


def _described(execution: Execution, wanted: Mapping[str, Any]) -> str:
    if not execution.lineage:
        return f"{execution.name} (of another tool, without lineage)"
    parts = (
        f"{name} {_told(found)}, not {_told(asked)}" for name, found, asked in _differences(execution.lineage, wanted)
    )
    return f"{execution.name} ({'; '.join(parts)})"


def _differences(lineage: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, of the lineage, wanted) of all that is not alike; parameters and account value by value."""
    found = []
    for name, asked in wanted.items():
        made = lineage.get(name, _FORMER.get(name))
        if isinstance(asked, Mapping):
            made = made if isinstance(made, Mapping) else {}
            found += [
                (key, made.get(key), asked.get(key)) for key in {**asked, **made} if made.get(key) != asked.get(key)
            ]
        elif made != asked:
            found.append((name, made, asked))
    return found


def _told(value: Any) -> str:
    return "none" if value is None else str(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[-MOST_NAMED:])
    return shown if len(names) <= MOST_NAMED else f"{len(names)}, the newest {shown}"


def why_not_production(settings: Settings, lake: Lake, strategy: str, made: Mapping[str, Any]) -> HermesError | None:
    """What is promoted, where what was just `made` (a lineage) is not alike, as a message for its maker; else None."""
    known = promoted(lake, settings.dataset.signals_table(strategy))
    if known is None or not _differences(made, known.pinned):
        return None
    return HermesError(
        f"{known.table}: readers go on with what was promoted ({known.execution} and newer ones like it)",
        "`hermes promote` the new execution if they shall read it",
    )
