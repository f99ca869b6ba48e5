"""Which execution is read by default: the newest of what was promoted, else the newest of the settings.

An experiment with other parameters, another span or another account is published like any execution, but read only
by its name, never by default.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hermes.dataset import Dataset, parse_signals_table, strategy_file
from hermes.errors import HermesError, MissingTable, StrategyError
from hermes.lake import catalog
from hermes.lake.catalog import LakeTable
from hermes.lake.executions import Execution, newest, read_executions
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.steps.promotion import FORMER, promoted
from hermes.strategies import find_strategy, strategy_name

MOST_NAMED = 5  # executions that an error describes
#: Options of the account that are not called as their settings.
_OPTIONS = {"initial_cash": "--cash"}


def identity(settings: Settings, strategy: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The identity of an execution: what two executions of a table share if one is the successor of the other.

    Args:
        settings: the span and the account.
        strategy: its name.
        parameters: of the strategy; by default those of the settings.

    Returns:
        parameters, start, end, backtest, account, feature_set. Without `parameters` if they are unknown: a
        strategy from a file that the settings do not name.

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
    """Whether an execution has the identity `wanted` (from `identity` or a promotion); another tool's never has."""
    return bool(execution.lineage) and not _differences(execution.lineage, wanted)


def find_execution(settings: Settings, lake: Lake, name: str | None = None) -> Execution:
    """The execution of the settings' dataset and strategy called `name`; without a name the one that production reads.

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
    """A function that tells `catalog` which execution of a table to read; it raises as `find_execution` does."""

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
    """The strategy whose tables have short names in SQL; the default one if the configured file cannot be loaded."""
    try:
        return strategy_name(settings.signals.strategy)
    except HermesError:
        return catalog.DEFAULT


def newest_alike(lake: Lake, dataset: Dataset, strategy: str, wanted: Mapping[str, Any]) -> Execution | None:
    """The newest execution with the identity `wanted`, promoted or not; None without one."""
    found = read_executions(lake.gold, catalog.executions(lake, dataset, strategy))
    return newest(found, lambda each: matches(each, wanted))


def production_identity(settings: Settings, lake: Lake, table: str) -> Mapping[str, Any] | None:
    """The identity that production reads of a table of signals; None for any other table."""
    if known := promoted(lake, table):
        return known.pinned
    named = parse_signals_table(table)
    return identity(settings, named[0]) if named else None


def _chosen(settings: Settings, lake: Lake, table: str, strategy: str, executions: Sequence[Execution]) -> Execution:
    known = promoted(lake, table)
    wanted = known.pinned if known else identity(settings, strategy)
    found = newest(executions, lambda each: matches(each, wanted))
    if found:
        return found
    what = "made as what is promoted" if known else "made as the settings say"
    there = "; ".join(_described(each, wanted) for each in executions[: -MOST_NAMED - 1 : -1])
    more = f"; and {len(executions) - MOST_NAMED} older" if len(executions) > MOST_NAMED else ""
    cure = _how_to_read(table, executions[-1], wanted, pinned=known is not None)
    raise MissingTable(f"{table} has no execution {what}. There is {there}{more}", cure)


def _how_to_read(table: str, execution: Execution, wanted: Mapping[str, Any], *, pinned: bool) -> str:
    """The commands that read an execution with another identity, and that make one with this identity."""
    tellable = execution.lineage and "parameters" in wanted and not pinned
    options = " ".join(_options(execution.lineage, wanted)) if tellable else f"--execution {execution.name}"
    read = f"`hermes show` and `hermes report` read the newest with {options}"
    if not execution.lineage:
        return f"{read}; `hermes signals` makes one as the settings say"
    pin = f"`hermes promote {table}/{execution.name}` has everything read it"
    if pinned:
        return f"{read}; {pin}; `hermes promote --withdraw {table}` goes back to what the settings say"
    return f"{read}; {pin}; `hermes signals` makes one as the settings say"


def _options(lineage: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """The options that turn the identity `wanted` into that of the lineage."""
    parameters = wanted["parameters"]
    for name, made, _ in _differences(lineage, wanted):
        value = shlex.quote("" if made is None else str(made))
        is_parameter = name in parameters or name in lineage.get("parameters", {})
        yield (
            f"--set {name}={value}" if is_parameter else f"{_OPTIONS.get(name, '--' + name.replace('_', '-'))} {value}"
        )


def _described(execution: Execution, wanted: Mapping[str, Any]) -> str:
    if not execution.lineage:
        return f"{execution.name} (of another tool, without lineage)"
    parts = (
        f"{name} {_as_text(found)}, not {_as_text(asked)}"
        for name, found, asked in _differences(execution.lineage, wanted)
    )
    return f"{execution.name} ({'; '.join(parts)})"


def _differences(lineage: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """All differences as (name, value in the lineage, value wanted), parameters and account value by value."""
    found = []
    for name, asked in wanted.items():
        made = lineage.get(name, FORMER.get(name))
        if isinstance(asked, Mapping):
            made = made if isinstance(made, Mapping) else {}
            found += [
                (key, made.get(key), asked.get(key)) for key in {**asked, **made} if made.get(key) != asked.get(key)
            ]
        elif made != asked:
            found.append((name, made, asked))
    return found


def _as_text(value: Any) -> str:
    return "none" if value is None else str(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[-MOST_NAMED:])
    return shown if len(names) <= MOST_NAMED else f"{len(names)}, the newest {shown}"


def why_not_production(settings: Settings, lake: Lake, strategy: str, made: Mapping[str, Any]) -> HermesError | None:
    """A message about the promotion if the lineage `made` has another identity; else None."""
    known = promoted(lake, settings.dataset.signals_table(strategy))
    if known is None or not _differences(made, known.pinned):
        return None
    return HermesError(
        f"{known.table}: readers still get what was promoted ({known.execution} and newer ones like it)",
        "`hermes promote` the new execution if readers should get it",
    )
