import re
from datetime import date, datetime

import polars as pl

from hermes.lineage import Lineage
from hermes.pages import measures, tables


def trade(number: int, profit: float, still_open: bool = False) -> dict:
    return {
        "entry_time": datetime(2024, 1, number),
        "entry_price": 1000.5,
        "exit_time": None if still_open else datetime(2024, 2, number),
        "exit_price": None if still_open else 1100.25,
        "bars": 7,
        "return_pct": profit / 10,
        "profit": profit,
        "fees": 1.5,
        "open": still_open,
        "side": "long",
        "size": 0.5,
        "funding": 0.0,
        "reason": None if still_open else "signal",
        "price_jump": number == 2,
    }


def test_trades_can_be_sorted_and_an_open_one_says_so():
    html = tables.trades(pl.DataFrame([trade(1, 50.0), trade(2, -20.0), trade(3, 5.0, still_open=True)]), "BTCUSDT")
    assert html.count("<tr>") == 4
    assert html.count("still open") == 1
    assert html.count("price jump</small>") == 1
    cells = len(re.findall("<th ", html))
    assert all(len(re.findall("data-v=", row)) == cells for row in html.split("<tr>")[2:])
    assert "Price (USDT)" in html
    assert "+5.00" in html
    assert "−2.00" in html


def test_no_trade_is_said():
    assert "never traded" in tables.trades(pl.DataFrame([trade(1, 1.0)]).clear(), "BTCUSDT")


def test_many_trades_are_cut_and_counted():
    rows = pl.DataFrame([trade(1, 1.0)] * 2_500)
    html = tables.trades(rows, "BTCUSDT")
    assert "The latest 2,000 of 2,500 trades" in html
    assert html.count('class="go"') == 2_000
    assert ">2500</button>" in html
    assert ">500</button>" not in html


def test_the_heatmap_tells_gains_losses_stillness_and_absence_apart():
    monthly = pl.DataFrame(
        {"month": [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)], "return_pct": [5.0, -1.0, 0.0]}
    )
    html = tables.months(monthly, pl.DataFrame({"year": [2024], "return_pct": [3.95]}))
    assert len(re.findall(r'<td class=" up"', html)) == 1
    assert len(re.findall(r'<td class=" down"', html)) == 1
    assert len(re.findall(r'<td class=" flat"', html)) == 1
    assert html.count('class="none"') == 9
    assert 'class="total up"' in html


def test_undefined_measures_give_their_reason():
    keys = [measure.name for group in measures.GROUPS.values() for measure in group]
    nothing = dict.fromkeys(keys) | {"total_return_pct": 0.0, "end_value": 1.0, "trades": 0}
    some = nothing | {"trades": 2, "sharpe": 1.5}
    html = measures.table({"Filled at the close": nothing, "Filled at the next open": some, "Holding": some}, "USDT")
    assert "–<small>it never traded</small>" in html
    assert "–<small>no trade lost</small>" in html
    assert html.count("2 trades: too few to conclude") == 1
    assert ">None<" not in html


def test_nothing_from_outside_becomes_markup():
    evil = "<script>alert(1)</script>"
    frame = pl.DataFrame([trade(1, 50.0) | {"side": evil, "reason": evil}])
    quality = {
        "tally": {"rejected": {evil: 1}, "short_bars": 0, "identical_duplicates": 0, "conflicts": 0},
        "rows": 1, "first": datetime(2024, 1, 1), "last": datetime(2024, 1, 1), "coverage_pct": 100.0, "gap_count": 0,
        "missing_bars": 0, "expected_bars": 1, "max_gap_hours": 0, "zero_volume_bars": 0, "off_grid_bars": 0,
        "missing_checksums": [evil], "gaps": [],
    }  # fmt: skip
    for html in (tables.trades(frame, evil), tables.quality(quality)):
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


def test_the_lineage_names_the_splits_that_prices_were_adjusted_for():
    text = {"hermes": "1", "python": "3", "strategy": "s", "strategy_source": "", "layer": "gold"}
    times = {"generated_at": "2026-01-01T00:00:00", "first": "2022-01-01T00:00:00", "last": "2022-02-01T00:00:00"}
    counts = dict.fromkeys(("rows", "buy_signals", "sell_signals", "total_signals", "unique_days"), 1)
    named: dict[str, dict] = {
        key: {} for key in ("libraries", "dataset", "columns", "parameters", "backtest", "metrics")
    }
    more = {"derived_columns": [], "sources": [], "start": None, "end": None, "chunk_rows": 1, "context_rows": 1}
    plain = Lineage(**text, **times, **counts, **named, **more)
    adjusted = plain.model_copy(update={"splits": [["2022-01-18T00:00:00", 1000.0]]})
    assert "splits" not in tables.lineage(plain, "execution", "path")
    assert "1,000 from 2022-01-18 00:00 UTC on" in tables.lineage(adjusted, "execution", "path")
