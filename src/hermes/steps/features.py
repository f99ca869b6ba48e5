"""silver → gold features: values over the whole history, only the files that changed are written."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import polars as pl
import polars_talib

from hermes.errors import MissingTable, SourceChanged, StoreError
from hermes.gold.features import features as feature_plan
from hermes.lake.dataset import Dataset
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, Layer, fingerprint
from hermes.logs import logged
from hermes.progress import SILENT, Progress
from hermes.schemas import SILVER
from hermes.steps.alone import alone

# Part of every fingerprint: files are made again when their definition changes.
DEFINITION = f"features 1, polars-talib {polars_talib.__version__}"
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Featured:
    """Rows of the whole feature table, and which of its files were written or found up to date."""

    rows: int
    written: list[str]
    unchanged: list[str]
    seconds: float


@logged
@alone
def features(dataset: Dataset, lake: Lake, progress: Progress = SILENT) -> Featured:
    """Bring the gold feature table of one dataset up to date with silver.

    Raises:
        MissingTable: silver has no rows of this dataset.
        StoreError: the table holds files of another tool, which are never replaced.
        SourceChanged: silver was replaced again and again while it was read.
    """
    started = perf_counter()
    for _ in range(ATTEMPTS):
        silver = lake.silver.files(dataset.silver_folder)
        if not silver:
            raise MissingTable(f"silver has no rows of {dataset} at {lake.silver.address}", "run `hermes refine` first")
        made = _make(dataset, lake, silver, progress)
        if made is not None:
            rows, written, unchanged = made
            return Featured(rows, written, unchanged, perf_counter() - started)
    raise SourceChanged(f"silver of {dataset} changed {ATTEMPTS} times while it was read", "run one refine at a time")


def _make(
    dataset: Dataset, lake: Lake, silver: list[LakeFile], progress: Progress
) -> tuple[int, list[str], list[str]] | None:
    """Write what is out of date; None if silver changed meanwhile."""
    abouts = lake.silver.footers(silver, "year", "fingerprint", "rows")
    for file, about in zip(silver, abouts, strict=True):
        if not about:
            raise StoreError(f"{file.location} was not made by `hermes refine`", "move it out of silver")
    years = [int(about["year"]) for about in abouts]
    # A value depends on every bar before it: so does a file's fingerprint.
    prints = {
        year: fingerprint(DEFINITION, [about["fingerprint"] for about in abouts if about["year"] <= year])
        for year in years
    }
    present = _own_files(lake.gold, dataset)
    rows = sum(about["rows"] for about in abouts)
    complete = {about["fingerprint"] for about in present.values()}
    if set(prints.values()) == complete and sum(about["rows"] for about in present.values()) == rows:
        return rows, [], sorted(present)

    written, unchanged = [], []
    with lake.gold.errors():
        table = feature_plan(lake.silver.scan(silver, schema=SILVER)).collect()
    by = ["year", "month"] if dataset.features_by_month else ["year"]
    parts = table.with_columns(year=pl.col("datetime").dt.year(), month=pl.col("datetime").dt.month()).partition_by(
        by, as_dict=True, include_key=False, maintain_order=True
    )
    if not lake.silver.unchanged(dataset.silver_folder, silver):
        return None
    in_order = bool((table["datetime"].diff().dt.total_microseconds() > 0).all())
    if table.height != rows or not in_order:
        what = f"{table.height} rows instead of {rows}" if table.height != rows else "bars out of order"
        raise StoreError(
            f"silver of {dataset} is not what was published: {what}",
            "remove it and run `hermes refine` again; `hermes audit --bytes` names the damaged file",
        )
    keyed = {dataset.features_key(*period): (period[0], part) for period, part in parts.items()}
    if stale := sorted(present.keys() - keyed.keys()):
        raise StoreError(f"{lake.gold.locate(stale[0])} has no bars in silver any more", "remove it, then run again")
    with progress.task(f"features {dataset}", len(keyed), "files") as advance:
        for key, (year, part) in keyed.items():
            about = {"layer": "gold", "fingerprint": prints[year], "rows": part.height, "definition": DEFINITION}
            if present.get(key) == about:
                unchanged.append(key)
            else:
                lake.gold.write(key, part.select(table.columns), about)
                written.append(key)
            advance(1, f"{len(written)} new")
    return table.height, written, unchanged


def _own_files(gold: Layer, dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Key and footer of every file of the table, all of them made by Hermes."""
    files = gold.files(dataset.features_table)
    abouts = gold.footers(files, "fingerprint", "rows")
    for file, about in zip(files, abouts, strict=True):
        if not about:
            raise StoreError(
                f"{file.location} was made by another tool and is not replaced",
                "read it as it is with `hermes signals`, or move the table away",
            )
    return {file.key: about for file, about in zip(files, abouts, strict=True)}
