"""Funding rates from the archive to the account: files kept and refused, the clean series, what is missing, charges."""

import shutil
import zipfile
from dataclasses import replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hermes.dataset import Dataset, FundingRates
from hermes.errors import KlinesRefused, Misplaced, SourceChanged
from hermes.lake.store import Lake
from hermes.pages.compare import compare_page
from hermes.pipeline import features, ingest, refine
from hermes.settings import Settings
from hermes.stages.backtest.funding import Funding
from hermes.stages.bronze.klines import read_funding
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.backtest import backtest
from hermes.steps.compare import compare
from hermes.steps.funding import funding_of, missing_funding, refine_funding
from hermes.steps.portfolio import portfolio
from hermes.steps.search.sweep import sweep
from hermes.steps.search.walkforward import walkforward

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
    assert "funding is missing from 2024-11-30 16:00 to 2025-01-01 00:00" in said
    paid = made.trades["funding"]
    assert made.metrics["funding_paid"] == pytest.approx(paid.sum()) and paid.sum() != 0
    assert made.metrics["end_value"] == pytest.approx(10_000 + made.trades["profit"].sum())


def test_it_is_said_wherever_figures_are_shown(settings, tmp_path):
    lake = Lake.open(settings)
    grid = {**settings.strategy, "ma_cross": {"fast": "5,10", "slow": "20"}}
    several = settings.model_copy(update={"strategy": grid})
    swept = sweep(several, lake, min_trades=0, out=tmp_path)
    walked = walkforward(several, lake, train="1m", test="1m")
    compared = compare(settings, lake, first="ma_cross,fast=5", second="ma_cross,fast=10")
    for made in (swept, walked, compared):
        (said,) = made.as_json()["warnings"]
        assert said.startswith("funding is missing from 2024-11-30 16:00")
    pages = (swept.folder / "sweep.html").read_text(), walked.html, compare_page(compared.as_json(), compared.curve, "")
    assert all("unding is missing from 2024-11-30 16:00" in page for page in pages)


def test_a_portfolio_misses_no_funding_where_a_symbol_has_no_bars(settings):
    archive = Path(settings.archive.url)
    write_archive(archive, Dataset(market="um", symbol="LATEUSDT"), date(2024, 11, 1), 1)
    late = settings.model_copy(update={"dataset": replace(settings.dataset, symbol="LATEUSDT")})
    lake = Lake.open(late)
    for step in (ingest, refine, features):
        step(late, lake)
    made = portfolio([settings, late], lake)
    said = [each for each in made.warnings if "funding" in each]
    assert [each[:66] for each in said] == [
        "LATEUSDT: funding is missing from 2024-11-01 00:00 to 2024-12-01 0",
        "SIMUSDT: funding is missing from 2024-11-30 16:00 to 2025-01-01 00",
    ]
    (table,) = [
        file for file in lake.gold.files(late.dataset.portfolio_table("ma_cross")) if file.location == made.path
    ]
    assert lake.gold.footer(table)["warnings"] == list(made.warnings)
    assert any("trades: too few" in each for each in made.warnings) == (made.result.metrics.trades < 30)


def test_a_portfolio_of_features_that_changed_meanwhile_is_not_published(settings, monkeypatch):
    lake = Lake.open(settings)
    monkeypatch.setattr(type(lake.gold), "unchanged", lambda *_: False)
    table = settings.dataset.portfolio_table("ma_cross")
    before = lake.gold.files(table)
    with pytest.raises(SourceChanged, match=r"features of .* changed while they were read"):
        portfolio([settings], lake)
    assert lake.gold.files(table) == before


def test_signals_given_as_a_frame_are_charged_as_they_were_measured(settings):
    made = backtest(settings, Lake.open(settings))
    given = backtest(settings, Lake.open(settings), frame=made.frame())
    for each in (made, given):
        assert each.equity["equity"][-1] == each.metrics["end_value"]
    assert given.metrics["funding_paid"] == 0 and "funding is missing" in given.warnings[-1]


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_one_missing_payment_is_said_for_every_interval_of_payments(hours):
    step = timedelta(hours=hours)
    times = [datetime(2024, 1, 1) + n * step for n in range(60)]
    contract, last = Dataset(market="um", interval="1h"), times[-1] - timedelta(hours=1)

    def said(kept):
        known = pl.Series(kept, dtype=pl.Datetime("us")).to_numpy()
        rates = Funding(known, np.full(len(kept), 0.0001), 3600, np.full(len(kept), hours))
        return missing_funding(contract, rates, times[0], last)

    assert said(times) == ""
    assert f"from {times[19]:%Y-%m-%d %H:%M} to {times[21]:%Y-%m-%d %H:%M}:" in said(times[:20] + times[21:])


def test_the_last_bar_is_looked_at_up_to_its_close():
    known = pl.Series([datetime(2024, 1, 1)], dtype=pl.Datetime("us")).to_numpy()
    rates = Funding(known, np.array([0.0001]), 86_400, np.array([8]))
    day = datetime(2024, 1, 1)
    assert "2024-01-01 00:00 to 2024-01-02 00:00" in missing_funding(
        Dataset(market="um", interval="1d"), rates, day, day
    )


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
        ["1727740800000,8,0.0001", "1727740800007,8,0.0002"],
    ],
)
def test_files_that_cannot_be_trusted_are_refused(lines):
    with pytest.raises(KlinesRefused, match="SIMUSDT-fundingRate-2024-10"):
        read_funding(zipped(lines), RATES, date(2024, 10, 1))
