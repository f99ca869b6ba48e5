"""A long year is cleaned some months at a time: the same rows, rejects and tally."""

import random
import zipfile
from datetime import date

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.errors import StoreError
from hermes.lake.store import Lake
from hermes.pipeline import ingest, refine
from hermes.stages.bronze.simulate import write_archive
from hermes.steps import refine as step

MINUTES = Dataset(symbol="SIMUSDT", interval="15m")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Five months of 15m bars with a bad row in some of them and daily files that disagree; no checksums."""
    root = tmp_path_factory.mktemp("archive")
    write_archive(root, MINUTES, date(2024, 10, 1), 5)
    folder = root / MINUTES.archive_folder
    chance = random.Random(1)
    for path in sorted(folder.glob("*.zip")):
        path.with_suffix(".zip.CHECKSUM").unlink()
        with zipfile.ZipFile(path) as zipped:
            (name,) = zipped.namelist()
            lines = zipped.read(name).decode().splitlines()
        row = chance.randrange(10, 1_000)
        cells = lines[row].split(",")
        cells[4] = "-1"
        lines[row] = ",".join(cells)
        lines.insert(row + 5, lines[row + 4])
        _write(path, name, lines)
        day = [line.split(",") for line in lines[96:192]]
        day = [[*cells[:5], "1.5", *cells[6:]] for cells in day]
        daily = root / MINUTES.with_frequency("daily").archive_folder / f"{path.stem}-02.zip"
        daily.parent.mkdir(parents=True, exist_ok=True)
        _write(daily, f"{path.stem}-02.csv", [",".join(cells) for cells in day])
    return root


def _write(path, name, lines):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(name, "\n".join(lines) + "\n")


def made(root, archive, load):
    settings = load(root, dataset__symbol="SIMUSDT", dataset__interval="15m", archive__url=str(archive))
    lake = Lake.open(settings)
    ingest(settings, lake, frequencies=("monthly", "daily"))
    return settings.dataset, lake, refine(settings, lake)


def told(dataset, lake):
    """Rows, footers and rejects of every silver file."""
    files = lake.silver.files("")
    files = [file for file in files if file.key.endswith(".parquet")]
    return {file.key: (pl.read_parquet(file.location).rows(), lake.silver.footer(file)) for file in files}


def test_months_make_the_year_that_is_made_at_once(archive, tmp_path, load, monkeypatch):
    dataset, lake, whole = made(tmp_path / "whole", archive, load)
    at_once = told(dataset, lake)
    monkeypatch.setattr(step, "CLEANED_ROWS", 3_500)  # a month, and its daily file
    dataset, lake, parts = made(tmp_path / "parts", archive, load)
    assert told(dataset, lake) == at_once
    assert parts.quality == whole.quality and whole.quality.tally.rejected and whole.quality.tally.conflicts
    assert any("rejects" in key for key in at_once)
    assert not [path for path in (tmp_path / "parts" / "_staging").rglob("*") if path.suffix == ".parquet"]


@pytest.mark.parametrize("rows", [3_500, 3_000_000])
def test_a_bronze_file_that_was_changed_is_named(archive, tmp_path, load, monkeypatch, rows):
    monkeypatch.setattr(step, "CLEANED_ROWS", rows)
    settings = load(tmp_path, dataset__symbol="SIMUSDT", dataset__interval="15m", archive__url=str(archive))
    lake = Lake.open(settings)
    ingest(settings, lake)
    (*_, file, _) = lake.bronze.files("")
    about, table = lake.bronze.footer(file), pl.read_parquet(file.location)
    for changed in (table.head(7), table.with_columns(pl.col("open").cast(pl.Float32)), table.drop("close")):
        lake.bronze.write(file.key, changed, about)
        with pytest.raises(StoreError, match=f"{file.key.rsplit('/', 1)[-1]} is not what was published"):
            refine(settings, lake)
