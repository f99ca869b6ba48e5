"""The site: built without a warning, every link within it leads somewhere, and it asks no server for anything."""

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tests.docs.pages import PROJECT

LOADING = {("script", "src"), ("link", "href"), ("img", "src"), ("source", "src"), ("iframe", "src")}


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what a browser loads for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if (tag, name) in LOADING and value and ("rel", "canonical") not in attrs:
                self.loads.append(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    def build(out: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "-c", "docs", ".", out],
            cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    return once("site", build)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_link_leads_somewhere(pages: dict[Path, Page]):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].anchors if target in pages else set()
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in known):
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_it_asks_no_server(site: Path, pages: dict[Path, Page]):
    afar = [f"{path.name}: {each}" for path, page in pages.items() for each in page.loads if urlsplit(each).netloc]
    assert not afar
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//[^)\"']+", styles)


def test_the_front_door_leads_to_the_contents(pages: dict[Path, Page], site: Path):
    (link,) = pages[site / "index.html"].links
    assert (site / link).is_file()


@pytest.mark.parametrize(
    "name", ["command-line", "settings", "columns", "paths", "measures", "json", "errors", "python"]
)
def test_the_reference_is_made_from_the_code(site: Path, name: str):
    assert (site / "docs" / "reference" / f"{name}.html").is_file()


def test_the_reference_names_everything(site: Path):
    import typer

    from hermes.cli.app import app
    from hermes.schemas import BRONZE, FEATURES, SILVER
    from hermes.settings import Settings

    def shown(name: str) -> str:
        return (site / "docs" / "reference" / f"{name}.html").read_text(encoding="utf-8")

    commands, columns, settings = shown("command-line"), shown("columns"), shown("settings")
    groups = {name: getattr(each, "commands", None) for name, each in typer.main.get_command(app).commands.items()}
    named = [f"{name}-{sub}" if sub else name for name, subs in groups.items() for sub in subs or [""]]
    assert [name for name in named if f'id="{name}"' not in commands] == []
    assert [name for name in (*BRONZE, *SILVER, *FEATURES) if f">{name}<" not in columns] == []
    assert [name for name, _, _ in Settings().items() if f">{name.split('.')[-1]}<" not in settings] == []
