import json
import re
from pathlib import Path

import polars as pl
import pytest
from tests.pages.lakes import made

from hermes import pipeline
from hermes.errors import MissingTable, StoreError
from hermes.lake import catalog
from hermes.pages import candles
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
