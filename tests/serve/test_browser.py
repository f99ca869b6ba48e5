"""The server's pages in a real browser: they show, they follow what changes, and nothing in a lake becomes code."""

import json
import shutil
from pathlib import Path

import pytest
from tests.pages.chromium import NEEDED, Browser
from tests.record.decisions import Service, simulated_bars
from tests.record.lakes import put_record
from tests.serve.conftest import TABLE, Running, at, running

pytestmark = NEEDED
SIGNALS = "trading_signals_smart_momentum_spot_SIMUSDT_4h"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(autouse=True)
def fresh(browser: Browser) -> None:
    browser.complaints.clear()
    browser.requests.clear()


def seen(browser: Browser, size: str, theme: str) -> None:
    width, height = SIZES[size]
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_and_ask_nobody_else(browser: Browser, server: Running, root: Path, size: str, theme: str) -> None:
    seen(browser, size, theme)
    (folder,) = (root / "gold" / SIGNALS).iterdir()
    for path in (
        "",
        f"tables/{TABLE}",
        "tables/features_SIMUSDT_4h",
        f"tables/{TABLE}/{folder.name}",
        "tables/nothing",
    ):
        browser.open(server.url + path)
        wide = browser.run("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is {wide} pixels too wide"
        dark = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(15, 18, 22)") == (theme == "dark")
    assert [each for each in browser.complaints if "404" not in each] == []
    assert {each.split("/")[2] for each in browser.requests if not each.startswith("data:")} == {
        server.url.split("/")[2]
    }


def test_the_overview_follows_what_changes(browser: Browser, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "lake", dirs_exist_ok=True)
    with running(at(tmp_path / "lake")) as server:
        browser.open(server.url)
        browser.wait("document.getElementById('state').textContent === 'live'")
        rows = "document.getElementById('record').tBodies[0].rows"
        assert browser.run(f"{rows}.length") == 20
        service = Service(simulated_bars(300)).run(250, 291)
        put_record(at(tmp_path / "lake", dataset__interval="1h"), service.record.tail(1))
        browser.wait(f"{rows}[0].cells[8].textContent === '{service.head.hash[:8]}'")
        assert browser.run("document.getElementById('status').tBodies[0].rows[0].cells[0].firstChild.tagName") == "A"
        assert browser.complaints == []
    browser.wait("document.getElementById('state').textContent === 'the server does not answer'")


def test_a_page_shows_in_its_sandbox(browser: Browser, server: Running, root: Path) -> None:
    seen(browser, "desktop", "light")
    (folder,) = (root / "gold" / SIGNALS).iterdir()
    page = f"{server.url}tables/{TABLE}/{folder.name}/"
    browser.open(page + "page")
    assert browser.run("document.querySelector('iframe').getBoundingClientRect().height") > 800
    assert browser.complaints == []
    browser.open(page + "report.html")
    browser.wait("document.documentElement.dataset.ready")
    assert browser.run("origin") == "null", "an origin of its own"
    assert browser.complaints == []


HOSTILE = """<!doctype html><title>waits</title><script>
const found = [];
try { document.cookie = "a=1"; found.push("cookie") } catch {}
try { localStorage.a = 1; found.push("storage") } catch {}
try { if (parent !== window && parent.document) found.push("parent") } catch {}
fetch("/").then(() => found.push("fetch"), () => 0).then(() => {
  const image = new Image();
  image.onload = () => { found.push("image"); document.title = found.join() };
  image.onerror = () => { document.title = found.join() || "nothing" };
  image.src = "/static/serve.css";
});
</script>"""


def test_a_hostile_page_in_the_lake_reaches_nothing(browser: Browser, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "gold", tmp_path / "gold")
    (folder,) = (tmp_path / "gold" / SIGNALS).iterdir()
    (folder / "report.html").write_text(HOSTILE)
    with running(at(tmp_path)) as server:
        browser.open(f"{server.url}tables/{TABLE}/{folder.name}/report.html")
        browser.wait("document.title !== 'waits'")
        assert browser.run("document.title") == "nothing"
    asked = [each for each in browser.requests if not each.endswith("report.html")]
    assert [each for each in asked if each == server.url] == [], "a request left the sandbox"


def test_texts_of_a_lake_are_texts(browser: Browser, server: Running) -> None:
    evil = "<img src=x onerror=document.title=1>"
    browser.open(f"{server.url}tables/%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D1%3E")
    assert evil in browser.run("document.body.textContent")
    assert browser.run("document.images.length") == 0
    browser.open(server.url)
    browser.wait("document.getElementById('state').textContent === 'live'")
    drawn = browser.run(
        "(() => { const sources = []; const real = EventSource.prototype.addEventListener;"
        "EventSource.prototype.addEventListener = function (name, then) { sources.push([name, then]);"
        " return real.call(this, name, then) };"
        "return new Promise(done => { const again = document.createElement('script'); again.src = '/static/live.js';"
        "again.onload = () => { const row = {link: 'javascript:1', stale: false, cells: Array(10).fill("
        f"{evil!r})}};"
        "for (const [name, then] of sources) { if (name === 'status') then({data: JSON.stringify("
        "{rows: [row], notes: [row.cells[0]]})}); if (name === 'record') then({data: JSON.stringify({rows: [row]})}) }"
        "done(JSON.stringify([document.images.length, document.getElementById('status').textContent])) };"
        "document.head.append(again) }) })()"  # both at once: the next event of the server draws over it
    )
    images, text = json.loads(drawn)
    assert images == 0
    assert evil in text
