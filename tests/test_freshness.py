"""How old the newest bar is: two intervals late is stale, later where files come once a day or a month."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes.dataset import INTERVAL_SECONDS, bar_close
from hermes.freshness import expected_bar, freshness

NEWEST = datetime(2026, 10, 31, 20)


@pytest.mark.parametrize(
    ("frequencies", "late", "stale"),
    [
        (["recent", "monthly"], timedelta(hours=15, minutes=59), False),  # three bars are over, the third just not
        (["recent", "monthly"], timedelta(hours=16), True),
        (["daily"], timedelta(days=2, hours=15), False),
        (["daily", "monthly"], timedelta(days=2, hours=16), True),
        (["monthly"], timedelta(days=33, hours=15), False),
        (["monthly"], timedelta(days=33, hours=16), True),
        ([], timedelta(days=33, hours=15), False),
    ],
)
def test_what_is_late_depends_on_how_the_bars_arrive(frequencies, late, stale):
    found = freshness(NEWEST, "4h", frequencies, NEWEST + late)
    assert found.stale == stale
    assert found.age == late - timedelta(hours=4)


def test_months_are_the_calendars():
    found = freshness(datetime(2026, 9, 1), "1mo", ["monthly"], datetime(2026, 11, 26))
    assert (found.expected, found.stale) == (datetime(2026, 10, 1), False)
    assert found.age == datetime(2026, 11, 26) - datetime(2026, 10, 1)
    assert freshness(datetime(2026, 6, 1), "1mo", ["monthly"], datetime(2026, 11, 26)).stale
    assert found.as_json() == {
        "newest_bar": "2026-09-01T00:00:00Z",
        "age_seconds": 56 * 86_400.0,
        "expected_bar": "2026-10-01T00:00:00Z",
        "stale": False,
    }


@given(st.sampled_from(tuple(INTERVAL_SECONDS)), st.integers(0, 10**7))
def test_the_expected_bar_is_the_last_that_is_over(interval, seconds):
    newest = datetime(2025, 1, 1)
    now = bar_close(interval, newest) + timedelta(seconds=seconds)
    expected = expected_bar(newest, interval, now)
    assert bar_close(interval, expected) <= now < bar_close(interval, bar_close(interval, expected))
