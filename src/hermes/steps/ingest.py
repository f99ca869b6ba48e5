"""archive → bronze: one bronze file per zip, only what is new or changed."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import polars as pl

from hermes.dataset import Dataset
from hermes.errors import ArchiveError, ChecksumMismatch, StoreError
from hermes.lake.backends import s3
from hermes.lake.store import Lake, check_written
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.settings.sections import PUBLIC_ARCHIVE, S3Settings
from hermes.stages.bronze.archive import Archive, ArchiveFile, open_archive
from hermes.stages.bronze.klines import read_zip
from hermes.steps.step import alone, logged

PUBLIC_REGION = "ap-northeast-1"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one ingest did: files that the archive lists, how many were written, and rows now in bronze for them."""

    files: int
    written: int
    rows: int
    without_checksum: list[str]
    seconds: float

    def __add__(self, other: Self) -> "Ingested":
        return Ingested(
            files=self.files + other.files,
            written=self.written + other.written,
            rows=self.rows + other.rows,
            without_checksum=[*self.without_checksum, *other.without_checksum],
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class _Staged:
    key: str
    path: Path
    rows: int


@logged
@alone
def ingest(
    settings: Settings,
    lake: Lake,
    *,
    frequencies: Sequence[str] = (),
    since: date | None = None,
    until: date | None = None,
    progress: Progress = SILENT,
) -> Ingested:
    """Bring the archive's files of one dataset into bronze.

    A file that cannot be trusted fails the run and nothing of it is published. Where the archive goes away, or on
    Ctrl-C, what was verified until then is kept, so that the next run goes on from there.

    Args:
        frequencies: `monthly`, `daily` or both; without any the dataset's own.
        since: first day wanted; until: last day wanted.

    Raises:
        ArchiveError, KlinesRefused, StoreError: see there.
    """
    started = perf_counter()
    archive = _archive(settings)
    listed: list[ArchiveFile] = []
    known: dict[str, dict[str, Any]] = {}
    for frequency in frequencies or (settings.dataset.data_frequency,):
        dataset = settings.dataset.with_frequency(frequency)
        listed += archive.list(dataset, since, until)
        present = lake.bronze.files(dataset.bronze_folder)
        wanted = {_key(file) for file in listed}
        present = [file for file in present if file.key in wanted]
        for stored, about in zip(present, lake.bronze.footers(present), strict=True):
            if not about:
                raise StoreError(f"{stored.location} was not made by `hermes ingest`", "move it out of bronze")
            known[stored.key] = about

    with ExitStack() as stack:
        staged: list[_Staged] = []
        try:
            for file, frame, about in _fetched(archive, listed, known, progress):
                path = stack.enter_context(lake.bronze.staged())
                lake.bronze.stage(path, frame, about)
                staged.append(_Staged(_key(file), path, frame.height))
                known[_key(file)] = about
        except (ArchiveError, KeyboardInterrupt) as error:
            if not isinstance(error, ChecksumMismatch):
                _publish(lake, staged)
            raise
        _publish(lake, staged)

    rows = {file.key: file.rows for file in staged}
    return Ingested(
        files=len(listed),
        written=len(staged),
        rows=sum(rows.get(_key(file)) or known[_key(file)]["rows"] for file in listed),
        without_checksum=[file.stem for file in listed if not known.get(_key(file), {}).get("verified", True)],
        seconds=perf_counter() - started,
    )


def archive_series(settings: Settings) -> Sequence[Dataset]:
    """Every dataset of the settings' market, frequency and interval that the archive holds, by symbol.

    Raises:
        ArchiveError: the archive cannot be listed.
    """
    return _archive(settings).series(settings.dataset)


def _archive(settings: Settings) -> Archive:
    return open_archive(settings.archive.url, lambda bucket: _archive_bucket(bucket, settings))


def _key(file: ArchiveFile) -> str:
    return file.dataset.bronze_key(file.period)


def _archive_bucket(bucket: str, settings: Settings) -> Any:
    """The exchange's own bucket is public; any other one is reached like the lake's store."""
    if f"s3://{bucket}" == PUBLIC_ARCHIVE:
        return s3.connect(bucket, S3Settings(region=PUBLIC_REGION), anonymous=True)
    return s3.connect(bucket, settings.s3)


def _fetched(
    archive: Archive, listed: Sequence[ArchiveFile], known: Mapping[str, dict[str, Any]], progress: Progress
) -> Iterator[tuple[ArchiveFile, pl.DataFrame, dict[str, Any]]]:
    """Fetch, verify and parse in parallel what is new or changed: file, its rows, and what to note in the footer."""

    def work(file: ArchiveFile) -> tuple[pl.DataFrame, dict[str, Any]] | None:
        if _same(archive, file, known.get(_key(file))):
            return None
        fetched = archive.fetch(file)
        frame = read_zip(fetched.data, file.dataset, file.period)
        return frame, {
            "layer": "bronze",
            "source": f"{file.stem}.zip",
            "size": file.size,
            "version": file.version,
            "sha256": fetched.sha256,
            "verified": fetched.verified,
            "rows": frame.height,
        }

    new = 0
    pool = ThreadPoolExecutor(archive.fetchers)
    try:
        with progress.task(f"ingest {listed[0].dataset}", len(listed), "files") as advance:
            futures = {pool.submit(work, file): file for file in listed}
            for future in as_completed(futures):
                if made := future.result():
                    new += 1
                    yield futures[future], *made
                advance(1, f"{new} new")
    finally:
        pool.shutdown(cancel_futures=True)


def _same(archive: Archive, file: ArchiveFile, about: Mapping[str, Any] | None) -> bool:
    """Whether bronze holds this very zip: the same version, or a copy with the same published checksum."""
    if about is None:
        return False
    if file.version and (file.size, file.version) == (about["size"], about["version"]):
        return True
    return bool(archive.checksum(file) == about["sha256"])


def _publish(lake: Lake, staged: Sequence[_Staged]) -> None:
    if staged:
        with lake.bronze.errors():
            check_written([file.path for file in staged], sum(file.rows for file in staged))
        lake.bronze.replace_all({file.key: file.path for file in staged}, in_order=False)
