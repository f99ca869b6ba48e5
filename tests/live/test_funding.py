"""Funding that the exchange itself gives: into bronze and silver, once, until the archive has its month."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from tests.live.live_market import market

from hermes import pipeline
from hermes.dataset import Dataset, FundingRates
from hermes.errors import ExchangeError
from hermes.lake.store import Lake
from hermes.live import exchange as client
from hermes.live.exchange import Exchange
from hermes.live.funding import top_up_funding
from hermes.live.times import instant
from hermes.schemas import BRONZE_FUNDING
from hermes.settings import Settings
from hermes.steps.funding import funding_of, missing_funding, refine_funding
from hermes.steps.maintenance.prune import prune
from hermes.steps.production import find_execution
from hermes.testing.clock import ManualClock
from hermes.testing.exchange import SimulatedExchange, random_bars

DATASET = Dataset(market="um", symbol="SIMUSDT", interval="8h")
RATES = FundingRates.of(DATASET)
FOLDER = "binance/data/um/recent/fundingRate/SIMUSDT"
BEGIN = datetime(2024, 11, 20, tzinfo=UTC)


def listed(count: int) -> list[tuple[int, str]]:
    """A rate every eight hours, some milliseconds late."""
    times = [BEGIN + number * timedelta(hours=8) for number in range(count)]
    return [(int(time.timestamp() * 1000) + 7, f"{number / 1e5:.8f}") for number, time in enumerate(times)]


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(_settings(tmp_path))


def _settings(root, url: str = "") -> Settings:
    flags = {"lake.url": f"{root}/{{layer}}", "dataset.market": "um", "dataset.symbol": "SIMUSDT", "live.url": url}
    return Settings.load({**flags, "dataset.interval": "8h"}, environ={})


def test_funding_comes_once_and_is_charged_at_its_times(tmp_path, lake, monkeypatch):
    monkeypatch.setattr(client, "FUNDING_LIMIT", 7)
    monkeypatch.setattr("hermes.live.funding.FUNDING_LIMIT", 7)
    clock = ManualClock((BEGIN + timedelta(days=20, hours=1)).timestamp())
    with SimulatedExchange(clock) as server:
        server.add_funding(DATASET, listed(90))
        settings = _settings(tmp_path, server.url)
        exchange = Exchange("um", settings.live, clock)
        assert top_up_funding(settings, lake, exchange=exchange) == 2, "November and December"
        assert top_up_funding(settings, lake, exchange=exchange) == 0
        clock.wait(exchange.stop, 8 * 3600)
        assert top_up_funding(settings, lake, exchange=exchange) == 1
        exchange.close()
    assert [file.key.removeprefix(f"{FOLDER}/") for file in lake.bronze.files(FOLDER)] == [
        "year=2024/month=11/SIMUSDT-fundingRate-2024-11.parquet",
        "year=2024/month=12/SIMUSDT-fundingRate-2024-12.parquet",
    ]
    refine_funding(settings, lake)
    funding = funding_of(DATASET, lake)
    assert len(funding.times) == 62 and funding.rates[3] == 3e-5
    assert funding.times[3].item() == datetime(2024, 11, 21)
    assert not missing_funding(DATASET, funding, datetime(2024, 11, 20), datetime(2024, 12, 10))
    assert "2024-12-10 08:00" in missing_funding(DATASET, funding, datetime(2024, 11, 20), datetime(2024, 12, 12))


def test_the_archive_counts_and_is_where_reading_goes_on(tmp_path, lake, caplog):
    rows = [(number, time, 8, 0.5 if number == 4 else float(rate)) for number, (time, rate) in enumerate(listed(33), 1)]
    clock = ManualClock((BEGIN + timedelta(days=20)).timestamp())
    with SimulatedExchange(clock) as server:
        server.add_funding(DATASET, listed(90))
        settings = _settings(tmp_path, server.url)
        exchange = Exchange("um", settings.live, clock)
        top_up_funding(settings, lake, exchange=exchange)
        november = pl.DataFrame(rows, schema=BRONZE_FUNDING, orient="row")
        lake.bronze.write_all([(RATES.bronze_key(date(2024, 11, 1)), november, {"rows": november.height})])
        asked = len(server.requests)
        assert top_up_funding(settings, lake, exchange=exchange) == 0
        assert server.requests["/fapi/v1/fundingRate"] == 2 and len(server.requests) == asked
        exchange.close()
    refine_funding(settings, lake)
    assert "1 rates of the archive are not those" in caplog.text
    assert funding_of(DATASET, lake).rates[3] == 0.5
    with lake.silver.errors():
        sources = lake.silver.scan(lake.silver.files(RATES.silver_folder)).select("source").collect().to_series()
    assert sources[3] == "SIMUSDT-fundingRate-2024-11" and sources[-1] == "recent/SIMUSDT-fundingRate-2024-12"


def test_prune_takes_months_that_the_archive_repeats_and_keeps_those_that_differ(tmp_path, lake):
    clock = ManualClock((BEGIN + timedelta(days=30)).timestamp())
    rates = listed(91)
    with SimulatedExchange(clock) as server:
        server.add_funding(DATASET, rates)
        settings = _settings(tmp_path, server.url)
        exchange = Exchange("um", settings.live, clock)
        top_up_funding(settings, lake, exchange=exchange)
        exchange.close()
    months = {date(2024, 11, 1): rates[:33], date(2024, 12, 1): rates[33:]}
    for month, held in months.items():
        rows = [(line, time - 5, 8, float(rate)) for line, (time, rate) in enumerate(held, 1)]
        if month.month == 12:
            rows[4] = (*rows[4][:3], 0.5)
        made = pl.DataFrame(rows, schema=BRONZE_FUNDING, orient="row")
        lake.bronze.write_all([(RATES.bronze_key(month), made, {"rows": made.height})])
    refine_funding(settings, lake)
    before = funding_of(DATASET, lake).rates.tolist()
    would = prune(settings, lake, keep=10, datasets=[DATASET])
    assert [file.key.rpartition("/")[2] for file in would.recent] == ["SIMUSDT-fundingRate-2024-11.parquet"]
    assert len(lake.bronze.files(FOLDER)) == 2, "nothing is removed yet"
    done = prune(settings, lake, keep=10, remove=True)
    assert done.recent == would.recent and "kept 1 recent file, differing from the archive" in done.notes[0]
    assert [file.key[-15:] for file in lake.bronze.files(FOLDER)] == ["2024-12.parquet"]
    refine_funding(settings, lake)
    assert funding_of(DATASET, lake).rates.tolist() == before and before[37] == 0.5


def test_ingest_of_recent_bars_brings_their_funding(tmp_path):
    clock = ManualClock((BEGIN + timedelta(days=5, hours=1)).timestamp())
    first = int(BEGIN.timestamp()) * 1_000_000
    with SimulatedExchange(clock) as server:
        server.add(DATASET, random_bars(DATASET, first, 17))
        server.add_funding(DATASET, listed(40))
        settings = _settings(tmp_path, server.url)
        lake = Lake.open(settings)
        made = pipeline.ingest(settings, lake, frequencies=["recent"])
        assert made.rows == 15 and server.requests["/fapi/v1/fundingRate"] == 1
    pipeline.refine(settings, lake)
    funding = funding_of(DATASET, lake)
    assert funding.rates.tolist() == [float(rate) for _, rate in listed(16)]
    assert not missing_funding(DATASET, funding, BEGIN.replace(tzinfo=None), datetime(2024, 11, 25))


def test_what_the_exchange_does_not_give_is_said_and_changes_nothing(tmp_path, lake, caplog):
    clock = ManualClock(BEGIN.timestamp() + 1)
    with SimulatedExchange(clock) as server:
        settings = _settings(tmp_path, server.url)
        exchange = Exchange("um", settings.live, clock)
        assert top_up_funding(settings, lake, exchange=exchange) == 0
        assert "knows no symbol SIMUSDT (um)" in caplog.text
        server.add_funding(DATASET, [(listed(1)[0][0], "7")])
        with pytest.raises(ExchangeError, match="is not a later funding rate of SIMUSDT"):
            exchange.funding(RATES, 0)
        exchange.close()
    assert not lake.bronze.files(FOLDER)


def test_a_live_process_keeps_funding_up_to_date_and_asks_once_an_hour(tmp_path):
    with market(tmp_path, 60, 12, interval="4h", flags={"dataset.market": "um"}) as live:
        begin = live.bars[live.dataset.symbol][0].open_time // 28_800_000_000 * 28_800_000
        live.server.add_funding(live.dataset, [(begin + 28_800_000 * at + 3, "0.0001") for at in range(60)])
        live.run(4 * 14_400 + 60)
        asked, now = live.server.requests["/fapi/v1/fundingRate"], live.server.now()
        lake, rates = live.lake, funding_of(live.dataset, live.lake)
        made = find_execution(live.tasks[0], lake).lineage
        with live.loop() as loop:
            for _ in range(3):
                loop._tables.consolidate(loop.engine.series[0])
        assert live.server.requests["/fapi/v1/fundingRate"] == asked + 1, "three times within an hour"
    assert rates.times[-1].item() == instant(now // 28_800_000_000 * 28_800_000_000)
    assert not [warning for warning in made["warnings"] if "funding" in warning]
    assert made["metrics"]["trades"] > 0
