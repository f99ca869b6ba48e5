"""Ranges, lists and their combinations."""

import pytest

from hermes.errors import UsageError
from hermes.strategies.grid import combinations, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8:20:4", ["8", "12", "16", "20"]),
        ("8:21:4", ["8", "12", "16", "20"]),
        ("2:3:0.1", ["2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "3.0"]),
        ("5:5:1", ["5"]),
        ("20, 26,20", ["20", "26"]),
        ("9", ["9"]),
        (9, [9]),
    ],
)
def test_values(text, expected):
    assert [float(v) for v in values("n", text)] == [float(v) for v in expected]
    assert len(values("n", text)) == len(expected)


@pytest.mark.parametrize("text", ["1:2", "1:2:0", "3:1:1", "1:2:-1", "a:b:c", "1:2:3:4", "0:inf:1", "nan:1:1"])
def test_ranges_that_are_none(text):
    with pytest.raises(UsageError, match=r"--set n=.* is not a range"):
        values("--set n", text)


def test_a_range_of_too_many_values_says_how_many():
    with pytest.raises(UsageError, match=r"--set n=0:1e9:1 is 1,000,000,001 values, more than 100,000"):
        values("--set n", "0:1e9:1")


def test_combinations():
    given = {"a": [1, 2], "b": ["x"], "c": [True, False]}
    whole = list(combinations(given))
    assert [tuple(each.values()) for each in whole] == [
        (1, "x", True),
        (1, "x", False),
        (2, "x", True),
        (2, "x", False),
    ]
    assert list(combinations({})) == [{}]
    few = list(combinations(given, 3, seed=1))
    assert len(few) == 3 and few == [each for each in whole if each in few]
    assert few == list(combinations(given, 3, seed=1))
    assert list(combinations(given, 100)) == whole
    with pytest.raises(UsageError, match="100,000,000 combinations"):
        list(combinations({"a": range(10_000), "b": range(10_000)}))
    assert len(list(combinations({"a": range(10_000), "b": range(10_000)}, 5))) == 5
