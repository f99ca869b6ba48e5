"""Recent days in memory: what their footer says is what a day that was read at once would say."""

import hashlib
from datetime import date

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live.conftest import M1, START

from hermes.live.days import Day, to_rows
from hermes.schemas import BRONZE
from hermes.testing.exchange import random_bars

BARS = to_rows(random_bars(M1, START * 1_000_000, 40), "bars")
REVISED = BARS.with_columns(pl.col("close") + 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(1, 5), st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_the_hash_of_a_day_is_that_of_its_rows_however_they_came(parts):
    day = Day(M1, date(2025, 6, 15), pl.DataFrame(schema=BRONZE), 0)
    for begin, count, is_revised, is_told in parts:
        day.merge((REVISED if is_revised else BARS).slice(begin, count), 1)
        if is_told:
            day.about("test")
    written = day.rows.drop("line").write_csv(include_header=False).encode()
    assert day.about("test")["sha256"] == hashlib.sha256(written).hexdigest()
