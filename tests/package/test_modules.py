"""Modules are small, or their docstring says why they are not."""

import ast
import re
from pathlib import Path

import pytest

import hermes

SOURCES = Path(hermes.__file__).parent
MOST_LINES = 300
REASON = re.compile(r"^Longer than 300 lines, because .{20,}", re.MULTILINE)


def excuse(text: str) -> bool:
    """Whether a module is small enough, or says why it is longer; one that is small again has nothing to say."""
    return (len(text.splitlines()) > MOST_LINES) == bool(REASON.search(ast.get_docstring(ast.parse(text)) or ""))


@pytest.mark.parametrize("said", ['"""A module."""', "x = 1", '"""A module.\n\nLonger than 300 lines, because so."""'])
def test_a_long_module_without_a_reason_is_found(said: str):
    assert excuse(said)
    assert not excuse(said + "\n" * 300 + "x = 1\n")


def test_a_reason_that_no_longer_holds_is_found():
    said = f'"""A module.\n\nLonger than 300 lines, because {"of what it does " * 3}."""'
    assert excuse(said + "\n" * 300)
    assert not excuse(said)


def test_long_modules_say_why():
    paths = list(SOURCES.rglob("*.py"))
    assert len(paths) > 200
    assert [str(path.relative_to(SOURCES)) for path in paths if not excuse(path.read_text(encoding="utf-8"))] == []
