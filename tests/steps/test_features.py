"""Features of long series are made in blocks: the same table, and nothing of it depends on when it was made."""

import json
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.errors import SettingsError, StoreError, TableRefused
from hermes.lake.store import Lake
from hermes.lake.tables import BEGIN
from hermes.live.history import silver_reader
from hermes.pipeline import features, ingest, refine, signals
from hermes.schemas import INDICATORS
from hermes.stages.bronze.simulate import write_archive
from hermes.stages.gold import blocks
from hermes.steps import features as step
from hermes.steps.backtest import backtest
from hermes.steps.features import read_features

MINUTES = Dataset(symbol="SIMUSDT", interval="15m")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Five months of 15m bars, two of them in another year."""
    root = tmp_path_factory.mktemp("archive")
    write_archive(root, MINUTES, date(2024, 11, 1), 5)
    return root


@pytest.fixture
def short_blocks(monkeypatch):
    monkeypatch.setattr(step, "WHOLE_ROWS", 5_000)
    monkeypatch.setattr(step, "BLOCK_ROWS", 6_000)  # two months
    monkeypatch.setattr(blocks, "LEAD", 2_000)


def made(root, archive, load, **flags):
    settings = load(root, dataset__symbol="SIMUSDT", dataset__interval="15m", archive__url=str(archive), **flags)
    lake = Lake.open(settings)
    ingest(settings, lake)
    refine(settings, lake)
    return settings, features(settings, lake)


def test_blocks_make_the_table_that_is_made_at_once(archive, tmp_path, load, request):
    settings, _ = made(tmp_path / "whole", archive, load)
    whole = read_features(settings).collect()
    request.getfixturevalue("short_blocks")
    settings, found = made(tmp_path / "blocks", archive, load)
    table = read_features(settings).collect()
    assert len(found.written) == 5 and found.rows == table.height == whole.height
    exact = [name for name, dtype in table.schema.items() if name not in INDICATORS or not dtype.is_float()]
    assert table.select(exact).equals(whole.select(exact))
    for name in set(table.columns) - set(exact):
        far, near = whole[name].fill_null(-1.0), table[name].fill_null(-1.0)
        assert ((far - near).abs() <= 1e-8 * pl.select(pl.max_horizontal(far.abs(), 1.0)).to_series()).all(), name


@pytest.mark.usefixtures("short_blocks")
def test_an_increment_writes_what_a_rebuild_would(archive, tmp_path, load):
    part = tmp_path / "part"
    for month in ("2024-11", "2024-12", "2025-01", "2025-02"):
        for ending in (".zip", ".zip.CHECKSUM"):
            name = f"{MINUTES.archive_folder}/SIMUSDT-15m-{month}{ending}"
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(archive / name, part / name)
    made(tmp_path / "lake", part, load)
    settings, increment = made(tmp_path / "lake", archive, load)
    assert [key.split("/")[-3:-1] for key in increment.written] == [["year=2025", f"month={m}"] for m in (1, 2, 3)]
    rebuilt, _ = made(tmp_path / "anew", archive, load)
    assert read_features(settings).collect().equals(read_features(rebuilt).collect())
    assert not features(settings, Lake.open(settings)).written


def test_files_that_do_not_say_where_they_begin_are_up_to_date(archive, tmp_path, load):
    settings, first = made(tmp_path, archive, load)
    gold = Lake.open(settings).gold
    for file in gold.files(settings.dataset.features_table):
        about = gold.footer(file)
        del about[BEGIN]  # as of an older Hermes
        gold.write(file.key, pl.read_parquet(file.location, glob=False), about)
    again = features(settings)
    assert (again.written, len(again.unchanged)) == ([], len(first.written))
    signals(settings)


def test_a_month_that_is_gone_is_no_gap(archive, tmp_path, load):
    settings, first = made(tmp_path, archive, load)
    lake = Lake.open(settings)
    Path(lake.gold.locate(first.written[2])).unlink()
    with pytest.raises(TableRefused, match=r"begins after .* rows of its series, and .* are there"):
        signals(settings, lake)
    assert features(settings, lake).written == [first.written[2]]
    assert signals(settings, lake).as_json()["rows"] == first.rows


def test_what_is_gone_at_the_end_is_told(archive, tmp_path, load):
    """Of the newest feature file no other file knows, of a year of silver only its quality table."""
    settings, found = made(tmp_path, archive, load)
    lake = Lake.open(settings)
    assert not any("silver goes on" in said for said in backtest(settings, lake).warnings)
    (tmp_path / "gold" / found.written[-1]).unlink()
    assert "silver goes on to 2025-03-31 23:45:00: `hermes features`" in backtest(settings, lake).warnings[-1]
    early = load(tmp_path, dataset__symbol="SIMUSDT", dataset__interval="15m", signals__end="2025-01-15")
    assert not any("silver goes on" in said for said in backtest(early, lake).warnings)

    (tmp_path / "silver" / settings.dataset.silver_folder / "year=2025" / "data_0.parquet").unlink()
    shutil.rmtree(tmp_path / "gold")
    with pytest.raises(StoreError, match=r"a file is missing.*refine"):
        features(settings, lake)
    refine(settings, lake)
    assert features(settings, lake).rows == found.rows


def test_crossing_into_blocks_writes_all_files_again(archive, tmp_path, load, request):
    made(tmp_path, archive, load)
    request.getfixturevalue("short_blocks")
    _, found = made(tmp_path, archive, load)
    assert len(found.written) == 5


@pytest.mark.usefixtures("short_blocks")
def test_silver_out_of_order_between_two_blocks_is_refused(archive, tmp_path, load):
    settings, _ = made(tmp_path, archive, load)
    lake = Lake.open(settings)
    file, _ = lake.silver.files(settings.dataset.silver_folder)
    about, rows = lake.silver.footer(file), pl.read_parquet(file.location)
    lake.silver.write(
        file.key, pl.concat([rows.tail(2_000), rows.head(rows.height - 2_000)]), {**about, "fingerprint": "x"}
    )
    with pytest.raises(StoreError, match="bars out of order"):
        features(settings, lake)


def test_a_known_split_is_adjusted_in_gold_and_said(archive, tmp_path, load):
    """A thousand old units become one on 1 February: the real prices of January are a thousandth in the archive."""
    settings, _ = made(tmp_path / "plain", archive, load)
    plain = read_features(settings).collect()
    lake = Lake.open(settings)
    key = settings.dataset.silver_key(2025)
    (file,) = [file for file in lake.silver.files(settings.dataset.silver_folder) if file.key == key]
    late = pl.col("datetime") >= date(2025, 2, 1)
    prices = pl.col("open", "high", "low", "close")
    raw = (
        lake.silver.scan([file])
        .collect()
        .with_columns(
            pl.when(late).then(prices).otherwise(prices / 1000),
            pl.when(late).then("volume").otherwise(pl.col("volume") * 1000),
        )
    )
    about = lake.silver.footer(file)
    (other,) = [each for each in lake.silver.files(settings.dataset.silver_folder) if each.key != key]
    old = lake.silver.scan([other]).collect().with_columns(prices / 1000, pl.col("volume") * 1000)
    about_old = lake.silver.footer(other)
    lake.silver.write_all([(key, raw, about | {"fingerprint": "redenominated"}),
                           (other.key, old, about_old | {"fingerprint": "redenominated before"})])  # fmt: skip

    assert features(settings, lake).written
    jumped = signals(settings, lake)
    assert jumped.metrics["price_jumps"] == 1
    assert any("1 price jump" in each and "not validated" in each for each in jumped.warnings)

    told = load(
        tmp_path / "plain", dataset__symbol="SIMUSDT", dataset__interval="15m", archive__url=str(archive),
        quality__splits="SIMUSDT@2025-02-01=1000, OTHERUSDT@2025-01-01=2",
    )  # fmt: skip
    assert len(features(told, lake).written) == 5  # every file is made again
    assert not features(told, lake).written
    adjusted = read_features(told).collect()
    for name in ("open", "close", "ema_50", "supertrend_10_3.0"):
        known = plain[name].is_not_null()
        assert adjusted.filter(known)[name].to_list() == pytest.approx(plain.filter(known)[name].to_list(), rel=1e-9)
    read, rows = silver_reader(told, lake)  # what `hermes live` keeps in memory
    assert read(0, rows)["close"].to_list() == adjusted["close"].to_list()
    made_ = signals(told, lake)
    assert made_.metrics["price_jumps"] == 0 and not any("price jump" in each for each in made_.warnings)
    lineage = json.loads(pl.read_parquet_metadata(made_.path)["hermes"])
    assert lineage["splits"] == [["2025-02-01T00:00:00", 1000.0]]
    assert signals(settings, lake).metrics["price_jumps"] == 0  # what was read is what counts, and what is said


@pytest.mark.parametrize(
    "wrong", ["BTCUSDT", "BTCUSDT@2022-01-18", "BTCUSDT@soon=10", "BTCUSDT@2022-01-18=0", "a b@c=1"]
)
def test_splits_that_cannot_be_read_are_refused(load, tmp_path, wrong):
    with pytest.raises(SettingsError, match="expected SYMBOL@INSTANT=RATIO, like BTTUSDT@2022-01-18=1000"):
        load(tmp_path, quality__splits=wrong)
