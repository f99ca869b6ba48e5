"""The page of many datasets: what its text says, whatever the names and errors are."""

import json
import math
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from html import unescape
from statistics import NormalDist, median, stdev

import numpy as np
import polars as pl
import pytest
from tests.pages.universes import START, dataset, failure, many, table

from hermes.pages import format, universe
from hermes.pages.universe import universe_page
from hermes.steps.comparison import _with_adjusted

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
THIN = format.THIN


def page(rows: pl.DataFrame, title: str = "Datasets") -> str:
    return universe_page(rows, title, MADE)


def data(html: str) -> dict:
    found = json.loads(re.search(r'<script type="application/json" id="datasets">(.*?)</script>', html, re.DOTALL)[1])
    return found | {"columns": {each["key"]: each for each in found["columns"]}}


def tile(html: str, label: str) -> tuple[str, str]:
    """Figure and note."""
    found = re.search(rf'{label}</span><span class="figure">(.*?)</span><span class="note">(.*?)</span>', html)
    return found[1], re.sub("<.*?>", "", found[2])


def test_the_headline_is_measured_from_the_table():
    rows = many(101, failed=3)
    done = rows.filter(pl.col("error").is_null()).to_dicts()
    html = page(rows, "101 of them")
    returns = [row["total_return_pct"] for row in done]
    holding = [row["benchmark_return_pct"] for row in done]
    ahead = sum(a > b for a, b in zip(returns, holding, strict=True))
    few = [row for row in done if row["trades"] < 30]
    sharpe = [row["sharpe"] for row in done if row["sharpe"] is not None]
    falls = [row["max_drawdown_pct"] for row in done if row["max_drawdown_pct"] is not None]
    assert 0 < len(few) < 101
    assert "<h1>101 of them</h1>" in html
    assert tile(html, "Median return") == (
        format.change(median(returns)),
        f"of holding {format.change(median(holding))}",
    )
    assert tile(html, "Beat holding") == (f"{100 * ahead / 101:.1f}{THIN}%", f"{ahead} of 101 datasets")
    assert tile(html, "Median Sharpe") == (format.number(median(sharpe)), f"{len(few)} with under 30 trades")
    assert tile(html, "Median drawdown") == (format.percent(-median(falls)), f"deepest {format.percent(-max(falls))}")
    assert tile(html, "Datasets") == ("101", "3 failed")
    never = sum(row["trades"] == 0 for row in done)
    assert f"{len(few)} made fewer than 30 trades, {never} of them none at all: too few to conclude." in html
    others = [row for row in done if row["trades"] >= 30]
    beat = sum(row["total_return_pct"] > row["benchmark_return_pct"] for row in others)
    assert f"Of the others, {beat} of {len(others)} beat holding" in html
    assert f"the median Sharpe {format.number(median(row['sharpe'] for row in others))}." in html
    assert f"{sum(row['rows'] for row in done):,} bars in all" in html
    assert "From 17 August 2017 to 17 August 2018" in html
    assert f"0.1{THIN}% fee on each side, filled at the signal bar's close" in unescape(html)
    assert "spot · 4h · Smart Momentum" in html


def test_as_good_as_holding_is_not_better():
    same, better = dataset("AUSDT", total_return_pct=20.0), dataset("BUSDT", total_return_pct=20.5)
    unknown = dataset("CUSDT", benchmark_return_pct=None)
    assert tile(page(table(same, better, unknown)), "Beat holding") == (f"50.0{THIN}%", "1 of 2 datasets")


def test_the_best_of_many_is_called_inflated_and_luck_is_put_in_figures():
    rows = many(400)
    sharpe = rows["sharpe"].drop_nulls().to_list()
    html = page(rows)
    assert "The best of 400 datasets looks better than it is" in html
    scatter, luck, best = re.search(
        r"deviation ([\d.]+)\), the best of [\d,]+ independent.*?<b>([\d.]+)</b> half.*?<b>([\d.]+)", html
    ).groups()
    assert float(scatter) == pytest.approx(stdev(sharpe), abs=0.005)
    assert float(best) == pytest.approx(max(sharpe), abs=0.005)
    # That all of so many independent draws stay below it is as likely as not.
    assert NormalDist(0, stdev(sharpe)).cdf(float(luck)) ** len(sharpe) == pytest.approx(0.5, abs=0.02)


def test_few_sharpe_ratios_say_nothing_about_luck():
    html = page(many(12))
    assert "The best of 12 datasets" in html
    assert "independent ones" not in html


def test_failures_are_listed_and_counted_nowhere_else():
    rows = table(
        dataset("AUSDT", total_return_pct=1.0),
        failure("BUSDT", "no archive files of BUSDT 4h", "check the symbol's name"),
        failure("CUSDT", "row 7 was refused", None),
    )
    html = page(rows)
    listed = html[html.index('id="failed"') :]
    assert "no archive files of BUSDT 4h" in listed
    assert "check the symbol's name" in unescape(listed)
    assert "None" not in listed
    assert data(html)["columns"]["symbol"]["values"] == ["AUSDT"]
    assert tile(html, "Datasets") == ("1", "2 failed")
    assert 'id="failed"' not in page(table(dataset("AUSDT"), dataset("BUSDT")))


def test_many_failures_are_cut_and_counted(monkeypatch):
    monkeypatch.setattr(universe, "MOST_FAILURES", 3)
    html = page(many(2, failed=5))
    assert "The first 3 of 5" in html
    assert html.count("<li>") == 3


def test_where_all_failed_there_is_a_page_that_says_so():
    html = page(table(failure("AUSDT", "broken", "correct it"), failure("BUSDT", "broken", "correct it")))
    assert "No dataset has figures" in html
    assert 'id="leaderboard"' not in html
    assert "correct it" in html


EVIL = "</script><script>document.title='owned'</script><!--<script>&\"'\u2028"


def test_nothing_from_outside_becomes_markup():
    rows = table(
        dataset(EVIL, EVIL, market=EVIL, strategy=EVIL, link=EVIL),
        dataset("币安人生USDT", link="../a%20b.html"),
        failure(EVIL, EVIL, EVIL, EVIL),
    )
    html = page(rows, EVIL)
    assert "<script>document" not in html
    assert html.count("</script>") == html.count("<script") == 3
    assert "<!--" not in html.replace("<!doctype", "")
    assert data(html)["columns"]["symbol"]["values"] == [EVIL, "币安人生USDT"]
    assert data(html)["links"] == [EVIL, "../a%20b.html"]


def test_only_its_own_script_runs_and_nothing_is_fetched():
    html = page(many(5))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert "default-src 'none'" in policy
    hashes = [f"'sha256-{b64encode(sha256(each.encode()).digest()).decode()}'" for each in scripts]
    assert f"script-src {' '.join(hashes)}" in policy
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", html)
    assert not re.findall(r"<script[^>]+src=", html)


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (("SIMUSDT", "SIM7USDT"), "<b>Simulated market.</b> Synthetic prices"),
        (("SIMUSDT", "BTCUSDT", "ETHUSDT"), "<b>1 of 3 datasets is simulated.</b>"),
        (("SIMUSDT", "SIM1USDT", "ETHUSDT"), "<b>2 of 3 datasets are simulated.</b>"),
        (("BTCUSDT", "ETHUSDT"), None),
    ],
)
def test_simulated_markets_carry_their_label(symbols, said):
    html = page(table(*(dataset(symbol) for symbol in symbols)))
    assert ('class="banner"' in html) == (said is not None)
    assert said is None or said in html


def test_simulated_rows_among_real_ones_are_marked():
    found = data(page(table(dataset("SIMUSDT"), dataset("BTCUSDT"))))
    assert found["columns"]["symbol"]["values"] == ["BTCUSDT", "SIMUSDT"]
    assert found["simulated"] == [0, 1]


def test_rows_carry_exact_figures_in_the_order_of_names_and_of_lengths():
    rows = table(
        dataset("BUSDT", "1d", sharpe=0.1 + 0.2, max_drawdown_pct=12.5),
        dataset("BUSDT", "15m", sharpe=math.inf),
        dataset("BUSDT", "4h", sharpe=math.nan),
        dataset("AUSDT", "4h", benchmark_return_pct=None, first=START + timedelta(seconds=1)),
    )
    found = data(page(rows))["columns"]
    assert found["symbol"]["values"] == ["AUSDT", "BUSDT", "BUSDT", "BUSDT"]
    assert found["interval"]["names"] == ["15m", "4h", "1d"]
    assert found["interval"]["values"] == [1, 0, 1, 2]
    assert found["sharpe"]["values"] == [None, None, None, 0.1 + 0.2]
    assert found["max_drawdown_pct"]["values"] == [None, None, None, -12.5]
    assert found["ahead_pct"]["values"] == [None, -10.0, -10.0, -10.0]
    begin = int(START.replace(tzinfo=UTC).timestamp())
    assert found["first"]["values"] == [begin + 1, begin, begin, begin]
    assert all(each["label"] and each["says"] and each["missing"] for each in found.values())


def test_markets_and_strategies_are_columns_where_they_differ():
    alike = data(page(table(dataset("AUSDT"), dataset("BUSDT"))))["columns"]
    assert not {"market", "strategy"} & set(alike)
    differ = data(page(table(dataset("AUSDT", strategy="b", market="um"), dataset("AUSDT", strategy="a"))))["columns"]
    assert differ["strategy"] == differ["strategy"] | {"names": ["a", "b"], "values": [0, 1]}
    assert differ["market"]["names"] == ["spot", "um"]


def test_terms_that_differ_are_not_told_as_one():
    assert "fee on each side" not in page(table(dataset("AUSDT"), dataset("BUSDT", fees=0.002)))


def test_each_distribution_tells_intervals_apart():
    html = page(many(300, ("4h", "15m", "1d")))
    names = ["Return", "Return minus holding", "Sharpe", "Max drawdown", "Trades"]
    assert re.findall("<h3>(.*?)</h3>", html) == names
    for figure in html.split("<h3>")[1:]:
        assert re.findall(r'class="name"[^>]*>([^<]*)<', figure) == ["15m", "4h", "1d"]
    for axis in ("return, %", "return − holding, percentage points", "Sharpe ratio, per year", "drawdown, %", "trades"):
        assert f">{axis}" in html


def test_a_measure_that_none_has_gets_no_plot():
    html = page(table(dataset("AUSDT", trades=0), dataset("BUSDT", trades=0)))
    assert "<h3>Sharpe</h3>" not in html
    assert "<h3>Trades</h3>" in html


@pytest.mark.parametrize("made", [MADE, MADE.replace(tzinfo=None), MADE.astimezone(timezone(timedelta(hours=9)))])
def test_the_time_it_was_made_is_utc(made):
    assert "at 2026-01-02 03:04:05 UTC" in universe_page(many(2), "Two", made)


def test_datasets_of_different_times_are_not_given_one_span():
    day = timedelta(days=1)
    listed, delisted = dataset("AUSDT"), dataset("BUSDT", first=START + 100 * day, last=START + 200 * day)
    html = page(table(listed, delisted))
    assert "From 17 August 2017" not in html
    assert (
        "They begin between 17 August 2017 and 25 November 2017 and end between 5 March 2018 and 17 August 2018" in html
    )
    late = dataset("CUSDT", first=START + 100 * day)
    assert "They begin between 17 August 2017 and 25 November 2017 and end on 17 August 2018" in page(
        table(listed, late)
    )


def test_many_tests_are_corrected_whatever_their_number():
    values = [0.0001, 0.004, 0.03, 0.04, 0.2, 0.9, None]
    rows = [dataset(f"{letter}USDT", p_value_over_holding=p) for letter, p in zip("ABCDEFG", values, strict=True)]
    found = _with_adjusted(table(*rows))
    assert found["p_value_adjusted"].to_list() == [
        *(pytest.approx(each) for each in (0.0006, 0.02, 0.12, 0.12, 0.4, 0.9)),
        None,
    ]
    told = universe.multiple_tests(found)
    assert (told["tests"], told["below_5_pct"], told["after_correction"]) == (6, 4, 2)
    html = page(found)
    assert "4 of 6 datasets have a p value below 5 %" in html
    assert "about 0.3 would by chance" in html and "(Holm), 2 remain" in html
    assert "After correcting" not in page(_with_adjusted(table(rows[0], rows[-1])))
    assert _with_adjusted(table(failure("AUSDT", "no", None)))["p_value_adjusted"].to_list() == [None]


def test_among_thousands_without_any_timing_hardly_one_is_left():
    draws = np.random.default_rng(2).random(3000)
    rows = [dataset(f"S{at}USDT", p_value_over_holding=float(p)) for at, p in enumerate(draws)]
    told = universe.multiple_tests(_with_adjusted(table(*rows)))
    assert told["below_5_pct"] == pytest.approx(150, rel=0.3) and told["after_correction"] <= 1
