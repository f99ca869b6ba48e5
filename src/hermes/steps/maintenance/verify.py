"""Reads every published file again and compares it with the SHA-256 recorded when it was published."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any, Literal

from hermes.dataset import (
    BRONZE_FREQUENCIES,
    FREQUENCIES,
    LOCKS,
    Dataset,
    parse_execution,
    parse_feature_set_table,
    parse_signals_table,
)
from hermes.errors import Misplaced, StoreError
from hermes.lake.executions import lineage_of
from hermes.lake.files import LakeFile
from hermes.lake.opening import opened
from hermes.lake.store import Lake, Layer
from hermes.progress import SILENT, Progress
from hermes.settings import Settings

READERS = 8  # files hashed at once
ATTEMPTS = 3  # for a file that is replaced while it is read

_Verdict = Literal["same", "differs", "misplaced", "unrecorded", "no_record", "unreadable", "gone"]


@dataclass(slots=True)
class Verified:
    """What a comparison found; every list holds addresses.

    Attributes:
        files: how many were read; bytes: how much.
        differs: their bytes are not those that were published.
        misplaced: they were published elsewhere, and copied to where they are; with what they say.
        unrecorded: Hermes made them, and their hash is no longer on record: nobody can tell whether they changed.
        missing: published once, not removed by Hermes, and not there any more.
        unreadable: the store could not give their bytes; with what it said.
        no_record: there is nothing to compare with: another tool wrote them. No fault, and no proof.
    """

    settings: Settings
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
    """Read every file of the lake again, or those of some datasets, several at once.

    A file of a folder is known to be missing by its record. On S3 the hash is part of the object: there only an
    execution whose `run.json` is left without its signals is known to be missing.

    Raises:
        StoreError: the lake cannot be listed.
    """
    started = perf_counter()
    lake = opened(settings, lake, "verify")
    made = Verified(settings)
    found = [(layer, file) for layer, prefix in _places(lake, datasets) for file in _listed(layer, prefix)]
    with (
        ThreadPoolExecutor(READERS) as pool,
        progress.task("bytes", len(found), "files") as advance,
    ):
        for (layer, file), (verdict, said) in zip(found, pool.map(lambda each: _judge(*each), found), strict=True):
            _note(made, layer, file, verdict, said)
            advance(1, f"{made.bytes / 1e6:,.0f} MB")
    made.missing += sorted(set(_missing(lake, datasets, found)))
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
    """What is wrong with the place of a file whose bytes are right; "" where nothing is."""
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
    """Whether Hermes made a file that no hash is on record for."""
    if not file.key.endswith(".parquet"):
        return False
    try:
        return bool(layer.footer(file))
    except StoreError:
        return False


def _listed(layer: Layer, prefix: str) -> list[LakeFile]:
    return [file for file in layer.files(prefix, "") if not file.key.startswith(f"{LOCKS}/")]


def _missing(lake: Lake, datasets: Sequence[Dataset], found: Sequence[tuple[Layer, LakeFile]]) -> Iterator[str]:
    for layer, prefix in _places(lake, datasets):
        present = {file.key for of, file in found if of is layer}
        yield from (layer.locate(key) for key in layer.lost(prefix, present))
    gold = {file.key for layer, file in found if layer is lake.gold}
    for key in gold:
        folder, _, name = key.rpartition("/")
        signals = f"{folder}/signals.parquet"
        if name == "run.json" and parse_execution(folder.rpartition("/")[2]) and signals not in gold:
            yield lake.gold.locate(signals)


def _places(lake: Lake, datasets: Sequence[Dataset]) -> Iterator[tuple[Layer, str]]:
    """The folders to look into: whole layers, or whatever belongs to some datasets."""
    if not datasets:
        yield from ((layer, "") for layer in (lake.bronze, lake.silver, lake.gold, lake.test))
        return
    tables = {file.key.partition("/")[0] for file in lake.gold.files("")}
    sets = {file.key.partition("/")[0] for file in lake.test.files("")}
    for dataset in datasets:
        series = [dataset.with_frequency(frequency) for frequency in FREQUENCIES]
        yield from ((lake.bronze, dataset.with_frequency(each).bronze_folder) for each in BRONZE_FREQUENCIES)
        yield lake.silver, dataset.silver_folder
        yield lake.silver, dataset.rejects_key(1).rpartition("/year=")[0]
        yield lake.silver, dataset.quality_key.rpartition("/")[0]
        yield from ((lake.gold, each.features_table) for each in series)
        for table in sorted(tables):
            parsed = parse_signals_table(table)
            if parsed and parsed[1] in (_nameless(each) for each in series):
                yield lake.gold, table
        for table in sorted(sets):
            found = parse_feature_set_table(table)
            if found and table in [each.feature_set_table(found[0]) for each in series]:
                yield lake.test, table


def _nameless(dataset: Dataset) -> Dataset:
    """As the name of a signals table gives it: without provider, frequency and category."""
    return Dataset(market=dataset.market, symbol=dataset.symbol, interval=dataset.interval)
