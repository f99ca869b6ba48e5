"""What is said beside figures that should not be taken at their word."""

import re
from datetime import datetime, timedelta

import pytest

from hermes.dataset import Dataset
from hermes.freshness import freshness
from hermes.steps.warnings import closed, duration, warnings, warnings_now

SOUND = {"trades": 30, "short_span": False, "elapsed_days": 400.0, "price_jumps": 0, "trades_over_jumps": 0,
         "refused_orders": 0}  # fmt: skip
NEWEST = datetime(2026, 1, 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"trades": 29}, "29 trades: too few to conclude"),
        ({"trades": 1}, "1 trade: too few"),
        ({"short_span": True, "elapsed_days": 0.33}, "7.92 hours: what is annualized"),
        ({"price_jumps": 1}, "1 price jump: .* no trade was held through one. These figures are not validated"),
        ({"price_jumps": 2, "trades_over_jumps": 2}, "2 price jumps: .* 2 trades were held through one"),
        ({"end_value": -3.0, "refused_orders": 7}, "the account lost all it had: .* above 0, and 7 later entries"),
        ({"end_value": 0.0}, "the account lost all it had: .* not above 0$"),
        ({"refused_orders": 7}, "7 entries could not be filled: less than 1e-8 units"),
    ],
)
def test_each_reason_is_one_sentence(changed, said):
    (found,) = warnings(Dataset(), SOUND | changed)
    assert re.match(said, found)


def test_nothing_is_said_of_sound_figures():
    fresh = freshness(NEWEST, "4h", ["recent"], NEWEST + timedelta(hours=8))
    assert warnings(Dataset(), SOUND, fresh) == []
    assert warnings(Dataset(), {"trades": 30}) == []  # an execution of an older Hermes


def test_a_stale_bar_is_said_but_not_of_a_market_that_never_was():
    fresh = freshness(NEWEST, "4h", ["recent"], NEWEST + timedelta(days=3))
    (found,) = warnings(Dataset(), SOUND, fresh)
    assert "the newest bar opened at 2026-01-01 00:00:00 UTC and closed 2 days ago" in found
    assert warnings(Dataset(symbol="SIMUSDT"), SOUND, fresh) == []


def test_what_a_lineage_keeps_is_said_with_the_age_of_now():
    then = freshness(NEWEST, "4h", ["recent"], NEWEST + timedelta(days=3))
    kept = [*warnings(Dataset(), SOUND | {"trades": 3}, then), "funding is missing"]
    now = freshness(NEWEST, "4h", ["recent"], NEWEST + timedelta(days=9))
    few, funding, stale = warnings_now(Dataset(), kept, now)
    assert few.startswith("3 trades") and funding == "funding is missing" and "closed 8 days ago" in stale
    fresh = freshness(NEWEST, "4h", ["recent"], NEWEST + timedelta(hours=8))
    assert warnings_now(Dataset(), kept, fresh) == [few, funding]


def test_durations_name_their_largest_unit():
    assert [duration(each) for each in (5, 119, 120, 7199, 7200, 172_800)] == [
        "5 seconds", "119 seconds", "2 minutes", "119 minutes", "2 hours", "2 days",
    ]  # fmt: skip


def test_a_bar_that_is_still_to_close_shows_that_the_clock_is_behind():
    told = [closed(freshness(NEWEST, "4h", ["recent"], NEWEST + timedelta(hours=hours))) for hours in (4, 7, -20)]
    assert told == [
        "closed 0 seconds ago",
        "closed 3 hours ago",
        "closes in 24 hours by this machine's clock: that is behind, or the bar is wrong",
    ]
