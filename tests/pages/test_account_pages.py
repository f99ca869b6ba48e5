"""The pages of portfolios, walks forward and sweeps: what they say, and that nothing from outside becomes markup."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tests.pages.chromium import NEEDED

from hermes.measures import shown_measures
from hermes.pages.account_curve import account_curve
from hermes.pages.compare import compare_page
from hermes.pages.portfolio import PortfolioPage, portfolio_page
from hermes.pages.sweep import Sweep, sweep_page
from hermes.pages.walk_forward import WalkForwardPage, walk_forward_page

EVIL = "</script><script>alert(1)</script>\"'&<!--"
ACCOUNT = {"fees": 0.00075, "slippage_bps": 2.0, "fill": "next_open", "initial_cash": 10_000.0, "side": "both",
           "size": "fraction:0.5", "stop_loss": 0.02, "take_profit": None, "trailing_stop": None, "max_bars": None,
           "min_order": 0.0, "lot_step": 0.0}  # fmt: skip
TIMES = [datetime(2024, 1, 1) + timedelta(hours=4) * i for i in range(30)]


def metrics(**values) -> dict:
    more = {"turnover": 1.5, "refused_orders": 0, "elapsed_days": 5.0, "few_trades": True}
    return {each.name: 1.0 for each in shown_measures()} | more | {"trades": 3} | values


def portfolio(symbol: str = "BTCUSDT", **values) -> PortfolioPage:
    equity = np.linspace(10_000, 9_000, len(TIMES))
    trade = {"symbol": symbol, "side": symbol, "entry_time": TIMES[0], "exit_time": None, "reason": symbol,
             "return_pct": 1.0, "profit": 5.0}  # fmt: skip
    known = {
        "strategy": "ma_cross", "market": "spot", "interval": "4h", "simulated": True, "backtest": ACCOUNT,
        "account": {}, "max_positions": 1, "rank": "",
        "result": {
            "metrics": metrics(),
            "benchmark": {"total_return_pct": 5.0, "sharpe": None, "max_drawdown_pct": 1.0},
            "symbols": [{"symbol": symbol, "trades": 1, "wins": 0, "contribution_pct": 1.0, "fees": 1.0, "dropped": 0}],
            "correlation": {"symbols": [symbol], "matrix": [[1.0]]},
        },
        "curve": pl.DataFrame({"datetime": TIMES, "equity": equity, "benchmark": equity, "positions": [1] * 30}),
        "trades": pl.DataFrame([trade]),
        "monthly": pl.DataFrame({"month": [TIMES[0].date()], "return_pct": [1.0]}),
        "yearly": pl.DataFrame({"year": [2024], "return_pct": [1.0]}),
    }  # fmt: skip
    return PortfolioPage(**known | values)


def walk(text: str = "smart", **values) -> WalkForwardPage:
    window = {"first": TIMES[0].isoformat(), "last": TIMES[-1].isoformat(), "parameters": {text: text},
              "train_sharpe": 1.0, "sharpe": None, "total_return_pct": 1.0, "benchmark_return_pct": 2.0,
              "trades": 3}  # fmt: skip
    curve = pl.DataFrame({"datetime": TIMES, "out_of_sample": [1.0] * 30, "in_sample": [None] * 30,
                          "holding": [2.0] * 30}, schema_overrides={"in_sample": pl.Float64})  # fmt: skip
    known = {
        "title": text, "simulated": False, "interval": "4h", "account": ACCOUNT, "by": "sharpe", "train": text,
        "test": text, "anchored": True, "trials": 4, "skipped": 1, "varied": [text], "fixed": {text: text},
        "windows": [window], "columns": {text: metrics()}, "findings": [(text, text)], "curve": curve,
    }  # fmt: skip
    return WalkForwardPage(**known | values)


def sweep(text: str = "ema_fast", **values) -> Sweep:
    table = pl.DataFrame([{text: at, **metrics(sharpe=at / 2)} for at in (1, 2)])
    known = {
        "title": text, "simulated": False, "first": TIMES[0], "last": TIMES[-1], "bars": 1_234, "account": ACCOUNT,
        "fixed": {text: text}, "table": table, "varied": [text], "skipped": 2, "verdict": [text], "min_trades": 2,
    }  # fmt: skip
    return Sweep(**known | values)


@pytest.mark.parametrize(
    "html",
    [
        portfolio_page(portfolio(EVIL, strategy=EVIL, market=EVIL, rank=EVIL, warnings=[EVIL])),
        walk_forward_page(walk(EVIL)),
        sweep_page(sweep(EVIL)),
    ],
    ids=["portfolio", "walk forward", "sweep"],
)
def test_nothing_from_outside_becomes_markup(html):
    assert "<script>alert" not in html
    assert html.count("<!--") == html.count("<!--", html.index("Bokeh")) if "Bokeh" in html else "<!--" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_portfolio_shows_its_warnings_and_its_terms():
    html = portfolio_page(portfolio(warnings=["ETHUSDT: funding is missing"]))
    assert '<p class="warn">ETHUSDT: funding is missing.</p>' in html
    assert "Simulated market" in html
    assert "3 trades: too few to conclude" in html
    assert "stop loss 2\u202f%" in html
    assert "still open" in html


def test_a_sweep_says_its_span_its_fees_and_what_was_fixed():
    trial = {"name": "test", "version": "2", "columns": ["zscore_20"]}
    html = sweep_page(sweep(fixed={"ema_slow": 26}, trial=trial))
    assert "Reads feature set test version 2 (zscore_20) beside the production features." in html
    assert "1 January 2024 to 5 January 2024, 1,234 bars" in html
    assert "0.075\u202f%" in html
    assert "Varied: ema_fast. Fixed: ema_slow = 26." in html
    assert html.index(">1.00<") < html.index(">0.50<")  # the best first
    for name in ("Sharpe over holding", "Win rate", "Time in market"):
        assert f">{name}<" in html


def test_a_walk_forward_says_what_was_chosen_when_and_what_became_of_it():
    html = walk_forward_page(walk(train="2y", test="6m", findings=[("luck test", "better than 64 %")]))
    assert "Chosen by Sharpe in all of the past, at first 2y, measured in the next 6m, 1 window." in html
    assert "<dt>luck test</dt><dd>better than 64 %</dd>" in html
    assert "2024-01-01 to 2024-01-05" in html
    assert "smart = smart" in html
    assert html.count('<figure class="chart') == 2


@NEEDED[0]
@NEEDED[1]
def test_long_names_fit_a_phone(browser, tmp_path):
    long = "./a_strategy_of_ones_own.py,feature_set=test,window=30"
    side = {"name": long, "strategy": long, "parameters": {long: 1}, "feature_set": long, "features_version": long}
    side["metrics"] = metrics()
    found = {"first": side, "second": side, "verdict": long, "difference": None}
    curve = pl.DataFrame({"datetime": TIMES, "first": 1.0, "second": 2.0})
    pages = {
        "portfolio": portfolio_page(portfolio(strategy=long)),
        "walk forward": walk_forward_page(walk(long)),
        "sweep": sweep_page(sweep(long)),
        "comparison": compare_page(found, curve, "BTCUSDT 4h"),
    }
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    for name, html in pages.items():
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        browser.open(path)
        assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0, name


def test_a_curve_of_many_bars_is_put_together(monkeypatch):
    monkeypatch.setattr("hermes.pages.account_curve.MOST_CANDLES", 10)
    rng = np.random.default_rng(5)
    curve = pl.DataFrame({"datetime": TIMES, "equity": 100 * np.exp(np.cumsum(rng.normal(0, 0.1, 30))),
                          "positions": rng.integers(0, 5, 30)})  # fmt: skip
    found = account_curve(curve, ["equity"], "4h")
    assert found.height == 10
    assert found["datetime"].to_list() == TIMES[2::3]
    assert found["equity"].to_list() == curve["equity"].gather_every(3, 2).to_list()
    peak = curve["equity"].cum_max()
    falls = 100 * (1 - curve["equity"] / peak)
    assert found["equity_drawdown_pct"].to_list() == pytest.approx([max(falls[at : at + 3]) for at in range(0, 30, 3)])
    assert found["positions"].to_list() == [max(curve["positions"][at : at + 3]) for at in range(0, 30, 3)]
    assert found["equity_sharpe"].is_nan().all()  # no half year of 4h bars
