"""archive → bronze: one bronze file per zip, only what is new or changed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from logging import WARNING
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from hermes.dataset import Dataset
from hermes.errors import ArchiveError, ChecksumMismatch, HermesError, KlinesRefused, StoreError
from hermes.lake.store import Lake, check_written
from hermes.logs import event
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.settings.sections import PUBLIC_ARCHIVE, S3Settings
from hermes.stages.bronze.klines import made_at, read_zip, span_of
from hermes.steps.funding import ingest_funding
from hermes.steps.results import StepResult
from hermes.steps.step import step
from hermes.text import counted

if TYPE_CHECKING:  # the archive's clients are slow to load, and bars of the exchange alone need none
    from hermes.lake.backends.listing import Listing
    from hermes.stages.bronze.archive import Archive, ArchiveFile

PUBLIC_REGION = "ap-northeast-1"


@dataclass(frozen=True, slots=True)
class Ingested(StepResult):
    """The result of one ingest.

    Attributes:
        files: files that the archive lists, without excluded ones.
        written: how many were new or changed; rows: rows in bronze for all files.
        without_checksum: files without a CHECKSUM in the archive.
        refused: files that cannot be trusted, and why; earlier versions of them stay in bronze.
        sources: addresses of what was asked, the archive or the exchange.
    """

    files: int
    written: int
    rows: int
    without_checksum: list[str]
    seconds: float
    refused: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    def __add__(self, other: Self) -> "Ingested":
        return Ingested(
            settings=self.settings,
            files=self.files + other.files,
            written=self.written + other.written,
            rows=self.rows + other.rows,
            without_checksum=[*self.without_checksum, *other.without_checksum],
            seconds=self.seconds + other.seconds,
            refused=self.refused | other.refused,
            sources=[*self.sources, *other.sources],
        )


@dataclass(frozen=True, slots=True)
class _Staged:
    key: str
    path: Path
    rows: int


@step(exclusive=True)
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

    A file that cannot be trusted is left out with a warning, and noted in bronze for `refine`.
    If the archive becomes unavailable, or on Ctrl-C, the files verified so far are kept: the next run continues there.

    Args:
        frequencies: `monthly`, `daily` or both; without any the dataset's own.
        since: first day wanted; until: last day wanted.

    Raises:
        ArchiveError: the archive cannot be read, or has no file of the span that is not excluded.
        KlinesRefused, ChecksumMismatch: no file can be trusted, and bronze has no earlier version of any.
        StoreError: bronze cannot be read or written.
    """
    started = perf_counter()
    archive = _archive(settings)
    wanted: list[ArchiveFile] = []
    known: dict[str, dict[str, Any]] = {}
    old = 0
    for frequency in dict.fromkeys(frequencies or (settings.dataset.data_frequency,)):
        dataset = settings.dataset.with_frequency(frequency)
        listed = archive.list(dataset, since, until)
        wanted += [file for file in listed if not dataset.is_excluded(file.period, settings.archive.exclude)]
        keys = {_key(file) for file in wanted}
        present = [file for file in lake.bronze.files(dataset.bronze_folder) if file.key in keys]
        for stored, about in zip(present, lake.bronze.footers(present), strict=True):
            if not about:
                raise StoreError(f"{stored.location} was not made by `hermes ingest`", "move it out of bronze")
            known[stored.key] = about
            old += "made" not in about
    if not wanted:
        raise ArchiveError(
            f"[archive] exclude leaves no file of {settings.dataset} in the span that was asked for",
            "ask for another span, or exclude less",
        )
    if old:
        message = f"fetching {counted(old, 'bronze file')} of an older Hermes again, once: see docs/upgrade.md"
        event("upgrade", level=WARNING, message=message, dataset=str(settings.dataset), files=old)

    refused: dict[str, HermesError] = {}
    with ExitStack() as stack:
        staged: list[_Staged] = []
        try:
            for file, made in _fetched(archive, wanted, known, progress):
                if isinstance(made, HermesError):
                    refused[file.stem] = made
                    continue
                frame, about = made
                path = stack.enter_context(lake.bronze.staged())
                lake.bronze.stage(path, frame, about, _key(file))
                staged.append(_Staged(_key(file), path, frame.height))
                known[_key(file)] = about
        except (ArchiveError, KeyboardInterrupt):
            _publish(lake, staged)
            raise
        _publish(lake, staged)
    _note(lake, wanted, refused)
    ingest_funding(settings, lake, archive, since, until)
    if refused and not known:
        raise next(iter(refused.values()))

    rows = {file.key: file.rows for file in staged}
    return Ingested(
        settings=settings,
        files=len(wanted),
        written=len(staged),
        rows=sum(rows.get(key) or known[key]["rows"] for file in wanted if (key := _key(file)) in known),
        without_checksum=[file.stem for file in wanted if not known.get(_key(file), {}).get("verified", True)],
        refused={stem: error.message for stem, error in sorted(refused.items())},
        seconds=perf_counter() - started,
        sources=[settings.archive.url],
    )


def read_refused(dataset: Dataset, lake: Lake) -> dict[str, str]:
    """Archive files of a dataset and its frequency that the last ingest refused, and why."""
    try:
        return _kept(dataset, lake)
    except StoreError as error:  # a note, which the next ingest makes again
        event("refused", level=WARNING, message=str(error))
        return {}


def _kept(dataset: Dataset, lake: Lake) -> dict[str, str]:
    said = lake.bronze.read_json(dataset.refused_key, "which files were refused", "`hermes ingest` makes it again")
    return {str(stem): str(why) for stem, why in (said or {}).items()}


def _note(lake: Lake, asked: "Sequence[ArchiveFile]", refused: Mapping[str, HermesError]) -> None:
    """Warn about refused files, and note them in bronze until they are accepted."""
    for stem, error in sorted(refused.items()):
        event("refused", level=WARNING, message=f"left out: {error}", file=stem)
    for dataset in dict.fromkeys(file.dataset for file in asked):
        mine = {file.stem for file in asked if file.dataset == dataset}
        try:
            before: dict[str, str] | None = _kept(dataset, lake)
        except StoreError:  # it is made again
            before = None
        now = {stem: why for stem, why in (before or {}).items() if stem not in mine}
        now |= {stem: error.message for stem, error in refused.items() if stem in mine}
        if now and now != before:
            lake.bronze.write_bytes(dataset.refused_key, json.dumps(now, indent=2, sort_keys=True).encode())
        elif not now and before != {}:
            lake.bronze.remove(dataset.refused_key)


def archive_series(settings: Settings) -> Sequence[Dataset]:
    """Every dataset of the settings' market, frequency and interval that the archive holds, by symbol.

    Raises:
        ArchiveError: the archive cannot be listed.
    """
    return _archive(settings).series(settings.dataset)


def _archive(settings: Settings) -> "Archive":
    from hermes.stages.bronze.archive import open_archive  # noqa: PLC0415 - see above

    return open_archive(settings.archive.url, lambda bucket: _archive_bucket(bucket, settings))


def _key(file: "ArchiveFile") -> str:
    return file.dataset.bronze_key(file.period)


def _archive_bucket(bucket: str, settings: Settings) -> "Listing":
    """The exchange's own bucket is public; other buckets use the connection of the lake's store."""
    from hermes.lake.backends.listing import Listing  # noqa: PLC0415 - see above
    from hermes.lake.backends.s3_client import connect  # noqa: PLC0415 - see above

    public = f"s3://{bucket}" == PUBLIC_ARCHIVE
    s3 = S3Settings(region=PUBLIC_REGION) if public else settings.s3
    return Listing(connect(bucket, s3, anonymous=public, whole=False), bucket, s3, anonymous=public)


_Made = tuple[pl.DataFrame, dict[str, Any]]


def _fetched(
    archive: "Archive", wanted: "Sequence[ArchiveFile]", known: Mapping[str, dict[str, Any]], progress: Progress
) -> "Iterator[tuple[ArchiveFile, _Made | HermesError]]":
    """Fetch, verify and parse in parallel what is new or changed.

    Yields:
        The file with its rows and footer, or with the reason why it cannot be trusted.
    """

    def work(file: "ArchiveFile") -> _Made | HermesError | None:
        about = known.get(_key(file))
        try:
            if about and "made" in about and _same(archive, file, about):
                return None
            fetched = archive.fetch(file)
            frame = read_zip(fetched.data, file.dataset, file.period)
        except (KlinesRefused, ChecksumMismatch) as error:
            return error
        made = made_at(frame, file.dataset, file.period, fetched.at, fetched.modified)
        if about and about["sha256"] == fetched.sha256 and "made" in about:  # the same bytes were there before
            made = min(made, datetime.fromisoformat(about["made"]))
        return frame, {
            **fetched.about(frame.height),
            **span_of(frame),
            "fetched": fetched.at.isoformat(),
            "modified": fetched.modified and fetched.modified.astimezone(UTC).isoformat(),
            "made": made.astimezone(UTC).isoformat(),
        }

    new = 0
    pool = ThreadPoolExecutor(archive.fetchers)
    try:
        with progress.task(f"ingest {wanted[0].dataset}", len(wanted), "files") as advance:
            futures = {pool.submit(work, file): file for file in wanted}
            for future in as_completed(futures):
                if made := future.result():
                    new += not isinstance(made, HermesError)
                    yield futures[future], made
                advance(1, f"{new} new")
    finally:
        pool.shutdown(cancel_futures=True)


def _same(archive: "Archive", file: "ArchiveFile", about: Mapping[str, Any]) -> bool:
    """Whether bronze holds this very zip: the same version, or a copy with the same published checksum."""
    if file.version and (file.size, file.version) == (about["size"], about["version"]):
        return True
    return bool(archive.checksum(file) == about["sha256"])


def _publish(lake: Lake, staged: Sequence[_Staged]) -> None:
    if staged:
        with lake.bronze.errors():
            check_written([file.path for file in staged], sum(file.rows for file in staged))
        lake.bronze.replace_all({file.key: file.path for file in staged}, in_order=False)
