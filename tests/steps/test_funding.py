"""Funding rates from the archive to the account: files kept and refused, the clean series, what is missing, charges."""

import shutil
import zipfile
from datetime import date, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from hermes.dataset import Dataset, FundingRates
from hermes.errors import KlinesRefused, Misplaced
from hermes.lake.store import Lake
from hermes.pipeline import features, ingest, refine
from hermes.settings import Settings
from hermes.stages.bronze.klines import read_funding
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.backtest import backtest
from hermes.steps.funding import funding_of, missing_funding, refine_funding

SYMBOL = "SIMUSDT"
RATES = FundingRates.of(Dataset(market="um", symbol=SYMBOL))
HEADER = "calc_time,funding_interval_hours,last_funding_rate"


def zipped(lines: list[str], month: str = "2024-10") -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(f"{SYMBOL}-fundingRate-{month}.csv", "\n".join([HEADER, *lines, ""]))
    return content.getvalue()


def month_of(year: int, month: int, rate: float) -> list[str]:
    """Every eight hours, a few milliseconds late."""
    at, lines = datetime(year, month, 1), []
    while at.month == month:
        lines.append(f"{int((at - datetime(1970, 1, 1)).total_seconds() * 1000) + 7},8,{rate}")
        at += timedelta(hours=8)
    return lines


def publish(root, month: str, data: bytes) -> None:
    folder = root / RATES.archive_folder
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{SYMBOL}-fundingRate-{month}.zip"
    (folder / name).write_bytes(data)
    (folder / f"{name}.CHECKSUM").write_text(f"{sha256(data).hexdigest()}  {name}\n")


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """Three months of bars of a perpetual contract, and the funding of the first two of them."""
    root = tmp_path_factory.mktemp("perpetual")
    write_archive(root / "archive", Dataset(market="um", symbol=SYMBOL), date(2024, 10, 1), 3)
    publish(root / "archive", "2024-10", zipped(month_of(2024, 10, 0.0001)))
    publish(root / "archive", "2024-11", zipped(month_of(2024, 11, -0.0002), "2024-11"))
    flags = {"lake.url": f"{root}/lake/{{layer}}", "archive.url": str(root / "archive"), "dataset.symbol": SYMBOL}
    settings = Settings.load(
        {
            **flags,
            "dataset.market": "um",
            "signals.strategy": "ma_cross",
            "strategy.ma_cross.fast": 10,
            "strategy.ma_cross.slow": 20,
        },
        environ={},
    )
    lake = Lake.open(settings)
    for step in (ingest, refine, features):
        step(settings, lake)
    return settings


def test_silver_has_each_instant_once_to_the_minute(settings):
    lake = Lake.open(settings)
    keys = [file.key for file in lake.bronze.files(RATES.bronze_folder)]
    assert (
        keys[0] == "binance/data/um/monthly/fundingRate/SIMUSDT/year=2024/month=10/SIMUSDT-fundingRate-2024-10.parquet"
    )
    funding = funding_of(settings.dataset, lake)
    assert len(funding.times) == 93 + 90
    assert set(pl.Series(funding.times).diff().drop_nulls()) == {timedelta(hours=8)}
    assert funding.times[0].item() == datetime(2024, 10, 1)
    before = {file.key: file.version for file in lake.silver.files(RATES.silver_folder)}
    ingest(settings, lake)
    refine(settings, lake)
    assert {file.key: file.version for file in lake.silver.files(RATES.silver_folder)} == before


def test_rates_of_another_contract_that_were_copied_are_refused(settings, tmp_path):
    root = Path(settings.layer_url("gold")).parent
    shutil.copytree(root, tmp_path / "lake")
    there = {"lake.url": f"{tmp_path}/lake/{{layer}}", "dataset.symbol": "ETHUSDT", "dataset.market": "um"}
    mine = Settings.load(there, environ={})
    lake, other = Lake.open(mine), FundingRates.of(mine.dataset)
    for layer, key, copy in (
        (lake.bronze, RATES.bronze_key(date(2024, 10, 1)), other.bronze_key(date(2024, 10, 1))),
        (lake.silver, RATES.silver_key(2024), other.silver_key(2024)),
    ):
        place = Path(layer.locate(copy))
        place.parent.mkdir(parents=True)
        shutil.copy(layer.locate(key), place)
    with pytest.raises(Misplaced, match=r"ETHUSDT-fundingRate-2024-10\.parquet was published as .*SIMUSDT"):
        refine_funding(mine, lake)
    with pytest.raises(Misplaced, match=r"was published as .*SIMUSDT"):
        funding_of(mine.dataset, lake)


def test_it_is_charged_and_what_is_missing_is_said(settings):
    made = backtest(settings, Lake.open(settings))
    (said,) = [each for each in made.warnings if "funding" in each]
    assert "funding is missing from 2024-11-30 16:00 to 2024-12-31 20:00" in said
    paid = made.trades["funding"]
    assert made.metrics["funding_paid"] == pytest.approx(paid.sum()) and paid.sum() != 0
    assert made.metrics["end_value"] == pytest.approx(10_000 + made.trades["profit"].sum())


def test_spot_and_contracts_that_end_have_none():
    assert FundingRates.of(Dataset()) is None
    assert FundingRates.of(Dataset(market="um", symbol="BTCUSDT_210326")) is None
    first, last = datetime(2024, 1, 1), datetime(2024, 2, 1)
    assert missing_funding(Dataset(), None, first, last) == ""
    assert "2024-01-01 00:00 to 2024-02-01" in missing_funding(Dataset(market="um"), None, first, last)


@pytest.mark.parametrize(
    "lines",
    [
        ["1727740800000,8"],
        ["1727740800000,8,nan"],
        ["1727740800000,8,"],
        ["1727740800000,8,1.5"],
        ["1725148800000,8,0.1"],
        ["1727740800000000,8,0.1"],
        ["soon,8,0.1"],
        [],
    ],
)
def test_files_that_cannot_be_trusted_are_refused(lines):
    with pytest.raises(KlinesRefused, match="SIMUSDT-fundingRate-2024-10"):
        read_funding(zipped(lines), RATES, date(2024, 10, 1))
