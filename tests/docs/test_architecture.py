"""The tree that docs/architecture.md draws is the one that there is."""

import re
from pathlib import Path

import hermes

SOURCES = Path(hermes.__file__).parent
PAGE = SOURCES.parents[1] / "docs" / "architecture.md"


def test_the_tree_is_true():
    tree = PAGE.read_text(encoding="utf-8").partition("## The tree")[2].partition("```text")[2].partition("```")[0]
    known = {path.name for path in SOURCES.rglob("*.py")}
    assert set(re.findall(r"\w+\.py", tree)) <= known
    packages = {path.name for path in SOURCES.rglob("*") if path.is_dir()}
    drawn = set(re.findall(r"(\w+)/", tree)) - {"src", "hermes"}
    assert drawn <= packages
    at_the_top = {path.name for path in SOURCES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert at_the_top <= drawn, "draw the new package"
    assert {path.name for path in SOURCES.glob("*.py")} <= set(re.findall(r"\w+\.py", tree)), "draw the new module"
