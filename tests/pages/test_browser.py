"""The page in a real browser: what a script-free look at its text cannot tell."""

import pytest
from tests.pages.chromium import NEEDED, OFFLINE, Browser, opened, quiet
from tests.pages.test_account_pages import portfolio, sweep, walk

from hermes.pages.portfolio import portfolio_page
from hermes.pages.sweep import sweep_page
from hermes.pages.walk_forward import walk_forward_page
from hermes.steps.production import find_execution
from hermes.steps.report import report

pytestmark = NEEDED
PLOT = "Bokeh.documents[0].get_model_by_name({!r})"


def drawn(browser: Browser, kind: str) -> int:
    return browser.run(f"{PLOT.format(kind)}?.data_source.get_column('time').length ?? 0")


def span(browser: Browser, plot: str, axis: str) -> list[float]:
    return browser.run(f"(({{start, end}}) => [start, end])({PLOT.format(plot)}.{axis}_range)")


def test_the_published_window(browser, real):
    settings, lake = real
    done = report(settings, lake)
    lineage = find_execution(settings, lake).lineage
    assert done.rows == 17_515
    assert done.bytes <= 6_000_000
    opened(browser, done.path)

    # Every signal is marked, and what the position did with it.
    assert drawn(browser, "buy") == lineage["metrics"]["trades"] == 25
    assert drawn(browser, "sell") == 25 - lineage["metrics"]["open_trade"]
    assert drawn(browser, "buy") + drawn(browser, "idle_buy") == lineage["buy_signals"]
    assert drawn(browser, "sell") + drawn(browser, "idle_sell") == lineage["sell_signals"]
    assert drawn(browser, "candles") == 17_515
    inked = """(canvas => new Set(new Uint32Array(canvas.getContext('2d').getImageData(
        0, 0, canvas.width, canvas.height).data.buffer)).size)"""
    deep = """(function find(node) { for (const each of node.querySelectorAll('*')) {
        if (each.tagName === 'CANVAS') return each; const inside = each.shadowRoot && find(each.shadowRoot);
        if (inside) return inside } })(document.querySelector('.price .plot'))"""
    assert browser.run(f"{inked}({deep})") > 20

    # Tables, with the figures of the signal file.
    assert browser.run("document.querySelectorAll('.trades tbody tr').length") == 25
    cell = browser.run("document.querySelector('[data-measure=total_return_pct] td').firstChild.textContent")
    assert cell.replace("\u202f", "") == "+80.02%"
    assert "too few to conclude" in browser.run("document.querySelector('[data-measure=sharpe] td').textContent")
    assert browser.run("document.querySelectorAll('.heat tbody tr').length") == 9

    # A click on a heading sorts, a second one the other way.
    column = "[...document.querySelectorAll('.trades tbody tr')].map(row => Number(row.cells[6].dataset.v))"
    click = "document.querySelectorAll('.trades thead button')[6].click()"
    browser.run(click)
    returns = browser.run(column)
    assert returns == sorted(returns)
    browser.run(click)
    assert browser.run(column) == sorted(returns, reverse=True)

    # A zoom in one chart is a zoom in all, and the price axis follows what is in view.
    before = {plot: span(browser, plot, "x") for plot in ("price", "volume", "bounded", "equity", "drawdown", "sharpe")}
    prices = span(browser, "price", "y")
    browser.run("document.querySelector('[data-days=\"91\"]').click()")
    browser.frame()
    after = {plot: span(browser, plot, "x") for plot in before}
    assert len({tuple(each) for each in after.values()}) == 1
    assert after["drawdown"][1] - after["drawdown"][0] == 91 * 86_400_000
    assert before["drawdown"] != after["drawdown"]
    assert span(browser, "price", "y")[0] > prices[0]
    assert 500 < drawn(browser, "candles") < 560

    # Equity and holding are 100 where the view begins.
    index = """(name => { const data = Bokeh.documents[0].get_model_by_name('equity bars').data;
        const first = data.time.findIndex(at => at >= Bokeh.documents[0].roots()[0].x_range.start);
        return data[name][first] })"""
    assert [browser.run(f"{index}({name!r})") for name in ("equity index", "benchmark index")] == [100, 100]

    # Marks stand off their candles by the same number of pixels, however far the view is zoomed.
    away = """(kind => { const plot = Bokeh.documents[0].get_model_by_name('price'), {start, end} = plot.y_range;
        const {edge, y} = Bokeh.documents[0].get_model_by_name(kind).data_source.data;
        return Math.log(y[0] / edge[0]) / Math.log(end / start) * plot.inner_height })"""
    assert round(browser.run(f"{away}('buy')")) == -13
    assert round(browser.run(f"{away}('sell')")) == 13

    # So is a drag with the mouse.
    browser.run("document.querySelector('.price').scrollIntoView({block: 'center'})")
    middle = "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
    browser.drag(*browser.run(f"{middle}(document.querySelector('.price .plot').getBoundingClientRect())"), by=200)
    browser.frame()
    assert span(browser, "equity", "x")[0] < after["equity"][0]

    # The button of a trade shows it.
    browser.run("document.querySelector('.go[data-from]').click()")
    start, end = span(browser, "price", "x")
    entry, leave = browser.run("(({from, to}) => [Number(from), Number(to)])(document.querySelector('.go').dataset)")
    assert start < entry < leave < end
    quiet(browser)


def test_never_traded_on_a_phone_in_the_dark(browser, never_trades):
    settings, lake = never_trades
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    opened(browser, report(settings, lake).path)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert "never traded" in browser.run("document.querySelector('.lead').textContent")
    assert drawn(browser, "buy") == 0
    assert "Simulated" in browser.run("document.querySelector('.banner').textContent")

    label = PLOT.format("price") + ".right[0].major_label_text_color"
    dark = browser.run("getComputedStyle(document.body).backgroundColor"), browser.run(label)
    browser.run("document.getElementById('theme').click()")
    light = browser.run("getComputedStyle(document.body).backgroundColor"), browser.run(label)
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    quiet(browser)


@pytest.mark.parametrize(
    ("make", "charts"),
    [
        (lambda: portfolio_page(portfolio()), ["equity", "drawdown", "positions"]),
        (lambda: walk_forward_page(walk()), ["equity", "drawdown"]),
        (lambda: sweep_page(sweep()), []),
    ],
    ids=["portfolio", "walk forward", "sweep"],
)
def test_other_pages_on_a_phone(browser, tmp_path, make, charts):
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    path = tmp_path / "page.html"
    path.write_text(make(), "utf-8")
    browser.call("Network.emulateNetworkConditions", **OFFLINE)
    browser.open(path)
    if charts:
        browser.wait("document.documentElement.dataset.ready")
        assert browser.run("Bokeh.documents[0].roots().map(each => each.name)") == charts
    assert browser.run("document.documentElement.scrollWidth") <= 390
    before = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.run("document.getElementById('theme').click()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") != before
    quiet(browser)
