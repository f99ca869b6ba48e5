"""bronze → silver: one clean series per year file, rejected rows beside it, and the quality table."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, groupby
from logging import WARNING
from pathlib import PurePosixPath
from time import perf_counter
from typing import Any

import polars as pl

from hermes.dataset import BRONZE_FREQUENCIES, FREQUENCIES, RECENT, Dataset
from hermes.errors import MissingTable, QualityFault, SourceChanged, StoreError
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, fingerprint
from hermes.logs import event
from hermes.progress import SILENT, Progress
from hermes.schemas import BRONZE, silver_schema
from hermes.settings import Settings
from hermes.stages.silver.clean import SourceFile, clean
from hermes.stages.silver.quality import Quality, Tally, measure
from hermes.steps.funding import refine_funding
from hermes.steps.ingest import read_refused
from hermes.steps.results import StepResult
from hermes.steps.step import step
from hermes.text import counted

# Part of every fingerprint: files are made again when the rules of cleaning change.
DEFINITION = "silver 2"
CLEANED_ROWS = 3_000_000  # of a year, at once, but never less than a month: a month of seconds
_NOTED = ("sha256", "verified", "rows")  # what a bronze footer is asked for
_RECENTLY = f"{RECENT}/"  # before the stem, where a row of silver tells its source
_AGAIN = "remove it and run `hermes ingest` again; `hermes audit --bytes` checks the whole lake"
_OWN = ("fingerprint", "tally", "year", "sources", "definition")  # what a silver footer is asked for


@dataclass(frozen=True, slots=True)
class Refined(StepResult):
    """The silver files that were written or up to date, and the quality of the whole series."""

    written: list[str]
    unchanged: list[str]
    quality: Quality
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The result by name."""
        return StepResult.as_json(self) | {"quality": self.quality.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class _Source:
    """One bronze file, its period, and its footer."""

    file: LakeFile
    holds: SourceFile
    about: Mapping[str, Any]


@step(exclusive=True)
def refine(settings: Settings, lake: Lake, *, progress: Progress = SILENT) -> Refined:
    """Bring silver of one dataset up to date with its monthly, daily and recent files in bronze.

    Files that `[archive] exclude` names are left out. So is a file in which too many rows break a rule: a
    warning names it each time, and the quality counts it.

    Raises:
        MissingTable: bronze has no file of this dataset.
        QualityFault: no file can be trusted.
        StoreError: silver holds a file of another tool, which is never replaced; bronze lost a file that silver was
            made from, or holds one of another dataset or period.
        SourceChanged: bronze was replaced again and again while it was read.
    """
    started, dataset, exclude = perf_counter(), settings.dataset, settings.archive.exclude
    sources = _sources(dataset, lake, exclude)
    if not sources:
        left = " but those that [archive] exclude names" if exclude else ""
        where = f"bronze has no file of {dataset} at {lake.bronze.address}{left}"
        raise MissingTable(where, "run `hermes ingest` first")
    written, unchanged, tally = _make(dataset, lake, sources, exclude, progress)
    for stem, why in tally.refused.items():
        cure = f"ingest the file again; if it stays so, leave it out: --exclude {stem}"
        event("refused", level=WARNING, message=f"left out: {stem}: {why} → {cure}", file=stem)
    if len(tally.refused) == len(sources):
        stem, why = next(iter(tally.refused.items()))
        raise QualityFault(f"{stem}: {why}", "no file of the dataset can be trusted: look at the archive")
    quality = _measured(dataset, lake, sources, tally)
    refine_funding(settings, lake)
    return Refined(settings, written, unchanged, quality, perf_counter() - started)


def read_quality(dataset: Dataset, lake: Lake) -> Quality | None:
    """The quality table that the last refine stored; None if there is none or it cannot be read."""
    content = lake.silver.read(dataset.quality_key)
    try:
        found = Quality.from_json(content) if content else None
        if found is None or (found.symbol, found.interval) == (dataset.symbol, dataset.interval):
            return found
        what = f"is of {found.symbol} {found.interval}"
    except ValueError:
        what = "cannot be read"
    # A copy of what refine finds, which the next refine makes again.
    message = f"{lake.silver.locate(dataset.quality_key)} {what}: `hermes refine` makes it again"
    event("quality", level=WARNING, message=message, dataset=str(dataset))
    return None


def _sources(dataset: Dataset, lake: Lake, exclude: Collection[str]) -> list[_Source]:
    found = []
    for frequency in BRONZE_FREQUENCIES:
        series = dataset.with_frequency(frequency)
        files = lake.bronze.files(series.bronze_folder)
        for file, about in zip(files, lake.bronze.footers(files, *_NOTED), strict=True):
            stem = PurePosixPath(file.key).stem
            period = series.parse_stem(stem)
            if period is None or not about:
                raise StoreError(f"{file.location} was not made by `hermes ingest`", "move it out of bronze")
            if frequency == RECENT:  # closed by the exchange's own clock: nothing here says more about its bars
                # A recent day and the archive's file of that day have one stem.
                found.append(_Source(file, SourceFile(f"{_RECENTLY}{stem}", frequency, period), about))
                continue
            if series.is_excluded(period, exclude):
                continue
            if "made" not in about:
                raise StoreError(
                    f"{file.location} is of an older Hermes, which did not note when the archive's file was made",
                    "run `hermes ingest`, which fetches it again once: see docs/upgrade.md",
                )
            made = datetime.fromisoformat(about["made"])
            found.append(_Source(file, SourceFile(stem, frequency, period, made), about))
    return found


def _check_complete(
    dataset: Dataset,
    lake: Lake,
    sources: Sequence[_Source],
    silver: Mapping[str, Mapping[str, Any]],
    exclude: Collection[str],
) -> None:
    """Refuse bronze without files that silver was made from or that are on record, instead of leaving a gap."""
    there = {source.file.key for source in sources}
    made_from = {each["key"] for about in silver.values() for each in about["sources"]}
    for series in (dataset.with_frequency(frequency) for frequency in FREQUENCIES):
        folder = f"{series.bronze_folder}/"
        on_record = set(lake.bronze.lost(series.bronze_folder, there))
        for key in sorted({key for key in made_from | on_record if key.startswith(folder)} - there):
            stem = PurePosixPath(key).stem
            period = series.parse_stem(stem)
            if period and not series.is_excluded(period, exclude):
                raise StoreError(
                    f"{lake.bronze.locate(key)} was in bronze before, and is missing now",
                    f"run `hermes ingest` to fetch it again, or leave it out on purpose: --exclude {stem}",
                )


def _make(
    dataset: Dataset, lake: Lake, sources: Sequence[_Source], exclude: Collection[str], progress: Progress
) -> tuple[list[str], list[str], Tally]:
    """Write the outdated years, oldest first."""
    definition = DEFINITION + (", columns of coin-margined contracts" if dataset.market == "cm" else "")
    years: dict[int, list[_Source]] = defaultdict(list)
    for source in sources:
        years[source.holds.period.year].append(source)
    present = lake.silver.files(dataset.silver_folder)
    abouts = {file.key: about for file, about in zip(present, lake.silver.footers(present, *_OWN), strict=True)}
    if foreign := [key for key, about in abouts.items() if not about]:
        raise StoreError(
            f"{lake.silver.locate(foreign[0])} was made by another tool and is not replaced", "move it away"
        )
    _check_complete(dataset, lake, sources, abouts, exclude)
    if bare := sorted(abouts.keys() - {dataset.silver_key(year) for year in years}):
        for key in bare:  # all that it was made from is excluded
            lake.silver.remove(key)
    if old := [key for key, about in abouts.items() if about["definition"] != DEFINITION]:
        message = f"making {counted(len(old), 'silver file')} of older rules again: see docs/upgrade.md"
        event("upgrade", level=WARNING, message=message, dataset=str(dataset), files=len(old))
    written, unchanged, tally = [], [], Tally()
    with progress.task(f"refine {dataset}", len(years), "years") as advance:
        for year, group in sorted(years.items()):
            key = dataset.silver_key(year)
            held = sorted((s.holds.stem, s.about["sha256"], s.about.get("made", "")) for s in group)
            made_from = fingerprint(definition, held)
            about = abouts.get(key)
            if about and about["fingerprint"] == made_from:
                unchanged.append(key)
            else:
                about = _write_year(dataset, lake, year, group, made_from)
                written.append(key)
            tally += Tally.model_validate(about["tally"])
            advance(1, f"{len(written)} new")
    return written, unchanged, tally


def _write_year(dataset: Dataset, lake: Lake, year: int, group: Sequence[_Source], made_from: str) -> dict[str, Any]:
    """Clean one year and publish it with its rejected rows; returns the footer."""
    with ExitStack() as stack:
        rejects, tally, kept, parts = [], Tally(), 0, []
        batches = _batches(group)
        for batch in batches:
            cleaned = clean([(source.holds, frame) for source, frame in _frames(lake, batch)], dataset)
            rejects.append(cleaned.rejects)
            tally += cleaned.tally
            kept += cleaned.rows.height
            parts.append(cleaned.rows.lazy() if len(batches) == 1 else _aside(lake, stack, cleaned.rows))
        if not lake.bronze.same([source.file for source in group]):
            raise SourceChanged(f"bronze of {dataset} changed while it was read", "run one ingest at a time")
        about = {
            "layer": "silver",
            "year": year,
            "fingerprint": made_from,
            "rows": kept,
            "tally": tally.model_dump(mode="json"),
            # Nothing that changes if the same zip is fetched again.
            "sources": [{k: v for k, v in s.about.items() if k != "fetched"} | {"key": s.file.key} for s in group],
            "definition": DEFINITION,
        }
        rejected, rejects_key = pl.concat(rejects), dataset.rejects_key(year)
        if rejected.height or lake.silver.files(rejects_key.rpartition("/")[0]):
            lake.silver.write(rejects_key, rejected, {"layer": "silver", "fingerprint": made_from})
        lake.silver.write(dataset.silver_key(year), cleaned.rows if len(batches) == 1 else pl.concat(parts), about)
    return about


def _batches(group: Sequence[_Source]) -> list[list[_Source]]:
    """A year's files in batches of whole months, as large as can be cleaned at once."""
    batches: list[list[_Source]] = []
    rows = 0
    by_month = sorted(group, key=lambda source: source.holds.period.month)
    for _, month in groupby(by_month, key=lambda source: source.holds.period.month):
        files = list(month)
        height = sum(source.about["rows"] for source in files)
        if not batches or rows + height > CLEANED_ROWS:
            batches.append([])
            rows = 0
        batches[-1] += files
        rows += height
    return batches


def _aside(lake: Lake, stack: ExitStack, rows: pl.DataFrame) -> pl.LazyFrame:
    """Spill rows to disk until the whole year is written."""
    path = stack.enter_context(lake.silver.staged())
    with lake.silver.errors():
        rows.write_parquet(path)
    return pl.scan_parquet(path, glob=False)


def _frames(lake: Lake, sources: Sequence[_Source]) -> list[tuple[_Source, pl.DataFrame]]:
    """The rows of bronze files, checked against schema and footer; one plan is faster than one for each."""
    files, heights = [source.file for source in sources], [source.about["rows"] for source in sources]
    try:
        with lake.bronze.errors():
            rows = lake.bronze.scan(files, schema=BRONZE, include_file_paths="file").collect()
        if rows["file"].rle().struct.field("len").to_list() == heights:
            bars, ends = rows.drop("file"), accumulate(heights)
            frames = [bars.slice(end - height, height) for end, height in zip(ends, heights, strict=True)]
            return list(zip(sources, frames, strict=True))
    except StoreError:
        pass  # found again below, where one file is looked at after the other
    with lake.bronze.errors():
        return [(source, _sound(source, lake.bronze.scan([source.file]).collect())) for source in sources]


def _sound(source: _Source, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of one bronze file, checked against schema and footer."""
    wrong = {name for name, _ in frame.schema.items() ^ BRONZE.items()}
    if wrong or frame.height != source.about["rows"]:
        what = (
            f"column {min(wrong)}" if wrong else f"{counted(frame.height, 'row')} instead of {source.about['rows']:,}"
        )
        raise StoreError(f"{source.file.location} is not what was published: {what}", _AGAIN)
    return frame


def _measured(dataset: Dataset, lake: Lake, sources: Sequence[_Source], tally: Tally) -> Quality:
    """Measure the whole series, and store the table beside silver if it has changed."""
    archived = [source for source in sources if source.holds.frequency != RECENT]  # only an archive has CHECKSUM files
    unchecked = tuple(source.holds.stem for source in archived if not source.about["verified"])
    with lake.silver.errors():
        rows = lake.silver.scan(lake.silver.files(dataset.silver_folder), schema=silver_schema(dataset.market))
        refused: dict[str, str] = {}
        for frequency in FREQUENCIES:
            refused |= read_refused(dataset.with_frequency(frequency), lake)
        quality = measure(rows, dataset, tally, unchecked, refused)
    content = quality.to_json().encode()
    if lake.silver.read(dataset.quality_key) != content:
        lake.silver.write_bytes(dataset.quality_key, content)
    return quality
