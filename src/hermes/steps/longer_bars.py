"""Compare the longer bars behind columns like `ema_50@1d` with the archive of that interval, if silver has it."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from hermes.lake.store import Lake
from hermes.schemas import silver_schema
from hermes.settings import Settings
from hermes.stages.gold.splits import adjusted
from hermes.stages.gold.timeframes import compare_longer, split
from hermes.strategies.columns import BARS


def beside_archive(settings: Settings, lake: Lake, bars: pl.LazyFrame, columns: Sequence[str]) -> list[str]:
    """The findings, one clause for each longer interval that silver has bars of.

    Args:
        bars: of the settings' dataset, the whole series.

    Raises:
        StoreError: the bars of the longer interval cannot be read.
    """
    dataset, found = settings.dataset, []
    for longer in dict.fromkeys(interval for name in columns if (interval := split(name)[1])):
        files = lake.silver.files(replace(dataset, interval=longer).silver_folder)
        if not files:
            continue
        with lake.silver.errors():
            archive = lake.silver.scan(files, schema=silver_schema(dataset.market)).select(BARS.keys())
            archive = adjusted(archive, settings.quality.of(dataset.symbol))
            count, differing = compare_longer(bars.select(BARS.keys()), dataset.interval, longer, archive)
        what = f"{count:,} bars of {longer} made of {dataset.interval}"
        if differing.is_empty():
            found.append(f"{what} are those of the archive's own {longer}")
            continue
        at, column, built, archived = differing.row(0)
        found.append(
            f"{differing['datetime'].n_unique():,} of {what} differ from the archive's own {longer}, "
            f"first the {column} of {at}: {built} made, {archived} there"
        )
    return found
