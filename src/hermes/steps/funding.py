"""Funding rates of perpetual contracts: archive → bronze → silver, and what the account is charged.

`live.funding` brings more recent rates into bronze.
"""

from datetime import date, datetime
from logging import WARNING
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from hermes.dataset import RECENT, Dataset, FundingRates
from hermes.errors import ArchiveError, ChecksumMismatch, KlinesRefused
from hermes.lake.store import Lake
from hermes.logs import event
from hermes.settings import Settings
from hermes.stages.backtest.funding import Funding, close_times
from hermes.stages.bronze.klines import read_funding
from hermes.stages.silver.clean import clean_funding

if TYPE_CHECKING:
    from hermes.stages.bronze.archive import Archive

USUAL_HOURS = 8  # from one payment to the next, where no rate tells
LATE = np.timedelta64(5, "m")
_SHOWN = 3  # spans without funding that are named


def ingest_funding(
    settings: Settings, lake: Lake, archive: "Archive", since: date | None = None, until: date | None = None
) -> int:
    """Bring the archive's funding rates of the contract into bronze, only new or changed files.

    A file that cannot be trusted is left out with a warning. Missing funding rates also give a warning: the
    figures made without them say so.

    Returns:
        How many files were written.
    """
    rates = FundingRates.of(settings.dataset)
    if rates is None:
        return 0
    try:
        wanted = archive.list(rates, since, until)
    except ArchiveError as error:
        event("funding", level=WARNING, message=f"{rates}: {error}", dataset=str(rates))
        return 0
    present = lake.bronze.files(rates.bronze_folder)
    known = dict(zip((file.key for file in present), lake.bronze.footers(present), strict=True))
    made = []
    for file in wanted:
        key = rates.bronze_key(file.period)
        about = known.get(key)
        if about and (file.size, file.version) == (about.get("size"), about.get("version")):
            continue
        try:
            fetched = archive.fetch(file)
            rows = read_funding(fetched.data, rates, file.period)
        except (KlinesRefused, ChecksumMismatch) as error:
            event("refused", level=WARNING, message=f"left out: {error}", file=file.stem)
            continue
        made.append((key, rows, fetched.about(rows.height)))
    if made:
        lake.bronze.write_all(made)
    return len(made)


def refine_funding(settings: Settings, lake: Lake) -> None:
    """Make the clean series in silver from the files in bronze; unchanged years are not written again."""
    rates = FundingRates.of(settings.dataset)
    if rates is None:
        return
    folders = rates.with_frequency(RECENT).bronze_folder, rates.bronze_folder
    files = [file for folder in folders for file in lake.bronze.files(folder)]
    if not files:
        return
    lake.bronze.footers(files)  # each says where it was published: a file that was copied there is refused
    with lake.bronze.errors():
        read = [(_source(file.key), lake.bronze.scan([file]).collect()) for file in files]
    clean, differing = clean_funding(read, rates.symbol)
    if differing:
        message = f"{rates}: {differing} rates of the archive are not those that the exchange gave: the archive counts"
        event("funding", level=WARNING, message=message, dataset=str(rates), differing=differing)
    made = []
    for (year,), rows in clean.group_by(pl.col("datetime").dt.year(), maintain_order=True):
        key = rates.silver_key(int(year))
        there = [file for file in lake.silver.files(rates.silver_folder) if file.key == key]
        with lake.silver.errors():
            if there and lake.silver.scan(there).collect().equals(rows):
                continue
        made.append((key, rows, {"layer": "silver", "rows": rows.height}))
    if made:
        lake.silver.write_all(made)


def _source(key: str) -> str:
    """What silver calls a bronze file: its stem, with `recent/` before it where the exchange gave it."""
    stem = key.rpartition("/")[2].removesuffix(".parquet")
    return f"{RECENT}/{stem}" if f"/{RECENT}/" in key else stem


def funding_of(dataset: Dataset, lake: Lake) -> Funding | None:
    """The funding rates of a dataset's contract in silver; None without any."""
    rates = FundingRates.of(dataset)
    if rates is None or not (files := lake.silver.files(rates.silver_folder)):
        return None
    lake.silver.footers(files)
    with lake.silver.errors():
        rows = (
            lake.silver.scan(sorted(files, key=lambda file: file.key))
            .select("datetime", "rate", "interval_hours")
            .collect()
        )
    # The exchange does not say it with recent rates: those come as often as the ones before.
    hours = rows["interval_hours"].fill_null(strategy="forward").fill_null(USUAL_HOURS).to_numpy()
    return Funding(rows["datetime"].to_numpy(), rows["rate"].to_numpy(), dataset.interval_seconds, hours)


def missing_funding(dataset: Dataset, funding: Funding | None, first: datetime, last: datetime) -> str:
    """A warning about the bars without known funding rates; empty if there are none.

    Args:
        first, last: open times of the first and the last bar; the last one is looked at up to its close.
    """
    if FundingRates.of(dataset) is None:
        return ""
    begin = np.datetime64(first, "us")
    (end,) = close_times(np.array([last], "M8[us]"), dataset.interval_seconds)
    known, hours = np.empty(0, "M8[us]"), np.empty(0, np.intp)
    if funding is not None:
        known = funding.times
        hours = np.full(len(known), USUAL_HOURS) if funding.hours is None else funding.hours
    around = np.timedelta64(int(hours.max(initial=USUAL_HOURS)), "h") + LATE
    near = (known >= begin - around) & (known <= end + around)
    known, hours = known[near], hours[near]
    edges = np.concatenate([[begin], known, [end]])
    # A contract may come to be paid more often: between two payments the longer interval counts.
    ends = (hours[0], hours[-1]) if len(hours) else (USUAL_HOURS, USUAL_HOURS)
    hours = np.concatenate([ends[:1], hours, ends[1:]])
    longest = np.maximum(hours[1:], hours[:-1]).astype("m8[h]") + LATE
    gaps = np.flatnonzero(np.diff(edges) > longest)
    if not len(gaps):
        return ""
    spans = [f"{edges[gap].item():%Y-%m-%d %H:%M} to {edges[gap + 1].item():%Y-%m-%d %H:%M}" for gap in gaps[:_SHOWN]]
    more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
    return f"funding is missing from {', '.join(spans)}{more}: the figures leave it out there"
