"""The tree that docs/architecture.md draws is the one that there is."""

import re
from pathlib import Path

import pytest

import hermes

SOURCES = Path(hermes.__file__).parent
PAGE = SOURCES.parents[1] / "docs" / "architecture.md"


TREE = PAGE.read_text(encoding="utf-8").partition("## The tree")[2].partition("```text")[2].partition("```")[0]


def test_the_tree_is_true():
    tree = TREE
    known = {path.name for path in SOURCES.rglob("*.py")}
    assert set(re.findall(r"\w+\.py", tree)) <= known
    packages = {path.name for path in SOURCES.rglob("*") if path.is_dir()}
    drawn = set(re.findall(r"(\w+)/", tree)) - {"src", "hermes"}
    assert drawn <= packages
    at_the_top = {path.name for path in SOURCES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert at_the_top <= drawn, "draw the new package"
    assert {path.name for path in SOURCES.glob("*.py")} <= set(re.findall(r"\w+\.py", tree)), "draw the new module"


def test_every_module_that_a_package_is_drawn_with_is_in_it():
    """What stands behind the colon of a line: modules of its package, or of the one drawn above it."""
    top = folder = SOURCES
    seen = 0
    for line in TREE.splitlines():
        if found := re.match(r"[├└]── ([\w.]+)", line):
            top = folder = SOURCES / found[1]
        elif found := re.match(r"│   [├└]── (\w+)/", line):
            folder = top / found[1]
        listed = re.sub(r"\([^)]*\)", "", line).rpartition(": ")[2] if folder.is_dir() and ": " in line else ""
        for name in map(str.strip, listed.split(",")):
            if name and " " not in name:
                assert (folder / f"{name}.py").is_file(), f"{folder.name} has no module {name}"
                seen += 1
    assert seen > 120


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md", "docs/architecture.md"])
def test_every_file_that_a_page_names_exists(page: str):
    project = SOURCES.parents[1]
    roots = [project, SOURCES, *(SOURCES / "lake", SOURCES / "lake" / "backends")]
    named = set(re.findall(r"`([\w./-]+\.(?:py|toml|lock|md))`", (project / page).read_text(encoding="utf-8")))
    named -= {"hermes.toml", "my_breakout.py"}  # those of users
    assert len(named) > 5
    assert [name for name in sorted(named) if not any((root / name).is_file() for root in roots)] == []
