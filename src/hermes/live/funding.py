"""Brings recent funding rates from the exchange's API into bronze, until the archive has their month."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from logging import WARNING

import polars as pl

from hermes.dataset import RECENT, FundingRates
from hermes.errors import ExchangeError
from hermes.lake.store import Lake
from hermes.live.exchange import FUNDING_LIMIT, Exchange
from hermes.logs import event
from hermes.schemas import BRONZE_FUNDING
from hermes.settings import Settings
from hermes.steps.step import step

ASKED_EVERY_S = 3600.0  # of a contract: the shortest time between two fundings


class FundingReader:
    """Keeps the funding of a live process's contracts up to date, between closes."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._asked: dict[FundingRates, float] = {}

    def read(self, settings: Settings, lake: Lake) -> None:
        """Bring a contract's funding into bronze, once an hour and where a request is free: no close waits for it.

        What is not read yet is read by a later call; figures that lack it carry a warning.
        """
        rates = FundingRates.of(settings.dataset)
        now = self._exchange.clock.elapsed()
        is_due = rates is not None and now - self._asked.get(rates, -ASKED_EVERY_S) >= ASKED_EVERY_S
        if rates is not None and is_due and self._exchange.funding_budget.left():
            self._asked[rates] = now
            top_up_funding(settings, lake, exchange=self._exchange)


@step(exclusive=True)
def top_up_funding(
    settings: Settings, lake: Lake, *, since: date | None = None, exchange: Exchange | None = None
) -> int:
    """Bring the contract's funding since the newest archive file in bronze into bronze, one file for each month.

    If the exchange returns none, a warning is logged, and figures computed without it carry a warning, too.

    Args:
        since: first day wanted, where bronze has no file of the archive; without it the contract's first.
        exchange: without it the one that the settings name.

    Returns:
        How many files were written; 0 for a dataset that has no funding.

    Raises:
        StoreError: bronze cannot be read or written.
    """
    rates = FundingRates.of(settings.dataset)
    if rates is None:
        return 0
    own = exchange or Exchange(rates.market, settings.live)
    try:
        found = pl.concat([pl.DataFrame(schema=BRONZE_FUNDING), *_pages(own, rates, _begin(rates, lake, since))])
    except ExchangeError as error:
        event("funding", level=WARNING, message=f"{rates}: {error}", dataset=str(rates))
        return 0
    finally:
        if exchange is None:
            own.close()
    return _publish(rates, lake, found, own.host)


def _begin(rates: FundingRates, lake: Lake, since: date | None) -> int:
    """The millisecond after the newest rate of the archive in bronze."""
    files = lake.bronze.files(rates.bronze_folder)[-1:]
    if not files:
        return int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()) * 1000 if since else 0
    with lake.bronze.errors():
        newest = lake.bronze.scan(files).select(pl.col("calc_time").max()).collect().item()
    return int(newest) + 1


def _pages(exchange: Exchange, rates: FundingRates, begin: int) -> Iterator[pl.DataFrame]:
    """Rates from a millisecond on, page by page."""
    while True:
        page = exchange.funding(rates, begin)
        yield pl.DataFrame(
            {
                "line": range(1, len(page) + 1),
                "calc_time": [time for time, _ in page],
                "funding_interval_hours": [None] * len(page),  # which the exchange does not say there
                "last_funding_rate": [rate for _, rate in page],
            },
            schema=BRONZE_FUNDING,
        )
        if len(page) < FUNDING_LIMIT:
            return
        begin = page[-1][0] + 1


def _publish(rates: FundingRates, lake: Lake, found: pl.DataFrame, source: str) -> int:
    """Add to each month's file what is new in it."""
    recent = rates.with_frequency(RECENT)
    present = {file.key: file for file in lake.bronze.files(recent.bronze_folder)}
    month = pl.from_epoch("calc_time", time_unit="ms").dt.truncate("1mo").dt.date()
    made = []
    for (first,), rows in found.group_by(month, maintain_order=True):
        assert isinstance(first, date)
        key = recent.bronze_key(first)
        before = pl.DataFrame(schema=BRONZE_FUNDING)
        if key in present:
            with lake.bronze.errors():
                before = lake.bronze.scan([present[key]]).collect()
        whole = pl.concat([before, rows]).unique("calc_time", keep="last").sort("calc_time")
        whole = whole.with_columns(line=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32))
        if not whole.equals(before):
            made.append((key, whole, {"layer": "bronze", "source": source, "verified": False, "rows": whole.height}))
    if made:
        lake.bronze.write_all(made)
    return len(made)
