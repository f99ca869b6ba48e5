"""The page of many datasets in a real browser: order, choice, figures, and rows that come and go."""

from datetime import UTC, datetime

import polars as pl
import pytest
from tests.pages.chromium import NEEDED, Browser, opened, quiet
from tests.pages.universes import dataset, many, table

from hermes.dataset import INTERVAL_SECONDS
from hermes.pages import format
from hermes.pages.universe import universe_page

pytestmark = NEEDED
SHOW = {
    "sharpe": format.number,
    "total_return_pct": format.change,
    "benchmark_return_pct": format.change,
    "max_drawdown_pct": lambda value: format.percent(-value),
    "trades": lambda value: format.number(value, 0),
    "max_drawdown_duration_s": format.duration,
    "end_value": format.number,
    "rows": lambda value: format.number(value, 0),
    "first": format.moment,
}
CLICK = "document.querySelector('[data-key={}] button').click()"
HEADS = "[...document.querySelectorAll('.leaders thead th')].map(each => [each.dataset.key, each.ariaSort])"
ROWS = """[...document.querySelectorAll('.leaders tbody tr:not(.space)')].map(row =>
    [...row.cells].map(cell => [...cell.childNodes].filter(node => !node.classList?.contains('mark'))
        .map(node => node.textContent).join('')))"""
MADE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def show(browser, tmp_path):
    def show(rows: pl.DataFrame) -> Browser:
        path = tmp_path / "universe.html"
        path.write_text(universe_page(rows, "Datasets", MADE), "utf-8")
        opened(browser, path)
        return browser

    return show


def column(browser: Browser, key: str) -> list[str]:
    at = [name for name, _ in browser.run(HEADS)].index(key)
    return [row[at] for row in browser.run(ROWS)]


def ordered(rows: pl.DataFrame, key: str, down: bool) -> list[str]:
    """What a column shows when it is sorted: without a figure last, equal ones by name and length of the bars."""
    length = pl.col("interval").replace_strict(INTERVAL_SECONDS)
    values = pl.col(key).neg() if key == "max_drawdown_pct" else pl.col(key)
    by_name = rows.sort("symbol", length)
    found = by_name.sort(values, descending=down, nulls_last=True, maintain_order=True)
    return ["–" if value is None else SHOW[key](value) for value in found[key]]


def test_every_heading_sorts_and_every_figure_is_written_as_elsewhere(show):
    rows = many(30, ("4h", "1d", "15m"), seed=5)
    rows = rows.with_columns(
        pl.Series("end_value", [1.005, 2.675, 0.125, 1234567.895, *rows["end_value"][4:]]),
        pl.Series("max_drawdown_duration_s", [59, 3_660, 86_400, 90_000, 60, *rows["max_drawdown_duration_s"][5:]]),
        first=pl.col("first") + pl.duration(seconds=pl.int_range(pl.len()) * 30),
    )
    rows = rows.with_columns(sharpe=pl.when(pl.int_range(pl.len()) % 7 != 0).then("sharpe"))
    browser = show(rows)
    assert dict(browser.run(HEADS))["sharpe"] == "descending"
    assert column(browser, "sharpe") == ordered(rows, "sharpe", down=True)
    for key in SHOW:
        first = "descending" if key != "sharpe" else "ascending"  # it was the sorted one already
        for way in (first, "ascending" if first == "descending" else "descending"):
            browser.run(CLICK.format(key))
            assert column(browser, key) == ordered(rows, key, way == "descending"), (key, way)
            assert [name for name, sort in browser.run(HEADS) if sort != "none"] == [key]
            assert dict(browser.run(HEADS))[key] == way
    browser.run(CLICK.format("interval"))
    assert column(browser, "interval") == ["15m"] * 10 + ["4h"] * 10 + ["1d"] * 10
    browser.run(CLICK.format("symbol"))
    assert column(browser, "symbol") == sorted(rows["symbol"])
    for key, _ in browser.run(HEADS):
        browser.run(CLICK.format(key))
        assert len(browser.run(ROWS)) == 30
    quiet(browser)


def test_the_keyboard_sorts_filters_and_walks_through_all_rows(show):
    browser = show(many(3_000, ("4h", "1d")))

    def press(key: str, text: str = "") -> None:
        code = {"Enter": 13, "Tab": 9, "End": 35}.get(key, 0)
        names = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        browser.call("Input.dispatchKeyEvent", type="keyDown", **names)
        browser.call("Input.dispatchKeyEvent", type="keyUp", **{**names, "text": ""})

    focused = "document.activeElement.closest('[data-key], .leaders, input')"
    browser.run("document.getElementById('search').focus()")
    for _ in range(20):
        press("Tab")
        if browser.run(f"{focused}?.dataset.key") == "trades":
            break
    press("Enter", "\r")
    assert dict(browser.run(HEADS))["trades"] == "descending"
    assert browser.run(f"{focused}?.dataset.key") == "trades"

    # Only rows in view stand in the page; the last can be reached all the same, and links keep the focus on the way.
    assert len(browser.run(ROWS)) < 100
    assert browser.run("document.querySelector('.leaders table').ariaRowCount") == "3001"
    for _ in range(100):
        press("Tab")
        browser.frame()  # rows are drawn when the browser paints
    place = browser.run("Number(document.activeElement.closest('tr')?.ariaRowIndex ?? 0)")
    assert place > 60
    browser.run("document.querySelector('.leaders').scrollTop = 1e9")
    browser.frame()
    last = browser.run("[...document.querySelectorAll('.leaders tbody tr:not(.space)')].at(-1).ariaRowIndex")
    assert last == "3001"
    bottom = "{}.getBoundingClientRect().bottom"
    box = browser.run(bottom.format("document.querySelector('.leaders')"))
    row = browser.run(bottom.format("[...document.querySelectorAll('.leaders tbody tr')].at(-2)"))
    assert abs(box - row) <= 2
    quiet(browser)


def test_the_filter_knows_symbols_in_any_spelling_and_intervals(show):
    symbols = ("BTCUSDT", "ETHBTC", "币安人生USDT", "ÉTOILEUSDT")
    rows = table(*(dataset(symbol, interval, trades=at * 10) for at, symbol in enumerate(symbols) for interval in
                   ("4h", "1m", "1mo")))  # fmt: skip
    browser = show(rows)

    def found(text: str) -> list[str]:
        browser.run(f"(box => {{ box.value = {text!r}; box.dispatchEvent(new Event('input')) }})"
                    "(document.getElementById('search'))")  # fmt: skip
        return sorted({" ".join(row[:2]) for row in browser.run(ROWS)})

    assert len(found("")) == 12
    assert found("btc/usdt 4h") == ["BTCUSDT 4h"]
    assert found("BTC 1m") == ["BTCUSDT 1m", "ETHBTC 1m"]
    assert found("币安 1mo") == ["币安人生USDT 1mo"]
    assert found("e\u0301toile 4h") == ["ÉTOILEUSDT 4h"]
    assert found("nothing") == []
    assert browser.run("document.getElementById('shown').textContent").startswith("0 of 12 datasets")
    found("")
    browser.run("(box => { box.value = '1m'; box.dispatchEvent(new Event('input')) })"
                "(document.getElementById('intervals'))")  # fmt: skip
    assert column(browser, "interval") == ["1m"] * 4
    browser.run("document.getElementById('enough').click()")
    assert column(browser, "symbol") == ["ÉTOILEUSDT"]
    quiet(browser)


def test_rows_lead_to_their_pages_and_nothing_from_outside_runs(show, tmp_path):
    evil = "<img src=x onerror=document.title='owned'>"
    rows = table(
        dataset("BTCUSDT", sharpe=2.0, trades=12, link="币安/report.html"),
        dataset("ETHUSDT", sharpe=1.0, link="javascript:document.title='owned'"),
        dataset(evil, sharpe=0.5, trades=0, total_return_pct=0.0),
        dataset("SIMUSDT", sharpe=None, trades=40),
    )
    browser = show(rows)
    assert column(browser, "symbol") == ["BTCUSDT", "ETHUSDT", evil, "SIMUSDT"]
    cells = "[...document.querySelectorAll('.leaders tbody tr:not(.space)')].map(row => row.cells[{}].{})"
    assert browser.run(cells.format(0, "querySelector('a')?.href"))[0] == (tmp_path / "币安/report.html").as_uri()
    marks = browser.run(cells.format(0, "querySelector('.mark')?.textContent ?? ''"))
    assert marks == ["", "", "", "simulated"]
    few = ["12 trades: too few to conclude", "", "0 trades: too few to conclude", "equity never moved"]
    assert browser.run(cells.format(2, "title")) == few
    browser.run("document.querySelectorAll('.leaders tbody a')[1].click()")
    browser.frame()
    assert browser.run("document.title") == "Datasets"
    assert browser.run("document.querySelectorAll('.leaders img').length") == 0
    assert any("Content Security Policy" in each for each in browser.complaints)


def test_a_phone_in_the_dark(show, browser):
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    show(many(200, ("1m", "4h", "1d"), failed=2))
    assert browser.run("document.documentElement.scrollWidth") <= 390
    of = "getComputedStyle(document.querySelector({!r})).{}"
    ink = f"[{of.format('body', 'backgroundColor')}, {of.format('.histogram text', 'fill')}]"
    dark = browser.run(ink)
    browser.run("document.getElementById('theme').click()")
    light = browser.run(ink)
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    quiet(browser)
