"""Counts and choices read as a person would write them."""

import pytest

from hermes.text import counted, exact, fixed, one_of, signed, span


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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-1234.5, "-1,234.50"),
        (-0.001, "0.00"),
        (0.0, "0.00"),
        (999_999_999_999_999.0, "999,999,999,999,999.00"),
        (1.3e30, "1.3 × 10^30"),
        (-4e15, "-4 × 10^15"),
    ],
)
def test_a_number_has_no_sign_at_zero_and_no_digits_that_a_float_does_not_keep(value: float, said: str):
    assert fixed(value) == said


def test_a_difference_has_its_sign_unless_it_is_written_as_zero():
    assert [signed(value, 1) for value in (0.26, -0.26, 0.04, -0.04, 2e20)] == [
        "+0.3", "-0.3", "0.0", "0.0", "+2 × 10^20",
    ]  # fmt: skip


def test_an_exact_number_is_written_to_its_last_digit():
    values = (0.00075, 1e-9, 1e12, 1_000_000, 137.31, 100.0, -0.0)
    assert [exact(value) for value in values] == [
        "0.00075", "0.000000001", "1,000,000,000,000", "1,000,000", "137.31", "100", "0",
    ]  # fmt: skip
    assert [exact(value, 4) for value in (1.27634, 0.0000933512)] == ["1.276", "0.00009335"]


def test_a_span_is_told_in_its_largest_unit():
    assert [span(days) for days in (66.7, 1.0, 4 / 24, 0.5, 1 / 86_400, 1.5 / 1440)] == [
        "66.7 days", "1 day", "4 hours", "12 hours", "1 second", "1.5 minutes",
    ]  # fmt: skip
