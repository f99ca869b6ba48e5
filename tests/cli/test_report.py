"""`hermes report`: where its page goes, and who opens it."""

import shutil
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from tests.pages.lakes import made

from hermes.cli.views import console
from hermes.lake.store import Lake
from hermes.serve.reader import Reader
from hermes.settings import Settings


@pytest.fixture(scope="module")
def lake(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("report") / "lake"
    made(root, simulated, dataset__symbol="SIMUSDT")
    return f"{root}/{{layer}}"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was opened in the browser."""
    pages: list[Path] = []

    def remember(url: str) -> bool:
        pages.append(Path(url2pathname(urlsplit(url).path)))
        return True

    monkeypatch.setattr(webbrowser, "open", remember)
    return pages


def test_the_page_goes_to_a_file_and_the_lake_stays_as_it_is(lake, hermes, tmp_path, opened):
    before = sorted(Path(lake.removesuffix("/{layer}")).rglob("*"))
    said = hermes("report", "SIMUSDT", "--lake", lake, "--out", "sim.html", "--json")
    assert said.code == 0, said.err
    (found,) = said.json["datasets"]
    assert Path(found["path"]) == tmp_path / "sim.html"
    page = (tmp_path / "sim.html").read_text("utf-8")
    assert '<a href="sim.csv">sim.csv</a>' in page
    assert (tmp_path / "sim.csv").read_text().startswith("entry_time,")
    assert (tmp_path / "sim.svg").read_text().startswith("<svg")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["sim.csv", "sim.html", "sim.svg"]
    assert sorted(Path(lake.removesuffix("/{layer}")).rglob("*")) == before
    assert opened == []


def test_a_page_that_cannot_be_written_is_one_error(lake, hermes, tmp_path):
    assert hermes("report", "SIMUSDT", "--lake", lake, "--out", "page.csv").code == 2
    said = hermes("report", "SIMUSDT", "--lake", lake, "--out", "nowhere/page.html")
    assert said.code == 1 and "No such file or directory" in said.err and "--out" in said.err
    assert not list(tmp_path.iterdir())


def test_it_is_opened_where_it_was_published(lake, hermes, opened):
    said = hermes("report", "SIMUSDT", "--lake", lake, "--open", "--json")
    assert said.code == 0, said.err
    (found,) = said.json["datasets"]
    assert opened == [Path(found["path"])]
    assert opened[0].name == "report.html"


def test_a_page_that_is_no_local_file_is_opened_from_a_copy(opened, monkeypatch, capfd):
    console.open_page("s3://gold/execution_1/report.html", "execution_1", lambda: "<html>")
    assert opened[0].name == "execution_1.html" and opened[0].read_text() == "<html>"
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    console.open_page("s3://gold/execution_1/report.html", "execution_1", lambda: "<html>")
    assert "no browser could be opened" in capfd.readouterr().err


@pytest.mark.parametrize("command", [("walkforward",), ("compare", "smart_momentum", "macd_trend"), ("report",)])
def test_a_name_that_is_no_page_is_refused_before_any_work(command, hermes):
    said = hermes(*command, "SIMUSDT", "--out", "/")
    assert said.code == 2 and "not the name of an HTML file" in said.err and not said.out


def test_every_figure_of_a_simulated_market_says_so(simulated_lake, hermes, tmp_path):
    lake = f"{shutil.copytree(simulated_lake, tmp_path / 'lake')}/{{layer}}"
    said = hermes(
        "compare", "smart_momentum", "macd_trend", "SIMUSDT", "--lake", lake, "--out", str(tmp_path / "c.html")
    )
    assert said.code == 0 and "SIMULATED MARKET" in said.out
    assert "Simulated market." in (tmp_path / "c.html").read_text()
    said = hermes("portfolio", "SIMUSDT", "--lake", lake)
    assert said.code == 0 and "SIMULATED MARKET" in said.out
    settings = Settings.load({"lake.url": lake})
    reader, name = Reader(settings, Lake.open(settings)), "portfolio_smart_momentum_spot_4h"
    table = reader.table(name)
    assert table["simulated"] and reader.execution(name, table["executions"][0]["name"])["simulated"]
