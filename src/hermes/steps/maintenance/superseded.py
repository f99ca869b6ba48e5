"""Recent days that the archive now covers with equal values, so that they are no longer needed.

A day on which both disagree is kept: it is what was seen live, and the quality table counts the difference.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

import polars as pl

from hermes.dataset import FREQUENCIES, RECENT, Dataset, parse_bronze_folder
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake
from hermes.schemas import BRONZE

_MILLISECONDS_BELOW = 10**14
_SAID = [name for name in BRONZE if name not in ("line", "open_time", "close_time", "ignore")]


def recent_datasets(lake: Lake, datasets: Sequence[Dataset] = ()) -> list[Dataset]:
    """Datasets with recent days in bronze: of these, or of all."""
    if datasets:
        return [each for each in datasets if lake.bronze.files(each.with_frequency(RECENT).bronze_folder)]
    folders = {file.key.partition("/year=")[0] for file in lake.bronze.files("") if f"/{RECENT}/" in file.key}
    found = [dataset for folder in sorted(folders) if (dataset := parse_bronze_folder(folder))]
    return [each.with_frequency("monthly") for each in found]


def superseded(dataset: Dataset, lake: Lake) -> tuple[list[LakeFile], list[LakeFile]]:
    """Recent days whose every bar stands in the archive's files with the same values, and those that differ.

    A day that the archive covers only in part is in neither list.

    Raises:
        StoreError: a file cannot be read.
    """
    recent = dataset.with_frequency(RECENT)
    gone: list[LakeFile] = []
    differing: list[LakeFile] = []
    for file in lake.bronze.files(recent.bronze_folder):
        day = recent.parse_stem(PurePosixPath(file.key).stem)
        if day is None:
            continue
        wanted = {dataset.with_frequency(each).bronze_key(day) for each in FREQUENCIES}
        wanted |= {dataset.with_frequency("monthly").bronze_key(day.replace(day=1))}
        archived = [
            each for key in sorted(wanted) for each in lake.bronze.files(key.rpartition("/")[0]) if each.key == key
        ]
        if not archived:
            continue
        seen, said = _rows(lake, [file]), _rows(lake, archived)
        if seen.join(said, on="time", how="anti").height:
            continue
        same = seen.join(said, on=["time", *_SAID], how="anti").is_empty()
        (gone if same else differing).append(file)
    return gone, differing


def _rows(lake: Lake, files: Sequence[LakeFile]) -> pl.DataFrame:
    time = pl.col("open_time")
    whole = pl.when(time < _MILLISECONDS_BELOW).then(time * 1000).otherwise(time).alias("time")
    with lake.bronze.errors():
        return lake.bronze.scan(files, schema=BRONZE).select(whole, *_SAID).collect()
