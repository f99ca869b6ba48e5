"""bronze → silver: one clean series per year file, rejected rows beside it, and the quality table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from time import perf_counter
from typing import Any

import polars as pl

from hermes.errors import MissingTable, SourceChanged, StoreError
from hermes.lake.dataset import FREQUENCIES, Dataset
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, fingerprint
from hermes.logs import logged
from hermes.progress import SILENT, Progress
from hermes.schemas import BRONZE, SILVER
from hermes.silver.clean import SourceFile, clean
from hermes.silver.quality import Quality, Tally, measure
from hermes.steps.alone import alone

# Part of every fingerprint: files are made again when the rules of cleaning change.
DEFINITION = "silver 1"
ATTEMPTS = 3
_NOTED = ("sha256", "verified", "rows")  # what a bronze footer is asked for
_AGAIN = "remove it and run `hermes ingest` again; `hermes audit --bytes` checks the whole lake"
_OWN = ("fingerprint", "tally", "year")  # what a silver footer is asked for


@dataclass(frozen=True, slots=True)
class Refined:
    """Which silver files were written or found up to date, and the quality of the whole series."""

    written: list[str]
    unchanged: list[str]
    quality: Quality
    seconds: float


@dataclass(frozen=True, slots=True)
class _Source:
    """One bronze file, what it holds, and what its footer says."""

    file: LakeFile
    holds: SourceFile
    about: Mapping[str, Any]


@logged
@alone
def refine(dataset: Dataset, lake: Lake, progress: Progress = SILENT) -> Refined:
    """Bring silver of one dataset up to date with its monthly and daily files in bronze.

    Raises:
        MissingTable: bronze has no file of this dataset.
        QualityFault: too many rows of one file break a rule.
        StoreError: silver holds a file of another tool, which is never replaced.
        SourceChanged: bronze was replaced again and again while it was read.
    """
    started = perf_counter()
    for _ in range(ATTEMPTS):
        sources = _sources(dataset, lake)
        if not sources:
            raise MissingTable(f"bronze has no file of {dataset} at {lake.bronze.address}", "run `hermes ingest` first")
        made = _make(dataset, lake, sources, progress)
        if made is not None:
            written, unchanged, tally = made
            quality = _measured(dataset, lake, sources, tally)
            return Refined(written, unchanged, quality, perf_counter() - started)
    raise SourceChanged(f"bronze of {dataset} changed {ATTEMPTS} times while it was read", "run one ingest at a time")


def read_quality(dataset: Dataset, lake: Lake) -> Quality | None:
    """The quality table that the last refine stored, or None."""
    content = lake.silver.read(dataset.quality_key)
    return Quality.from_json(content) if content else None


def _sources(dataset: Dataset, lake: Lake) -> list[_Source]:
    found = []
    for frequency in FREQUENCIES:
        series = dataset.with_frequency(frequency)
        files = lake.bronze.files(series.bronze_folder)
        for file, about in zip(files, lake.bronze.footers(files, *_NOTED), strict=True):
            stem = PurePosixPath(file.key).stem
            period = series.parse_stem(stem)
            if period is None or not about:
                raise StoreError(f"{file.location} was not made by `hermes ingest`", "move it out of bronze")
            found.append(_Source(file, SourceFile(stem, frequency, period), about))
    return found


def _make(
    dataset: Dataset, lake: Lake, sources: Sequence[_Source], progress: Progress
) -> tuple[list[str], list[str], Tally] | None:
    """Write the years that are out of date, oldest first; None if bronze changed meanwhile."""
    years: dict[int, list[_Source]] = defaultdict(list)
    for source in sources:
        years[source.holds.period.year].append(source)
    present = lake.silver.files(dataset.silver_folder)
    abouts = {file.key: about for file, about in zip(present, lake.silver.footers(present, *_OWN), strict=True)}
    if foreign := [key for key, about in abouts.items() if not about]:
        raise StoreError(
            f"{lake.silver.locate(foreign[0])} was made by another tool and is not replaced", "move it away"
        )
    if bare := sorted(abouts.keys() - {dataset.silver_key(year) for year in years}):
        raise StoreError(
            f"{lake.silver.locate(bare[0])}: bronze lost all the files that it was made from",
            "run `hermes ingest` to fetch them again, or remove it, too",
        )
    written, unchanged, tally = [], [], Tally()
    with progress.task(f"refine {dataset}", len(years), "years") as advance:
        for year, group in sorted(years.items()):
            key = dataset.silver_key(year)
            made_from = fingerprint(DEFINITION, sorted((s.holds.stem, s.about["sha256"]) for s in group))
            about = abouts.get(key)
            if about and about["fingerprint"] == made_from:
                unchanged.append(key)
            else:
                about = _write_year(dataset, lake, year, group, made_from)
                if about is None:
                    return None
                written.append(key)
            tally += Tally.model_validate(about["tally"])
            advance(1, f"{len(written)} new")
    return written, unchanged, tally


def _write_year(
    dataset: Dataset, lake: Lake, year: int, group: Sequence[_Source], made_from: str
) -> dict[str, Any] | None:
    """Clean one year and publish it with its rejected rows; returns the footer, None if bronze changed meanwhile."""
    with lake.bronze.errors():
        frames = [lake.bronze.scan([source.file]).collect() for source in group]
    if not lake.bronze.same([source.file for source in group]):
        return None
    cleaned = clean(
        [(source.holds, _sound(source, frame)) for source, frame in zip(group, frames, strict=True)], dataset
    )
    closed = cleaned.rows.filter(pl.col("datetime") <= _newest_closed(dataset))
    about = {
        "layer": "silver",
        "year": year,
        # A bar that is still open is left out; the name then differs, so that the next refine looks again.
        "fingerprint": made_from if closed.height == cleaned.rows.height else f"{made_from}+{closed.height}",
        "rows": closed.height,
        "tally": cleaned.tally.model_dump(mode="json"),
        "sources": [{**source.about, "key": source.file.key} for source in group],
        "definition": DEFINITION,
    }
    rejects_key = dataset.rejects_key(year)
    if cleaned.rejects.height or lake.silver.files(rejects_key.rpartition("/")[0]):
        lake.silver.write(rejects_key, cleaned.rejects, {"layer": "silver", "fingerprint": made_from})
    lake.silver.write(dataset.silver_key(year), closed, about)
    return about


def _sound(source: _Source, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of one bronze file, if they keep the contract and are as many as its footer says."""
    wrong = {name for name, _ in frame.schema.items() ^ BRONZE.items()}
    if wrong or frame.height != source.about["rows"]:
        what = f"column {min(wrong)}" if wrong else f"{frame.height} rows instead of {source.about['rows']}"
        raise StoreError(f"{source.file.location} is not what was published: {what}", _AGAIN)
    return frame


def _newest_closed(dataset: Dataset) -> datetime:
    """Latest open time of a bar that is over by now."""
    return datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=dataset.interval_seconds)


def _measured(dataset: Dataset, lake: Lake, sources: Sequence[_Source], tally: Tally) -> Quality:
    """Measure the whole series and store the table beside silver if it says something new."""
    unchecked = tuple(source.holds.stem for source in sources if not source.about["verified"])
    with lake.silver.errors():
        rows = lake.silver.scan(lake.silver.files(dataset.silver_folder), schema=SILVER)
        quality = measure(rows, dataset, tally, unchecked)
    content = quality.to_json().encode()
    if lake.silver.read(dataset.quality_key) != content:
        lake.silver.write_bytes(dataset.quality_key, content)
    return quality
