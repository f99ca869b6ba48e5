"""Recent files, days of bars and months of funding, that the archive now covers with equal values.

One on which both disagree is kept: it is what was seen live, and the quality table counts the difference.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

import polars as pl

from hermes.dataset import FREQUENCIES, RECENT, Dataset, FundingRates, parse_bronze_folder, parse_funding_folder
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake
from hermes.schemas import BRONZE, BRONZE_FUNDING

_MILLISECONDS_BELOW = 10**14
_SAID = [name for name in BRONZE if name not in ("line", "open_time", "close_time", "ignore")]


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

    One that the archive covers only in part is in neither list.

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
    time = pl.col("open_time")
    whole = pl.when(time < _MILLISECONDS_BELOW).then(time * 1000).otherwise(time).alias("time")
    with lake.bronze.errors():
        return lake.bronze.scan(files, schema=BRONZE).select(whole, *_SAID).collect()


def _rates(lake: Lake, files: Sequence[LakeFile]) -> pl.DataFrame:
    time = pl.from_epoch("calc_time", time_unit="ms").dt.round("1m").alias("time")  # as silver has it
    with lake.bronze.errors():
        return lake.bronze.scan(files, schema=BRONZE_FUNDING).select(time, "last_funding_rate").collect()
