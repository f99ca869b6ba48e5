"""Counts and choices read as a person would write them."""

import pytest

from hermes.text import counted, one_of


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (0, {}, "0 files"),
        (1, {}, "1 file"),
        (1_200, {}, "1,200 files"),
        (1.0, {"form": ".3g"}, "1 file"),
        (0.5, {"form": ".3g"}, "0.5 files"),
        (2, {"plural": "entries"}, "2 entries"),
    ],
)
def test_a_count_has_its_plural(count: float, options: dict[str, str], said: str):
    assert counted(count, "file", **options) == said


def test_choices_have_commas_and_an_or():
    assert [one_of("a"), one_of("ab"), one_of("abc")] == ["a", "a or b", "a, b or c"]
