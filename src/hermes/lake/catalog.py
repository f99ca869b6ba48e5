"""The tables of a lake."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from hermes.dataset import (
    TEST_LAYER,
    Dataset,
    parse_bronze_folder,
    parse_decisions_folder,
    parse_decisions_table,
    parse_feature_set_table,
    parse_features_table,
    parse_portfolio_table,
    parse_signals_table,
    parse_silver_folder,
    parse_universe_table,
)
from hermes.errors import HermesError, MissingTable, StoreError
from hermes.lake.executions import Execution, is_execution, main_file, newest, read_executions
from hermes.lake.files import LakeFile
from hermes.lake.store import DAMAGE_CURE, Lake, Layer
from hermes.schemas import BRONZE, DATETIME, FEATURES, in_microseconds, silver_schema

DEFAULT = "smart_momentum"  # whose tables have the short names, where no other strategy is asked for


@dataclass(frozen=True, slots=True)
class LakeTable:
    """One table of the lake; of signals, comparisons and portfolios, all executions of one strategy.

    Attributes:
        name: what SQL calls it, like `features_BTCUSDT_4h` or `signals_smart_momentum_BTCUSDT_4h`.
        alias: a short name like `signals_BTCUSDT_4h`, if this table has it; else "".
        folder: where it is, inside its layer.
        dataset: of its bars; None for tables of many datasets: comparisons, portfolios, decisions.
        files: its files; for tables of executions, the main file of each.
        size: bytes of all its files, all executions included.
        executions: number of executions; 0 for other tables.
    """

    name: str
    layer: str
    folder: str
    dataset: Dataset | None
    files: Sequence[LakeFile]
    size: int
    executions: int = 0
    strategy: str = ""
    alias: str = ""


#: Tells which execution of a table of signals is meant; raises MissingTable where none is.
Choose = Callable[[LakeTable], Execution]


def tables(lake: Lake, strategy: str = DEFAULT) -> list[LakeTable]:
    """Every table in the lake, in the order of the pipeline.

    Args:
        strategy: its tables of signals have the short names, unless those of one other strategy are promoted.
    """
    return [
        *_plain(lake.bronze, "bronze"),
        *_plain(lake.silver, "silver"),
        *_gold(lake.gold, strategy),
        *_sets(lake.test),
    ]


def as_it_is_now(lake: Lake, table: LakeTable) -> LakeTable | None:
    """A table listed before, with its current files; None if it has none any more.

    Only its own folder is listed, so it comes without its short name, which depends on the other tables.
    """
    layer: Layer = getattr(lake, table.layer)
    if table.layer == TEST_LAYER:
        found = _sets(layer, table.folder)
    elif table.layer == "gold":
        found = _gold(layer, table.strategy, table.folder)
    else:
        found = _plain(layer, table.layer, table.folder)
    return next((replace(each, alias="") for each in found if each.folder == table.folder), None)


def datasets(lake: Lake, layer: str) -> list[Dataset]:
    """The datasets that one layer holds bars of: bronze, silver, or gold features."""
    found = _gold(lake.gold, DEFAULT) if layer == "gold" else _plain(getattr(lake, layer), layer)
    return list(dict.fromkeys(table.dataset for table in found if table.dataset and not table.strategy))


def overview(
    lake: Lake, choose: Choose | None = None, strategy: str = DEFAULT
) -> tuple[list[dict[str, Any]], list[HermesError]]:
    """`described` of every table, and the errors of those that cannot be read."""
    found: list[dict[str, Any]] = []
    broken: list[HermesError] = []
    for table in tables(lake, strategy):
        try:
            found.append(described(lake, table, choose))
        except HermesError as error:
            broken.append(type(error)(f"{table.name}: {error.message}", error.cure))
    return found, broken


def executions(lake: Lake, dataset: Dataset, strategy: str) -> list[LakeFile]:
    """The signal files of one strategy, by name."""
    return [file for file in lake.gold.files(dataset.signals_table(strategy)) if is_execution(file)]


def described(lake: Lake, table: LakeTable, choose: Choose | None = None) -> dict[str, Any]:
    """The description of one table: name in SQL, address, rows, first and last open time, interval, bytes, executions.

    `interval` is None for a table of many datasets. Of executions it is the one that readers get, `execution`; it,
    `rows`, `first` and `last` are None where they get none.
    """
    layer: Layer = getattr(lake, table.layer)
    meant, rows, first, last = None, None, None, None
    try:
        meant = chosen(lake, table, choose)
    except MissingTable:
        pass
    else:
        rows, first, last = _extent(layer, table, scan(lake, table, meant))
    return {
        "table": table.name,
        "alias": table.alias or None,
        "layer": table.layer,
        "rows": rows,
        "first": first and first.isoformat(),
        "last": last and last.isoformat(),
        "interval": table.dataset and table.dataset.interval,
        "files": len(table.files) if meant is None else 1,
        "bytes": table.size,
        "executions": table.executions,
        "execution": meant and meant.name,
        "path": layer.locate(table.folder),
    }


def _extent(layer: Layer, table: LakeTable, plan: pl.LazyFrame) -> tuple[int, datetime | None, datetime | None]:
    """Rows, first and last time."""
    with layer.errors():
        if table.layer == "bronze":  # its times are still in the units of the files
            plan = plan.select(datetime=in_microseconds(pl.col("open_time")).cast(DATETIME))
        begin, end = ("first", "last") if parse_universe_table(table.folder) else ("datetime", "datetime")
        counted = plan.select(pl.len(), first=pl.col(begin).min(), last=pl.col(end).max())
        return counted.collect(engine="streaming").row(0)


def scan(lake: Lake, table: LakeTable, execution: Execution | None = None) -> pl.LazyFrame:
    """A lazy plan over one table, in the columns and types of its contract; a file that breaks it fails the plan.

    Args:
        execution: which one, of a table that has executions.
    """
    layer: Layer = getattr(lake, table.layer)
    if execution:
        checked_lineage(layer, execution)
        return layer.scan([execution.file])
    if table.dataset is None:
        return scan_decisions(layer, table.files)
    if table.layer == "gold":
        return scan_features(layer, table.files)
    if table.layer == TEST_LAYER:
        return pl.concat([layer.scan([file]) for file in table.files], how="diagonal_relaxed")
    layer.footers(table.files)  # each says where it was published: a file that was copied there is refused
    market = table.dataset.market if table.dataset else "spot"
    return layer.scan(table.files, schema=BRONZE if table.layer == "bronze" else silver_schema(market))


def scan_features(gold: Layer, files: Sequence[LakeFile]) -> pl.LazyFrame:
    """A lazy plan over a feature table: as its contract says where Hermes made all of it.

    Files of other tools may differ in columns and types: all columns then, in common types.
    """
    if all(gold.footers(files)):
        with gold.errors():
            columns = _with_promoted(gold.schemas(files))
        return gold.scan(files, schema=columns, extra_columns="ignore")
    return pl.concat([gold.scan([file]) for file in files], how="diagonal_relaxed")


def scan_decisions(gold: Layer, files: Sequence[LakeFile]) -> pl.LazyFrame:
    """A lazy plan over a table of decisions, each row once; where parameters changed, with the columns of all."""
    groups: dict[tuple[tuple[str, pl.DataType], ...], list[LakeFile]] = defaultdict(list)
    for file, schema in zip(files, gold.schemas(files), strict=True):
        groups[tuple(schema.items())].append(file)
    plans = [gold.scan(group) for group in groups.values()]
    return pl.concat(plans, how="diagonal_relaxed").unique("hash").sort("symbol", "sequence")


def checked_lineage(gold: Layer, execution: Execution) -> dict[str, Any]:
    """The lineage of an execution, with `execution` and `path`.

    Raises:
        StoreError: its columns are not those in the lineage.
    """
    file, about = execution.file, execution.lineage
    with gold.errors():
        found = {name: str(dtype) for name, dtype in gold.scan([file]).collect_schema().items()}
    wanted = about.get("columns", found)
    for name in (*wanted, *found):
        if found.get(name) != wanted.get(name):
            there, then = found.get(name, "missing"), wanted.get(name, "missing")
            raise StoreError(f"{file.location}: column {name} is {there}, and was {then} when published", DAMAGE_CURE)
    return {"execution": execution.name, "path": file.location, **about}


def chosen(lake: Lake, table: LakeTable, choose: Choose | None) -> Execution | None:
    """The execution of a table that is read by default; None for other tables."""
    if not table.executions:
        return None
    if choose and table.dataset:
        return choose(table)
    found = newest(read_executions(lake.gold, table.files))
    assert found
    return found


def _with_promoted(schemas: Sequence[pl.Schema]) -> dict[str, pl.DataType]:
    """The contract's columns, and after them those that all files have beside it: promoted ones."""
    common = [name for name in schemas[0] if all(name in each for each in schemas)] if schemas else []
    return {**FEATURES, **{name: schemas[0][name] for name in common if name not in FEATURES}}


def _by_folder(layer: Layer, under: str, end: str = "/") -> list[tuple[str, list[LakeFile]]]:
    """The files of a layer by what comes before `end` in their keys, sorted by it."""
    groups: dict[str, list[LakeFile]] = defaultdict(list)
    for file in layer.files(under):
        if end in file.key:
            groups[file.key.partition(end)[0]].append(file)
    return sorted(groups.items())


def _plain(layer: Layer, name: str, under: str = "") -> Iterator[LakeTable]:
    """Bronze and silver: one table per folder of year folders."""
    parse = parse_bronze_folder if name == "bronze" else parse_silver_folder
    for folder, files in _by_folder(layer, under, "/year="):
        if dataset := parse(folder):
            suffix = f"_{dataset.data_frequency}" if name == "bronze" and dataset.data_frequency != "monthly" else ""
            size = sum(file.size for file in files)
            yield LakeTable(f"{name}{_suffix(dataset)}{suffix}", name, folder, dataset, files, size)


def _sets(layer: Layer, under: str = "") -> Iterator[LakeTable]:
    """Feature sets: columns under trial."""
    for folder, files in _by_folder(layer, under):
        if found := parse_feature_set_table(folder):
            feature_set, dataset = found
            daily = "_daily" if dataset.data_frequency == "daily" else ""
            name = f"features_{feature_set}{_suffix(dataset)}{daily}"
            yield LakeTable(name, TEST_LAYER, folder, dataset, files, sum(file.size for file in files))


def _gold(layer: Layer, strategy: str, under: str = "") -> Iterator[LakeTable]:
    """Features, signals, comparisons, portfolios and decisions: one table per first folder."""
    signals: list[LakeTable] = []
    universes: list[LakeTable] = []
    portfolios: list[LakeTable] = []
    decided: list[LakeTable] = []
    for folder, files in _by_folder(layer, under):
        size = sum(file.size for file in files)
        made = [file for file in files if is_execution(file, main_file(folder))]
        if dataset := parse_features_table(folder):
            daily = "_daily" if dataset.data_frequency == "daily" else ""
            yield LakeTable(f"features{_suffix(dataset)}{daily}", "gold", folder, dataset, files, size)
        elif (found := parse_signals_table(folder)) and made:
            by, of_signals = found
            name = f"signals_{by}{_suffix(of_signals)}"
            signals.append(LakeTable(name, "gold", folder, of_signals, made, size, len(made), by))
        elif (made_by := parse_universe_table(folder) or parse_portfolio_table(folder)) and made:
            many = universes if parse_universe_table(folder) else portfolios
            many.append(LakeTable(folder, "gold", folder, None, made, size, len(made), made_by))
        elif of := parse_decisions_table(folder):
            made = [file for file in files if parse_decisions_folder(file.key.rpartition("/")[0])]
            decided.append(LakeTable(folder, "gold", folder, None, made, size, strategy=of[0]))
    promoted = {file.key.partition("/")[2].removesuffix(".json") for file in layer.files("promotions", ".json")}
    for table in signals:
        rivals = [other.folder for other in signals if other.dataset == table.dataset and other.folder in promoted]
        short = table.folder == rivals[0] if len(rivals) == 1 else table.strategy == strategy
        assert table.dataset
        yield replace(table, alias=f"signals{_suffix(table.dataset)}") if short else table
    for table in universes:
        yield replace(table, alias="universe") if table.strategy == strategy or len(universes) == 1 else table
    yield from portfolios
    yield from (table for table in decided if table.files)


def _suffix(dataset: Dataset) -> str:
    market = "" if dataset.market == "spot" else f"_{dataset.market}"
    return f"{market}_{dataset.symbol}_{dataset.interval}"
