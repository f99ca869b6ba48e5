"""Bars of the exchange in bronze: the archive's values, whatever the exchange does while they are read."""

import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.live.conftest import MINUTE, START, minutes

from hermes import pipeline
from hermes.dataset import RECENT, Dataset
from hermes.errors import ExchangeError
from hermes.lake.store import Lake
from hermes.live.finality import Bar
from hermes.live.recent import covered, missing_spans, top_up
from hermes.settings import Settings
from hermes.stages.bronze.klines import parse
from hermes.steps.refine import refine
from hermes.testing.exchange import Plan, SimulatedExchange, random_bars, recorded

T0 = START * 1_000_000


@pytest.fixture
def settings(tmp_path, server) -> Settings:
    return Settings.load(
        lake={"url": str(tmp_path / "{layer}")},
        dataset={"symbol": "SIMUSDT", "interval": "1m"},
        archive={"url": str(tmp_path / "archive")},
        live={"url": server.url, "settle_seconds": 2.0},
    )


@pytest.fixture
def lake(settings) -> Lake:
    return Lake.open(settings)


def recent_rows(lake, dataset) -> pl.DataFrame:
    files = lake.bronze.files(dataset.with_frequency(RECENT).bronze_folder)
    return lake.bronze.scan(files).collect() if files else pl.DataFrame()


def as_parsed(bars) -> pl.DataFrame:
    return parse("\n".join(bar.line for bar in bars).encode(), "bars").drop("line")


def test_only_closed_bars_one_file_a_day(server, client, clock, settings, lake):
    dataset, bars = minutes(2000)
    server.add(dataset, bars)
    clock.move(1500 * 60 + 30)
    made = top_up(settings, lake, exchange=client)
    assert (made.written, made.rows) == (2, 1500)
    rows = recent_rows(lake, dataset)
    assert rows.drop("line").equals(as_parsed(bars[:1500]))
    first = datetime.fromtimestamp(START, tz=None).date()
    assert f"{RECENT}/klines/SIMUSDT/1m/year={first.year}/" in next(iter(covered(dataset, lake)))
    assert rows["line"].to_list()[:3] == [1, 2, 3]


def test_again_nothing_is_new_and_the_next_ones_are_added(server, client, clock, settings, lake):
    dataset, bars = minutes(100)
    server.add(dataset, bars)
    clock.move(50 * 60 + 5)
    top_up(settings, lake, exchange=client)
    before = lake.bronze.files("")
    assert top_up(settings, lake, exchange=client).written == 0
    assert lake.bronze.files("") == before
    clock.move(120)
    assert top_up(settings, lake, exchange=client).written == 1
    assert recent_rows(lake, dataset).drop("line").equals(as_parsed(bars[:52]))


def test_the_newest_bar_without_a_successor_is_read_twice(server, client, clock, settings, lake):
    dataset, bars = minutes(10)
    server.add(dataset, bars, {bars[-1].open_time: Plan(changes_s=1.0)})
    clock.move(10 * 60 + 0.5)  # the last bar is over, still changes, and nothing follows it
    top_up(settings, lake, exchange=client)
    assert recent_rows(lake, dataset).drop("line").equals(as_parsed(bars[:9]))
    top_up(settings, lake, exchange=client)
    assert recent_rows(lake, dataset).drop("line").equals(as_parsed(bars))


def test_a_bar_that_changed_later_is_replaced_and_the_change_is_kept(server, client, clock, settings, lake):
    dataset, bars = minutes(12)
    server.add(dataset, bars, {bars[9].open_time: Plan(changes_s=90)})
    clock.move(10 * 60 + 5)
    server.add(dataset, bars[:11], {bars[9].open_time: Plan(changes_s=90)})
    top_up(settings, lake, exchange=client)
    clock.move(120)
    top_up(settings, lake, exchange=client)
    assert recent_rows(lake, dataset).drop("line").equals(as_parsed(bars[:11]))
    (file,) = lake.bronze.files("")
    revised = lake.bronze.footer(file)["revised"]
    assert {each["datetime"] for each in revised} == {
        (datetime(1970, 1, 1) + timedelta(microseconds=bars[9].open_time)).isoformat()
    }
    assert "volume" in {each["column"] for each in revised}


def test_holes_between_files_are_read_too(server, client, clock, settings, lake):
    dataset, bars = minutes(4000)
    server.add(dataset, bars)
    clock.move(4001 * 60)
    top_up(settings, lake, until=date(2025, 6, 15), exchange=client)
    held = recent_rows(lake, dataset).height
    assert 0 < held < 1440
    # A day from elsewhere leaves a hole before it.
    later = [bar for bar in bars if bar.open_time >= T0 + 2000 * MINUTE]
    server.add(dataset, later)
    top_up(settings, lake, since=date(2025, 6, 17), exchange=client)
    server.add(dataset, bars)
    assert len(missing_spans(dataset, lake)) == 2
    top_up(settings, lake, exchange=client)
    assert recent_rows(lake, dataset).drop("line").equals(as_parsed(bars))
    assert len(missing_spans(dataset, lake)) == 1


def test_an_outage_keeps_what_was_read(server, client, clock, settings, lake, monkeypatch):
    dataset, bars = minutes(3000)
    server.add(dataset, bars)
    clock.move(3001 * 60)
    server.faults.extend([None, None, *["500"] * 6])
    with pytest.raises(ExchangeError):
        top_up(settings, lake, exchange=client)
    assert recent_rows(lake, dataset).height == 1998
    top_up(settings, lake, exchange=client)
    assert recent_rows(lake, dataset).drop("line").equals(as_parsed(bars))


def write_zip(archive, dataset, day, bars) -> None:
    folder = archive / dataset.archive_folder
    folder.mkdir(parents=True, exist_ok=True)
    stem = dataset.archive_stem(day)
    with zipfile.ZipFile(folder / f"{stem}.zip", "w") as packed:
        packed.writestr(f"{stem}.csv", "".join(f"{bar.line}\n" for bar in bars))


def silver(lake, dataset) -> pl.DataFrame:
    return lake.silver.scan(lake.silver.files(dataset.silver_folder)).collect()


@pytest.mark.parametrize("market", ["spot", "um", "cm"])
def test_three_frequencies_give_the_silver_of_the_archive_alone(clock, settings, tmp_path, market):
    dataset = Dataset(market=market, symbol="SIMUSDT", interval="1h")
    start = round(datetime.fromisoformat("2025-05-01T00:00+00:00").timestamp()) * 1_000_000
    bars = random_bars(dataset, start, 24 * 45)
    hour = 3600 * 1_000_000

    def of(first, days):
        begin = start + first * 24 * hour
        return [bar for bar in bars if begin <= bar.open_time < begin + days * 24 * hour]

    def lake_of(name, archive, frequencies):
        own = settings.model_copy(
            update={
                "dataset": dataset,
                "archive": settings.archive.model_copy(update={"url": str(tmp_path / archive)}),
                "lake": settings.lake.model_copy(update={"url": str(tmp_path / name / "{layer}")}),
                "live": settings.live.model_copy(update={"url": server.url, "settle_seconds": 0.0}),
            }
        )
        lake = Lake.open(own)
        pipeline.ingest(own, lake, frequencies=frequencies)
        return lake, refine(own, lake)

    with SimulatedExchange(clock) as server:
        clock.move(45 * 86_400)  # after the last bar
        server.add(dataset, bars)
        daily = dataset.with_frequency("daily")
        write_zip(tmp_path / "split", dataset, date(2025, 5, 1), of(0, 31))
        for day in range(31, 40):
            write_zip(tmp_path / "split", daily, date(2025, 5, 1) + timedelta(day), of(day, 1))
        write_zip(tmp_path / "whole", dataset, date(2025, 5, 1), of(0, 31))
        write_zip(tmp_path / "whole", dataset, date(2025, 6, 1), of(31, 14))
        split, refined = lake_of("a", "split", ["monthly", "daily", RECENT])
        whole, _ = lake_of("b", "whole", ["monthly"])
        exchange_alone, _ = lake_of("c", "split", [RECENT])
    expected = silver(whole, dataset).drop("source")
    assert expected.height == len(bars)
    assert silver(split, dataset).drop("source").equals(expected)
    assert silver(exchange_alone, dataset).drop("source").equals(expected)
    assert refined.quality.tally.conflicts == 0
    assert refined.quality.gap_count == 0


def test_recorded_bars_are_the_archives_lines(tmp_path):
    dataset = Dataset(symbol="SIMUSDT", interval="1h")
    bars = random_bars(dataset, T0, 5)
    write_zip(tmp_path, dataset, date(2025, 6, 1), bars)
    assert [bar.line for bar in recorded(tmp_path, dataset)] == [bar.line for bar in bars]


def test_a_table_is_never_named_recent():
    with pytest.raises(Exception, match="is not one of monthly, daily"):
        Settings.load({"dataset.data_frequency": RECENT})


def test_prune_takes_days_that_the_archive_repeats_and_keeps_those_that_differ(server, client, clock, settings, lake):
    from hermes.steps.maintenance.prune import prune

    dataset, bars = minutes(4000)
    server.add(dataset, bars)
    clock.move(4001 * 60)
    top_up(settings, lake, exchange=client)
    days: dict[Any, Any] = {}
    for bar in bars:
        days.setdefault(date(1970, 1, 1) + timedelta(bar.open_time // 86_400_000_000), []).append(bar)
    (one, first), (two, second), (three, third), *_ = days.items()
    changed = [Bar((*second[0].cells[:5], "5.5", *second[0].cells[6:])), *second[1:]]
    for day, held in ((one, first), (two, changed), (three, third[:-1])):
        write_zip(Path(settings.archive.url), dataset.with_frequency("daily"), day, held)
    pipeline.ingest(settings, lake, frequencies=["daily"])
    refine(settings, lake)
    before = silver(lake, dataset).drop("source")

    would = prune(settings, lake, keep=10)
    assert [file.key.rpartition("/")[2] for file in would.recent] == [f"SIMUSDT-1m-{one}.parquet"]
    assert len(covered(dataset, lake)) == 3 + len(days)
    made = prune(settings, lake, keep=10, remove=True)
    assert made.recent == would.recent and "kept 1 recent file, differing from the archive" in made.notes[0]
    assert len(covered(dataset, lake)) == 3 + len(days) - 1
    refine(settings, lake)
    assert silver(lake, dataset).drop("source").equals(before)
    assert prune(settings, lake, keep=10, remove=True).recent == []
