"""Reads every published file again and compares it with the SHA-256 recorded when it was published."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any, Literal, NamedTuple

from hermes.dataset import (
    BRONZE_FREQUENCIES,
    FREQUENCIES,
    LOCKS,
    Dataset,
    FundingRates,
    parse_decisions_table,
    parse_execution,
    parse_feature_set_table,
    parse_features_table,
    parse_portfolio_table,
    parse_signals_table,
    parse_universe_table,
)
from hermes.errors import Misplaced, StoreError
from hermes.lake.executions import lineage_of
from hermes.lake.files import LakeFile
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake, Layer
from hermes.progress import SILENT, Progress
from hermes.settings import Settings

READERS = 8  # files hashed at once
ATTEMPTS = 3  # for a file that is replaced while it is read

_Verdict = Literal["same", "differs", "misplaced", "unrecorded", "no_record", "unreadable", "gone"]


@dataclass(slots=True)
class Verified:
    """The result of a verification; every list holds addresses.

    Attributes:
        datasets: whose files were read, also those that hold them among others; empty for the whole lake.
        files, bytes: how much was read.
        differs: files whose bytes are not those that were published.
        misplaced: files that were published elsewhere and copied, with the details.
        unrecorded: files of Hermes whose hash is no longer on record, so that changes cannot be detected.
        missing: files that were published, not removed by Hermes, and are gone.
        unreadable: files that the store could not read, with its error.
        no_record: files of other tools, without a hash to compare with. Neither a fault nor a proof.
    """

    settings: Settings
    datasets: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    differs: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    no_record: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Files that cannot be trusted."""
        wrong = (self.differs, self.misplaced, self.unrecorded, self.missing, self.unreadable)
        return sum(len(each) for each in wrong)

    def as_json(self) -> dict[str, Any]:
        """The result by name."""
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "settings"}
        return {**told, "verdict": "fault" if self.faults else "pass"}


def verify(
    settings: Settings, lake: Lake | None = None, *, datasets: Sequence[Dataset] = (), progress: Progress = SILENT
) -> Verified:
    """Read every file of the lake, or of some datasets, and compare it with its hash.

    Files of a dataset are also those that hold it among others: decisions and portfolios of its market and interval,
    comparisons, and which columns were promoted.

    A file of a folder is known to be missing by its record. On S3 the hash is part of the object: there only an
    execution whose `run.json` is left without its signals is known to be missing.

    Raises:
        StoreError: the lake cannot be listed.
    """
    started = perf_counter()
    lake = resolve_lake(settings, lake, "verify")
    made = Verified(settings, [str(dataset) for dataset in datasets])
    places = list(_places(lake, datasets))
    found = list(dict.fromkeys((place.layer, file) for place in places for file in place.files()))
    with (
        ThreadPoolExecutor(READERS) as pool,
        progress.task("bytes", len(found), "files") as advance,
    ):
        for (layer, file), (verdict, said) in zip(found, pool.map(lambda each: _judge(*each), found), strict=True):
            _note(made, layer, file, verdict, said)
            advance(1, f"{made.bytes / 1e6:,.0f} MB")
    made.missing += sorted(set(_missing(places, lake.gold, found)))
    made.seconds = perf_counter() - started
    return made


def _note(made: Verified, layer: Layer, file: LakeFile, verdict: _Verdict, said: str) -> None:
    if verdict == "gone":  # removed by Hermes meanwhile, or else counted as missing
        return
    made.files += 1
    made.bytes += file.size
    address = layer.locate(file.key)
    if verdict == "unreadable":
        made.unreadable.append(f"{address}: {said}")
    elif verdict == "misplaced":
        made.misplaced.append(said)
    elif verdict != "same":
        getattr(made, verdict).append(address)


def _judge(layer: Layer, file: LakeFile) -> tuple[_Verdict, str]:
    """Compare one file with its record; one that was replaced meanwhile is read again."""
    for _ in range(ATTEMPTS):
        try:
            found = layer.hashed(file)
            if found is None:
                return "gone", ""
            digest, recorded = found
            if digest in recorded:
                return ("misplaced", said) if (said := _misplaced(layer, file)) else ("same", "")
            if not recorded:
                return ("unrecorded" if _is_own(layer, file) else "no_record"), ""
            now = [each for each in layer.files(file.key.rpartition("/")[0], "") if each.key == file.key]
            if now == [file] and found == layer.hashed(file):
                break
        except StoreError as error:
            return "unreadable", str(error)
        file = now[0] if now else file
    return "differs", ""


def _misplaced(layer: Layer, file: LakeFile) -> str:
    """What is wrong with the place of a file whose bytes are right; "" if nothing is."""
    if not file.key.endswith(".parquet"):
        return ""
    try:
        lineage_of(layer, file)
    except Misplaced as error:
        return error.message
    except StoreError:  # no footer that can be read: the bytes are those that were published all the same
        return ""
    return ""


def _is_own(layer: Layer, file: LakeFile) -> bool:
    """Whether Hermes made a file without a hash on record."""
    if not file.key.endswith(".parquet"):
        return False
    try:
        return bool(layer.footer(file))
    except StoreError:
        return False


def _missing(places: "Sequence[_Place]", gold: Layer, found: Sequence[tuple[Layer, LakeFile]]) -> Iterator[str]:
    for place in places:
        present = {file.key for of, file in found if of is place.layer}
        yield from (place.layer.locate(key) for key in place.layer.lost(place.folder, present) if place.has(key))
    there = {file.key for layer, file in found if layer is gold}
    for key in there:
        folder, _, name = key.rpartition("/")
        signals = f"{folder}/signals.parquet"
        if name == "run.json" and parse_execution(folder.rpartition("/")[2]) and signals not in there:
            yield gold.locate(signals)


class _Place(NamedTuple):
    """What is looked into: files below a folder of a layer, all of them or those of some datasets."""

    layer: Layer
    folder: str
    has: Callable[[str], bool] = lambda _: True

    def files(self) -> list[LakeFile]:
        found = self.layer.files(self.folder, "")
        return [file for file in found if self.has(file.key) and not file.key.startswith(f"{LOCKS}/")]


def _places(lake: Lake, datasets: Sequence[Dataset]) -> Iterator[_Place]:
    if not datasets:
        yield from (_Place(layer, "") for layer in (lake.bronze, lake.silver, lake.gold, lake.test))
        return
    yield from (_Place(layer, "", lambda key: _is_of(key, datasets)) for layer in (lake.gold, lake.test))
    for dataset in datasets:
        rates = FundingRates.of(dataset)
        for series in [dataset, *([rates] if rates else [])]:
            yield from (_Place(lake.bronze, series.with_frequency(each).bronze_folder) for each in BRONZE_FREQUENCIES)
            yield _Place(lake.silver, series.silver_folder)
        for key in (dataset.with_frequency(each).refused_key for each in BRONZE_FREQUENCIES):
            yield _Place(lake.bronze, key.rpartition("/")[0], key.__eq__)
        yield _Place(lake.silver, dataset.rejects_key(1).rpartition("/year=")[0])
        yield _Place(lake.silver, dataset.quality_key.rpartition("/")[0])


def _is_of(key: str, datasets: Sequence[Dataset]) -> bool:
    """Whether a file of gold or of feature sets is of one of these datasets, alone or among others.

    Tables are folders, and give their names to what is kept about them: `audits/{table}.json`.
    """
    if key.startswith("features/"):  # what was promoted is in every table
        return True
    named = [part.removesuffix(".json") for part in key.split("/")[:2]]
    return any(_holds(name, dataset) for name in named for dataset in datasets)


def _holds(table: str, dataset: Dataset) -> bool:
    """Whether a table is of a dataset, or of many of which it may be one."""
    if parse_universe_table(table):
        return True
    if found := parse_decisions_table(table):
        return found[1:] == (dataset.market, dataset.interval)
    if strategy := parse_portfolio_table(table):
        return dataset.portfolio_table(strategy) == table
    if signals := parse_signals_table(table):
        return dataset.signals_table(signals[0]) == table
    tried = parse_feature_set_table(table)
    of = tried[1] if tried else parse_features_table(table)
    return of is not None and any(_nameless(dataset, each) == of for each in FREQUENCIES)


def _nameless(dataset: Dataset, frequency: str) -> Dataset:
    """As the name of a feature table gives it: without the provider."""
    return Dataset(market=dataset.market, data_frequency=frequency, symbol=dataset.symbol, interval=dataset.interval)
