"""Removes old executions, recent files that the archive now covers, and leftovers of dead processes in staging.

Files that are in use, new, read by production or of another tool are kept. Executions need no lock: each is
created under a new name, later than all that are there, and only names that were listed before are removed, never the
one that was published last.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from hermes.dataset import (
    FREQUENCIES,
    RECENT,
    Dataset,
    FundingRates,
    iceberg_key,
    parse_bronze_folder,
    parse_execution,
    parse_funding_folder,
    parse_signals_table,
)
from hermes.errors import DatasetLocked, StoreError, UsageError
from hermes.lake.backends.folder import explain
from hermes.lake.backends.staging import Leftover, leftovers, of_somebody_else, sweep
from hermes.lake.executions import SIGNALS, Execution, main_file, read_executions
from hermes.lake.files import LakeFile
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.schemas import BRONZE, BRONZE_FUNDING, in_microseconds
from hermes.settings import Settings
from hermes.steps.production import matches, production_identity
from hermes.text import counted

_COMPARED = [name for name in BRONZE if name not in ("line", "open_time", "close_time", "ignore")]


@dataclass(frozen=True, slots=True)
class Removal:
    """The folder of one execution or comparison: its files, the main file last."""

    table: str
    folder: str
    files: Sequence[LakeFile]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)


@dataclass(slots=True)
class Pruned:
    """What is or would be removed.

    Attributes:
        done: whether it was removed, or only listed.
        executions: complete executions.
        remains: folders that an interrupted prune left without their main file.
        recent: days of live bars, and months of live funding, that the archive now holds with equal values.
        staging: leftovers of dead processes.
        foreign: addresses of old executions that are kept, because Hermes has no record of making them.
        notes: what could not be examined.
    """

    settings: Settings
    done: bool
    executions: list[Removal] = field(default_factory=list)
    remains: list[Removal] = field(default_factory=list)
    recent: list[LakeFile] = field(default_factory=list)
    staging: list[Leftover] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes freed."""
        folders = sum(each.size for each in (*self.executions, *self.remains))
        return folders + sum(each.size for each in self.recent) + sum(each.size for each in self.staging)

    def as_json(self) -> dict[str, Any]:
        """The result by name."""
        return {
            "removed": self.done,
            "executions": [f"{each.table}/{each.folder}" for each in self.executions],
            "remains": [f"{each.table}/{each.folder}" for each in self.remains],
            "recent": [each.key for each in self.recent],
            "staging": [str(each.path) for each in self.staging],
            "foreign": self.foreign,
            "notes": self.notes,
            "bytes": self.bytes,
        }


def prune(
    settings: Settings,
    lake: Lake | None = None,
    *,
    keep: int,
    datasets: Sequence[Dataset] = (),
    remove: bool = False,
    progress: Progress = SILENT,
) -> Pruned:
    """Find the executions that are older than the newest `keep` of their table; with `remove`, remove them.

    Their order comes from the lineage, see `lake.executions`. As many of those that production reads are kept.

    Args:
        settings: the lake, and what production reads if nothing was promoted.
        lake: the lake; without it the one that the settings name.
        keep: number of executions to keep in every table, at least 1.
        datasets: limits the tables to these datasets; by default all tables, including comparisons.
        remove: whether to remove anything; by default nothing is changed.
        progress: told how far the work is.

    Raises:
        UsageError: `keep` is less than 1.
        StoreError: the lake cannot be listed, or a file cannot be removed; earlier removals are complete.
    """
    if keep < 1:
        raise UsageError(f"keep = {keep}: at least one execution of every table stays", "give 1 or more")
    lake = resolve_lake(settings, lake, "prune")
    made = Pruned(settings, done=remove)
    for table, folders in _executions(lake, datasets).items():
        _judge(made, lake, table, folders, keep)
    removal = [*made.remains, *made.executions]
    with progress.task("prune", len(removal), "executions") as advance:
        for each in removal if remove else ():
            for file in each.files:  # the main file last: until then the execution is complete for every reader
                lake.gold.remove(file.key)
            advance(1, each.folder)
    for dataset in recent_datasets(lake, datasets):
        _superseded(made, lake, dataset)
    for root in sorted({layer.staging for layer in (lake.bronze, lake.silver, lake.gold)}):
        made.staging += _staging(made, root, remove=remove)
    return made


def _executions(lake: Lake, datasets: Sequence[Dataset]) -> Mapping[str, Mapping[str, list[LakeFile]]]:
    """table → execution's folder → its files."""
    found: dict[str, dict[str, list[LakeFile]]] = defaultdict(lambda: defaultdict(list))
    wanted = {(each.market, each.symbol, each.interval) for each in datasets}
    for file in lake.gold.files("", ""):
        table, _, rest = file.key.partition("/")
        folder = rest.partition("/")[0]
        if parse_execution(folder) and _is_asked(table, wanted):
            found[table][folder].append(file)
    return found


def _is_asked(table: str, wanted: set[tuple[str, str, str]]) -> bool:
    """Whether `table` has executions and is one of the requested ones."""
    if signals := parse_signals_table(table):
        _, dataset = signals
        return not wanted or (dataset.market, dataset.symbol, dataset.interval) in wanted
    return not wanted and main_file(table) != SIGNALS


def _judge(made: Pruned, lake: Lake, table: str, folders: Mapping[str, list[LakeFile]], keep: int) -> None:
    main = main_file(table)
    keys = {f"{table}/{folder}/{main}" for folder in folders}
    whole = read_executions(lake.gold, [file for files in folders.values() for file in files if file.key in keys])
    exported = _exported(lake, table)
    stays = _staying(whole, keep, lake, table, made.settings)
    for each in whole:
        if each.error:
            made.notes.append(f"{each.error.message}: it stays")
        elif each.name in stays:
            continue
        elif each.name in exported:
            made.notes.append(f"{each.file.location}: a snapshot of Iceberg refers to it, so it stays")
        elif lake.gold.is_own(each.file.key):
            files = sorted(folders[each.name], key=lambda file: file.key.endswith(f"/{main}"))
            made.executions.append(Removal(table, each.name, files))
        else:
            made.foreign.append(lake.gold.locate(f"{table}/{each.name}"))
    # Later than the last that is whole, they may be of a run that is just publishing.
    names = {each.name for each in whole}
    for folder in sorted(folders.keys() - names):
        if names and folder < max(names) and not lake.gold.files(f"{table}/{folder}"):
            made.remains.append(Removal(table, folder, folders[folder]))


def _staying(whole: Sequence[Execution], keep: int, lake: Lake, table: str, settings: Settings) -> set[str]:
    """Names to keep: the newest, the newest that production reads, and the one that was published last."""
    stays = {each.name for each in whole[-keep:]} | {max((each.name for each in whole), default="")}
    if parse_signals_table(table) and (wanted := production_identity(settings, lake, table)):
        stays |= {each.name for each in [each for each in whole if matches(each, wanted)][-keep:]}
    return stays


def _superseded(made: Pruned, lake: Lake, dataset: Dataset) -> None:
    """Under the dataset's lock: a live process or a run may be publishing these very files."""
    try:
        with lake.locked(dataset, "prune") as own:
            gone, differing = superseded(dataset, own)
            for file in gone if made.done else ():
                own.bronze.remove(file.key)
    except DatasetLocked as error:
        made.notes.append(f"recent files of {dataset} were left alone: {error.message}")
        return
    made.recent += gone
    if differing:
        made.notes.append(f"{dataset}: kept {counted(len(differing), 'recent file')}, differing from the archive")


def _exported(lake: Lake, table: str) -> set[str]:
    """Executions of a table that snapshots of Iceberg refer to, see `hermes.iceberg`.

    Raises:
        StoreError: the note about them cannot be read.
    """
    key = iceberg_key(table)
    content = lake.gold.read(key)
    if content is None:
        return set()
    try:
        return set(json.loads(content)["executions"])
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{lake.gold.locate(key)} cannot be read, so it is unknown what Iceberg's snapshots refer to",
            "run `hermes export iceberg` again",
        ) from None


def _staging(made: Pruned, root: Path, *, remove: bool) -> Iterator[Leftover]:
    try:
        yield from sweep(root) if remove else leftovers(root)
    except PermissionError as error:
        made.notes.append("staging was left alone: {}; {}".format(*of_somebody_else(error, root)))
    except OSError as error:
        made.notes.append(f"staging was left alone: {explain(error, str(root)).message}")


def recent_datasets(lake: Lake, datasets: Sequence[Dataset] = ()) -> list[Dataset]:
    """Datasets, and funding rates of contracts, with recent files in bronze: of these, or of all."""
    if datasets:
        rates = dict.fromkeys(each for dataset in datasets if (each := FundingRates.of(dataset)))
        wanted = [*datasets, *rates]
        return [each for each in wanted if lake.bronze.files(each.with_frequency(RECENT).bronze_folder)]
    folders = {file.key.partition("/year=")[0] for file in lake.bronze.files("") if f"/{RECENT}/" in file.key}
    found = [parse_bronze_folder(folder) or parse_funding_folder(folder) for folder in sorted(folders)]
    return [each.with_frequency("monthly") for each in found if each]


def superseded(dataset: Dataset, lake: Lake) -> tuple[list[LakeFile], list[LakeFile]]:
    """Recent files whose every row stands in the archive's files with the same values, and those that differ.

    One that the archive covers only in part is in neither list. One that differs is kept: it is what was seen live, and
    the quality table counts the difference.

    Raises:
        StoreError: a file cannot be read.
    """
    recent = dataset.with_frequency(RECENT)
    gone: list[LakeFile] = []
    differing: list[LakeFile] = []
    for file in lake.bronze.files(recent.bronze_folder):
        begin = recent.parse_stem(PurePosixPath(file.key).stem)
        if begin is None:
            continue
        wanted = {dataset.with_frequency(each).bronze_key(begin) for each in FREQUENCIES}
        wanted |= {dataset.with_frequency("monthly").bronze_key(begin.replace(day=1))}
        archived = [
            each for key in sorted(wanted) for each in lake.bronze.files(key.rpartition("/")[0]) if each.key == key
        ]
        if not archived:
            continue
        rows = _rates if isinstance(dataset, FundingRates) else _bars
        seen, said = rows(lake, [file]), rows(lake, archived)
        if seen.join(said, on="time", how="anti").height:
            continue
        same = seen.join(said, on=seen.columns, how="anti").is_empty()
        (gone if same else differing).append(file)
    return gone, differing


def _bars(lake: Lake, files: Sequence[LakeFile]) -> pl.DataFrame:
    time = in_microseconds(pl.col("open_time")).alias("time")
    with lake.bronze.errors():
        return lake.bronze.scan(files, schema=BRONZE).select(time, *_COMPARED).collect()


def _rates(lake: Lake, files: Sequence[LakeFile]) -> pl.DataFrame:
    time = pl.from_epoch("calc_time", time_unit="ms").dt.round("1m").alias("time")  # as silver has it
    with lake.bronze.errors():
        return lake.bronze.scan(files, schema=BRONZE_FUNDING).select(time, "last_funding_rate").collect()
