import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.pages.panel import milliseconds, small


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(0, 6))
def test_half_the_bytes_never_cost_a_digit_that_is_shown(values, decimals):
    drawn = small(pl.Series(values), decimals)
    for value, kept in zip(pl.Series(values).round(decimals), drawn, strict=True):
        assert f"{kept:.{decimals}f}" == f"{value:.{decimals}f}"


def test_prices_of_bitcoin_need_only_four_bytes():
    assert small(pl.Series([3_200.01, 124_474.37]), 2).dtype == np.float32
    assert small(pl.Series([3_200.01, 9_124_474.37]), 2).dtype == np.float64


def test_null_is_drawn_as_a_gap():
    assert np.isnan(small(pl.Series([None, 1.0]), 2)).tolist() == [True, False]


def test_times_are_milliseconds():
    assert milliseconds(pl.Series(["2024-01-01T00:00:00.5"]).str.to_datetime(time_unit="us"))[0] == 1704067200500
