"""README.md and README.fr.md say the same in two languages, and what they point at is there."""

import re

import pytest
from tests.docs.pages import ENGLISH, FRENCH, PROJECT, blocks, prose

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
OWN_LANGUAGE = {ENGLISH, FRENCH}  # each points at the other


def headings(page: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(page), re.M)]


def links(page: str) -> list[str]:
    return [target for target in LINK.findall(prose(page)) if target not in OWN_LANGUAGE]


def code(page: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def tables(page: str) -> list[int]:
    return [line.count("|") for line in prose(page).splitlines() if line.startswith("|")]


@pytest.mark.parametrize("what", [headings, links, code, tables])
def test_both_have_the_same(what):
    assert what(ENGLISH) == what(FRENCH)


def test_both_show_the_same_blocks():
    english, french = blocks(ENGLISH), blocks(FRENCH)
    assert [(each.language, each.marker) for each in english] == [(each.language, each.marker) for each in french]
    for one, other in zip(english, french, strict=True):
        if one.language != "text":  # drawings have words
            assert one.without_comments == other.without_comments


def test_they_point_at_each_other():
    assert f"]({FRENCH})" in prose(ENGLISH)
    assert f"]({ENGLISH})" in prose(FRENCH)


@pytest.mark.parametrize("page", [ENGLISH, FRENCH])
def test_what_they_point_at_is_there(page: str):
    targets = [target for target in links(page) if "://" not in target]
    proofs = [text for text in code(page) if text.startswith("tests/")]
    assert len(targets) > 10 and len(proofs) > 5
    assert [each for each in (*targets, *proofs) if not (PROJECT / each).is_file()] == []


def test_the_picture_is_small():
    assert (PROJECT / "docs" / "report.webp").stat().st_size < 150_000


def test_make_test_and_make_demo_are_there():
    first, second = (block.without_comments for block in blocks(ENGLISH)[:2])
    assert (first, second) == ("make demo", "make test")
