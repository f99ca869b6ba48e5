import json
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.pages.lakes import made

from hermes import pipeline
from hermes.errors import MissingTable, StoreError
from hermes.lake import catalog
from hermes.pages import candles, charts
from hermes.pages.execution import execution_page
from hermes.steps import page_data
from hermes.steps.production import find_execution
from hermes.steps.report import report


def text(path: str) -> str:
    return Path(path).read_text("utf-8")


def test_the_page_stands_beside_its_signals(simulated):
    settings, lake = simulated
    done = report(settings, lake)
    lineage = find_execution(settings, lake).lineage
    assert done.execution == find_execution(settings, lake).name
    assert done.rows == done.drawn == lineage["rows"]
    assert done.trades == lineage["metrics"]["trades"] > 0
    page = text(done.path)
    assert len(page.encode()) == done.bytes <= 6_000_000
    assert "Simulated market" in page
    assert "too few to conclude" in page
    assert "supertrend_10_3.0 up" in page
    assert "simulated market" in text(done.thumbnail_path)
    assert set(json.loads(json.dumps(done.as_json()))) > {"path", "trades_path", "bytes", "seconds"}


def test_trades_as_csv(simulated):
    settings, lake = simulated
    done = report(settings, lake)
    trades = pl.read_csv(done.trades_path)
    assert trades.height == done.trades
    assert trades["entry_time"].str.ends_with("Z").all()
    total = find_execution(settings, lake).lineage["metrics"]["end_value"] - 10_000
    assert trades["profit"].sum() == pytest.approx(total)


def test_the_page_asks_nobody_for_anything(simulated):
    settings, lake = simulated
    page = text(report(settings, lake).path)
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", outside)
    assert "default-src 'none'" in page
    assert not re.findall(r"<script[^>]+src=", page)


def test_a_strategy_that_never_trades_has_a_page(never_trades):
    settings, lake = never_trades
    done = report(settings, lake)
    page = text(done.path)
    assert done.trades == 0
    assert "the strategy never traded" in page
    assert "it never traded</small>" in page
    assert pl.read_csv(done.trades_path).height == 0


def test_figures_that_are_not_those_of_the_rows_get_no_page(simulated, monkeypatch):
    settings, lake = simulated
    real_lineage = catalog.checked_lineage

    def boasting(*args):
        found = real_lineage(*args)
        found["metrics"]["total_return_pct"] += 1e-6
        return found

    monkeypatch.setattr(catalog, "checked_lineage", boasting)
    with pytest.raises(StoreError, match="total_return_pct"):
        report(settings, lake)
    assert not lake.gold.files(settings.dataset.signals_table("smart_momentum"), ".html")


@pytest.mark.parametrize(
    "term", [{"initial_cash": 1e300}, {"initial_cash": "much"}, {"fees": 2}, {"fill": "never"}, {"size": "half"}]
)
def test_an_account_of_an_older_hermes_that_this_one_refuses_names_the_file(simulated, monkeypatch, term):
    settings, lake = simulated
    real_lineage = catalog.checked_lineage

    def otherwise(*args):
        found = real_lineage(*args)
        return {**found, **{name: {**found[name], **term} for name in ("backtest", "account")}}

    monkeypatch.setattr(catalog, "checked_lineage", otherwise)
    with pytest.raises(StoreError, match=r"signals\.parquet was measured with an account that is none: ") as refused:
        report(settings, lake)
    assert refused.value.cure == "make the signals again"


def test_the_trend_line_is_left_out_where_the_features_are_no_longer_those(simulated):
    settings, lake = simulated
    for file in lake.gold.files(settings.dataset.features_table):
        frame = pl.read_parquet(file.location, glob=False)
        lake.gold.write(file.key, frame.with_columns(pl.col("close") * 2), {})
    page = text(report(settings, lake).path)
    assert "supertrend_10_3.0 up" not in page
    assert "no longer that of the signals" in page


def test_the_trend_line_is_left_out_where_there_are_no_features(simulated, tmp_path):
    settings, lake = simulated
    table = tmp_path / "lake" / "gold" / settings.dataset.features_table
    table.rename(tmp_path / "elsewhere")
    assert "is not drawn" in text(report(settings, lake).path)


def test_one_execution_of_several_by_name(simulated):
    settings, lake = simulated
    first = find_execution(settings, lake).name
    pipeline.signals(settings, lake)
    assert report(settings, lake, execution=first).execution == first
    assert report(settings, lake).execution > first
    with pytest.raises(MissingTable):
        report(settings, lake, execution="execution_19700101_000000")


def test_many_bars_are_drawn_as_fewer_candles_and_measured_all(simulated, monkeypatch):
    settings, lake = simulated
    whole = report(settings, lake)
    monkeypatch.setattr(candles, "MOST_CANDLES", 500)
    monkeypatch.setattr(page_data, "PIECE_ROWS", 100)
    fewer = report(settings, lake)
    each = -(-whole.rows // 500)
    assert fewer.drawn == -(-whole.rows // each)
    page = text(fewer.path)
    assert f"The {whole.rows:,} bars are drawn as {fewer.drawn:,} candles of {each} bars each" in page
    assert fewer.trades == whole.trades


def test_idle_signals_too_many_to_draw_are_counted(simulated, monkeypatch):
    settings, lake = simulated
    monkeypatch.setattr(page_data, "MOST_IDLE_SIGNALS", 3)
    page = text(report(settings, lake).path)
    assert "signals that changed nothing." in page
    assert "sell signal that changed nothing" not in page


def test_the_sober_fill_can_be_the_configured_one(tmp_path, simulated_archive):
    flags = {"backtest__fill": "next_open", "backtest__slippage_bps": 5}
    settings, lake = made(tmp_path / "lake", simulated_archive, dataset__symbol="SIMUSDT", **flags)
    page = text(report(settings, lake).path)
    assert "filled at the next bar's open" in page.replace("&#39;", "'")
    assert "5 basis points of slippage" in page
    assert page.index("Filled at the next open") < page.index("Filled at the close")


SWING = """
import polars as pl
from hermes.strategies.base import Strategy

class Swing(Strategy):
    name = "swing"
    columns = ("sma_10",)
    look_back = 1

    def conditions(self):
        close, average = pl.col("close"), pl.col("sma_10")
        return {
            "rises": (close > average * 1.01) & (close.shift(1) <= average.shift(1) * 1.01),
            "falls": (close < average * 0.99) & (close.shift(1) >= average.shift(1) * 0.99),
            "near": (close / average - 1).abs() < 0.002,
        }

    def buy(self):
        return pl.col("rises")

    def sell(self):
        return pl.col("near")

    def short(self):
        return pl.col("falls")

    def cover(self):
        return pl.col("near")
"""


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_orders_of_shorts_and_of_stops_have_marks_and_reasons(tmp_path, simulated_archive, fill):
    file = tmp_path / "swing.py"
    file.write_text(SWING)
    account = {"account__side": "both", "account__stop_loss": 0.02, "backtest__fill": fill}
    settings, lake = made(
        tmp_path / "lake", simulated_archive, dataset__symbol="SIMUSDT", signals__strategy=str(file), **account
    )
    done = report(settings, lake)
    page, trades = text(done.path), pl.read_csv(done.trades_path)
    assert {"short", "long"} == set(trades["side"])
    assert {"signal", "stop_loss"} <= set(trades["reason"].drop_nulls())
    for label in ("buy", "sell", "short", "cover", "exit by a stop or another limit"):
        assert f"</i>{label}</li>" in page
    assert "short position held" in page
    stopped = trades.filter(pl.col("reason") == "stop_loss")
    assert f'<th scope="row">stop loss</th><td>{stopped.height:,}</td>' in page


def test_what_a_footer_says_does_not_become_markup(simulated):
    settings, lake = simulated
    evil = "</script><script>alert(1)</script>"
    shown = page_data.measured_execution(lake, find_execution(settings, lake), settings.dataset)
    lineage = shown.lineage.model_copy(
        update={
            "feature_set": evil,
            "trial": {"name": evil, "version": evil, "columns": [evil]},
            "indicators": {evil: evil},
            "parameters": {evil: evil},
        }
    )
    trades = shown.trades.with_columns(reason=pl.lit(evil), side=pl.lit("long"))
    html = execution_page(
        replace(
            shown, lineage=lineage, trades=trades, notes=[evil], warnings=[evil], sharpe_window=evil, trades_file=evil,
            marks=shown.marks.with_columns(said=pl.lit(evil)),
        )
    )  # fmt: skip
    assert "<script>alert" not in html
    assert "Reads feature set &lt;/script&gt;" in html
    assert html.count("<script>") == html.count("<script>", html.index("</footer>")) == 1 + len(charts.scripts())
