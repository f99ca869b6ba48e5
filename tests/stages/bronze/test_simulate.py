"""The simulated market: the same bytes on every run, and a market that the full pipeline can be shown on."""

import hashlib
import zipfile
from datetime import date
from pathlib import Path

import polars as pl
import polars_talib as plta
import pytest

from hermes.dataset import INTERVAL_SECONDS, Dataset
from hermes.errors import UsageError
from hermes.schemas import BRONZE
from hermes.stages.bronze.archive import open_archive
from hermes.stages.bronze.klines import read_zip
from hermes.stages.bronze.simulate import write_archive

DEMO = Dataset(symbol="SIMUSDT")
FOUR_HOURS = 14400


def files_of(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def read(root: Path, dataset: Dataset) -> pl.DataFrame:
    """Every bar of the archive at `root`, through the real download and parse code; times in seconds."""
    archive = open_archive(str(root), pytest.fail)
    frames = []
    for file in archive.list(dataset):
        fetched = archive.fetch(file)
        assert fetched.verified
        rows = read_zip(fetched.data, dataset, file.period)
        micros = dataset.market == "spot" and file.period >= date(2025, 1, 1)
        assert (rows["open_time"] > 1e14).all() == micros
        unit = 1_000_000 if micros else 1_000
        frames.append(rows.with_columns(pl.col("open_time") // unit, (pl.col("close_time") + 1) // unit))
    return pl.concat(frames)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    root = tmp_path_factory.mktemp("simulated")
    written = write_archive(root, DEMO, date(2022, 1, 1), 42)
    rows = read(root, DEMO)
    assert len(rows) == written
    return rows


def test_every_run_writes_the_same_bytes(tmp_path: Path) -> None:
    first, again, other, renamed = (tmp_path / name for name in ("first", "again", "other", "renamed"))
    assert write_archive(first, DEMO, date(2024, 11, 20), 3) == write_archive(again, DEMO, date(2024, 11, 1), 3)
    assert files_of(first) == files_of(again)
    names = {f"SIMUSDT-4h-{month}.zip{end}" for month in ("2024-11", "2024-12", "2025-01") for end in ("", ".CHECKSUM")}
    assert set(files_of(first)) == {f"{DEMO.archive_folder}/{name}" for name in names}
    write_archive(other, DEMO, date(2024, 11, 1), 3, seed=8)
    write_archive(renamed, Dataset(symbol="SIM2USDT"), date(2024, 11, 1), 3)
    assert not set(files_of(first).values()) & set(files_of(other).values())
    assert not set(files_of(first).values()) & set(files_of(renamed).values())


def test_lines_look_as_in_the_archive(tmp_path: Path) -> None:
    write_archive(tmp_path, DEMO, date(2022, 1, 1), 1)
    with zipfile.ZipFile(tmp_path / DEMO.archive_folder / "SIMUSDT-4h-2022-01.zip") as packed:
        assert packed.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        first = packed.read("SIMUSDT-4h-2022-01.csv").decode().splitlines()[0]
    assert first.startswith("1640995200000,20000.00000000,")
    assert first.endswith(",0")
    assert first.count(",") == 11


def test_writing_again_replaces(tmp_path: Path) -> None:
    write_archive(tmp_path, DEMO, date(2024, 1, 1), 2, seed=1)
    write_archive(tmp_path, DEMO, date(2024, 1, 1), 2, seed=2)
    assert len(read(tmp_path, DEMO)) > 300  # fetch verifies each against its CHECKSUM
    assert len(files_of(tmp_path)) == 4


def test_bars_are_consistent(market: pl.DataFrame) -> None:
    body_high, body_low = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    broken = market.filter(
        (pl.col("high") < body_high)
        | (pl.col("low") > body_low)
        | (pl.col("low") <= 0)
        | (pl.col("volume") < 0)
        | (pl.col("taker_buy_volume") > pl.col("volume"))
        | (pl.col("taker_buy_quote_volume") > pl.col("quote_volume"))
        | (pl.col("quote_volume") < pl.col("volume") * pl.col("low") * 0.999999)
        | (pl.col("quote_volume") > pl.col("volume") * pl.col("high") * 1.000001)
        | ((pl.col("volume") > 0) != (pl.col("count") > 0))
        | (pl.col("close_time") - pl.col("open_time") != FOUR_HOURS)
    )
    assert broken.is_empty()
    assert market.null_count().sum_horizontal().item() == 0
    prices = market.select("open", "high", "low", "close")
    assert prices.equals(prices.with_columns(pl.all().round(2)))


def test_bars_stand_on_the_grid_in_order(market: pl.DataFrame) -> None:
    steps = market["open_time"].diff().drop_nulls()
    assert (steps > 0).all()
    assert (market["open_time"] % FOUR_HOURS == 0).all()


def test_a_few_bars_are_missing_and_one_maintenance_leaves_a_hole(market: pl.DataFrame) -> None:
    gaps = market["open_time"].diff().drop_nulls() // FOUR_HOURS - 1
    holes = gaps.filter(gaps > 0)
    assert (holes >= 8).sum() == 1  # 32 hours
    assert 1 <= (holes < 8).sum() <= 20


def test_a_few_bars_are_flat_without_a_trade(market: pl.DataFrame) -> None:
    still = market.filter(pl.col("volume") == 0)
    assert 1 <= len(still) <= 30
    flat = still.select(pl.all_horizontal(pl.col("open") == pl.col(name) for name in ("high", "low", "close")).all())
    assert flat.item()


def test_smart_momentum_finds_something_to_do(market: pl.DataFrame) -> None:
    fast, slow = plta.ema(pl.col("close"), timeperiod=12), plta.ema(pl.col("close"), timeperiod=26)
    trend = plta.supertrend(pl.col("high"), pl.col("low"), pl.col("close"), timeperiod=10, multiplier=3.0)
    signals = market.select(
        cross=(fast > slow) & (fast.shift() <= slow.shift()),
        calm=plta.rsi(pl.col("close"), timeperiod=14).is_between(45, 55),
        trend=trend.struct.field("trend"),
    ).select(
        buy=pl.col("cross") & pl.col("calm") & (pl.col("trend") == 1),
        sell=(pl.col("trend") == -1) & (pl.col("trend").shift() == 1),
    )
    assert signals["buy"].sum() >= 8
    assert signals["sell"].sum() >= 40


@pytest.mark.parametrize("interval", [name for name in INTERVAL_SECONDS if name not in ("1s", "1m", "1mo")])
def test_every_interval_gives_bars_of_its_length(tmp_path: Path, interval: str) -> None:
    dataset = Dataset(symbol="SIMUSDT", interval=interval)
    written = write_archive(tmp_path, dataset, date(2024, 12, 1), 2)
    rows = read(tmp_path, dataset)
    step = dataset.interval_seconds
    assert len(rows) == written
    assert rows.schema == pl.Schema(BRONZE)
    assert (rows["close_time"] - rows["open_time"] == step).all()
    assert (rows["open_time"].diff().drop_nulls() % step == 0).all()
    whole, hole = 62 * 86400 / step, 32 * 3600 / step
    assert 0.998 * (whole - hole) - 3 < written <= whole


def test_futures_have_a_header_and_stay_in_milliseconds(tmp_path: Path) -> None:
    dataset = Dataset(symbol="SIMUSDT", market="um")
    write_archive(tmp_path, dataset, date(2025, 1, 1), 1)
    assert read(tmp_path, dataset)["line"][0] == 2


@pytest.mark.parametrize("dataset", [DEMO.with_frequency("daily"), Dataset(symbol="SIMUSDT", interval="1mo")])
def test_what_is_not_simulated_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="no market is simulated"):
        write_archive(tmp_path, dataset, date(2024, 1, 1), 1)
    assert not files_of(tmp_path)
