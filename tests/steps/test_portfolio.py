"""One account over several tables of the lake: what is published, what is refused, and that order does not matter."""

import shutil
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.errors import NoBars, StoreError, UsageError
from hermes.lake.store import Lake
from hermes.pipeline import features, ingest, refine
from hermes.settings import Settings
from hermes.stages.audit.causality import judge
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.backtest import backtest
from hermes.steps.portfolio import portfolio

STOPS = {"account.stop_loss": 0.02, "account.take_profit": 0.06}


@pytest.fixture(scope="module")
def lake_root(real_lake, archive, tmp_path_factory):
    """The lake of BTCUSDT, with ETHUSDT beside it."""
    root = tmp_path_factory.mktemp("two") / "lake"
    shutil.copytree(real_lake, root)
    settings = task(root, "ETHUSDT", **{"archive.url": str(archive)})
    lake = Lake.open(settings)
    for step in (ingest, refine, features):
        step(settings, lake)
    return root


def task(root, symbol: str, **flags) -> Settings:
    return Settings.load({"lake.url": f"{root}/{{layer}}", "dataset.symbol": symbol, **flags}, environ={})


def tasks(root, *symbols: str, **flags) -> list[Settings]:
    return [task(root, symbol, **STOPS, **flags) for symbol in symbols]


def test_the_order_of_symbols_never_matters(lake_root):
    found = []
    for symbols in (("BTCUSDT", "ETHUSDT"), ("ETHUSDT", "BTCUSDT")):
        made = portfolio(tasks(lake_root, *symbols), Lake.open(task(lake_root, "BTCUSDT")), rank="rsi_14")
        found.append(made.result)
    assert found[0].as_json() == found[1].as_json()
    assert found[0].curve.equals(found[1].curve) and found[0].trades.equals(found[1].trades)


def test_a_warning_about_all_symbols_is_said_once(lake_root):
    made = portfolio(
        tasks(lake_root, "ETHUSDT", "BTCUSDT", **{"account.side": "both"}), Lake.open(task(lake_root, "B"))
    )
    (said,) = made.warnings
    assert said.startswith("BTCUSDT, ETHUSDT: side both on spot")


def test_alone_it_is_the_backtest(lake_root):
    (settings,) = tasks(lake_root, "BTCUSDT")
    lake = Lake.open(settings)
    made = portfolio([settings], lake).result
    alone = backtest(settings, lake)
    assert made.metrics.as_dict() == alone.result.metrics.as_dict()
    assert made.curve["equity"].to_list() == alone.equity["equity"].to_list()


def test_what_is_published_adds_up(lake_root):
    lake = Lake.open(task(lake_root, "BTCUSDT"))
    made = portfolio(tasks(lake_root, "BTCUSDT", "ETHUSDT", **{"account.size": "fraction:0.5"}), lake)
    table = pl.read_parquet(made.path)
    assert table.equals(made.result.curve) and table.height == 17_605
    said = made.as_json()
    assert sum(each["contribution_pct"] for each in said["symbols"]) == pytest.approx(
        said["metrics"]["total_return_pct"]
    )
    assert said["correlation"]["matrix"][0][1] == pytest.approx(0.8, abs=0.05)
    folder = made.path.rpartition("/")[0]
    trades = pl.read_csv(f"{folder}/trades.csv")
    assert trades.height == said["metrics"]["trades"] and set(trades["reason"].drop_nulls()) >= {"stop_loss"}
    page = Path(folder, "report.html").read_text(encoding="utf-8")
    assert "stop loss" in page and "ETHUSDT" in page


@pytest.mark.parametrize(
    ("symbols", "flags", "message"),
    [
        (("BTCUSDT", "ETHBTC"), {}, "one cash cannot hold BTC and USDT"),
        (("BTCUSDT", "BTCUSDT"), {}, "named twice"),
        (("BTCUSDT",), {"rank": "rsi"}, "'rsi' is not known"),
        (("BTCUSDT",), {"max_positions": 0}, "not a number of positions"),
        ((), {}, "needs a symbol"),
    ],
)
def test_what_cannot_share_a_cash_is_refused(lake_root, symbols, flags, message):
    with pytest.raises(UsageError, match=message) as error:
        portfolio(tasks(lake_root, *symbols), Lake.open(task(lake_root, "BTCUSDT")), **flags)
    assert error.value.exit_code == 2


def test_mixed_markets_are_refused(lake_root):
    mixed = [*tasks(lake_root, "BTCUSDT"), *tasks(lake_root, "ETHUSDT", **{"dataset.market": "um"})]
    with pytest.raises(UsageError, match="markets spot and um"):
        portfolio(mixed, Lake.open(mixed[0]))


def test_coin_margined_contracts_do_not_share_a_cash(lake_root):
    coins = tasks(lake_root, "BTCUSD_PERP", "ETHUSD_250328", **{"dataset.market": "cm"})
    with pytest.raises(UsageError, match="are in coins, one for each"):
        portfolio(coins, Lake.open(coins[0]))


RANKED = """\
from hermes.strategies.smart_momentum import SmartMomentum
import polars as pl

class Ranked(SmartMomentum):
    name = "ranked"

    def ranks(self):
        return {"best": pl.col("close") / pl.col("close").max()}
"""


def test_a_rank_that_is_not_proven_is_warned_of(lake_root, tmp_path):
    file = tmp_path / "ranked.py"
    file.write_text(RANKED)
    given = tasks(lake_root, "BTCUSDT", **{"signals.strategy": str(file)})
    made = portfolio(given, Lake.open(given[0]), rank="best")
    assert made.warnings[1:] == ["--rank best is not proven to look back only: max() is a figure of the whole column"]


def test_a_rank_that_looks_ahead_is_a_fault():
    assert judge(pl.col("close").shift(-1)).verdict == "fault"


def test_a_symbol_of_an_unknown_currency_is_named(lake_root):
    with pytest.raises(UsageError, match="the quote currency of NOSUCH is not known"):
        portfolio(tasks(lake_root, "BTCUSDT", "NOSUCH"), Lake.open(task(lake_root, "BTCUSDT")))


@pytest.fixture(scope="module")
def one_after_the_other(tmp_path_factory) -> list[Settings]:
    """Two symbols, the second of which begins where the first one ends."""
    root = tmp_path_factory.mktemp("after")
    made = []
    for symbol, month in (("FORMERUSDT", 10), ("LATERUSDT", 11)):
        write_archive(root / "archive", Dataset(symbol=symbol), date(2024, month, 1), 1)
        terms = {"signals.strategy": "ma_cross", "strategy.ma_cross.fast": 5, "strategy.ma_cross.slow": 10}
        settings = task(root / "lake", symbol, **{"archive.url": str(root / "archive"), **terms})
        for step in (ingest, refine, features):
            step(settings, Lake.open(settings))
        made.append(settings)
    return made


def test_a_symbol_without_bars_in_the_span_is_left_out(one_after_the_other):
    former, later = one_after_the_other
    lake = Lake.open(former)
    made = portfolio(spanned([former, later], datetime(2024, 11, 5)), lake)
    alone = portfolio(spanned([later], datetime(2024, 11, 5)), lake)
    assert made.symbols == ["LATERUSDT"] and made.max_positions == 1
    assert made.result.as_json() == alone.result.as_json()
    (said,) = [each for each in made.warnings if each.startswith("left out: ")]
    assert "FORMERUSDT" in said and "has no bar from 2024-11-05" in said
    with pytest.raises(NoBars, match=r"FORMERUSDT.* has no bar from 2025-01-01"):
        portfolio(spanned([former, later], datetime(2025, 1, 1)), lake)


def spanned(given: list[Settings], start: datetime) -> list[Settings]:
    return [each.model_copy(update={"signals": each.signals.model_copy(update={"start": start})}) for each in given]


def test_a_page_that_cannot_be_written_fails_no_portfolio(one_after_the_other, monkeypatch, caplog):
    lake = Lake.open(one_after_the_other[0])

    def full(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(type(lake.gold), "write_bytes", full)
    made = portfolio(one_after_the_other, lake)
    assert pl.read_parquet(made.path).equals(made.result.curve)
    assert made.page == ""
    assert all(f"{each} was not written: the disk is full" in caplog.text for each in ("trades.csv", "report.html"))
