"""The real BTCUSDT 4h series, as silver makes it."""

from pathlib import Path

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.stages.bronze.klines import read_zip
from hermes.stages.silver.clean import SourceFile, clean


@pytest.fixture(scope="session")
def bars(archive: Path) -> pl.DataFrame:
    dataset = Dataset()
    files = []
    for path in sorted((archive / dataset.archive_folder).glob("*.zip")):
        period = dataset.parse_stem(path.stem)
        assert period
        files.append((SourceFile(path.stem, "monthly", period), read_zip(path.read_bytes(), dataset, period)))
    return clean(files, dataset).rows
