"""Cuts right after something happened."""

from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from hermes.stages.audit.cuts import MOST_EDGES, MOST_QUICK, random_cuts, spread, turning_cuts

BITS = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=300)


@given(rows=BITS, quick=st.booleans())
def test_cuts_are_right_after_turns_and_rising_edges(rows: list[tuple[bool, bool, bool]], quick: bool) -> None:
    one, other, held = ([row[place] for row in rows] for place in range(3))
    judged = pl.DataFrame({"one": one, "other": other, "position": pl.Series(held).cast(pl.Int8)})
    turns = {row + 1 for row in range(len(rows)) if held[row] != (held[row - 1] if row else False)}  # it starts flat
    became = [(row, values[row], row and values[row - 1]) for values in (one, other) for row in range(len(rows))]
    edges = {row + 1 for row, now, before in became if now and not before}
    cuts, happened = turning_cuts(judged, ["one", "other"], quick=quick)
    assert happened == len(turns | edges)
    assert cuts == sorted(set(cuts))
    assert set(cuts) <= turns | edges
    if quick:
        assert len(cuts) == min(MOST_QUICK, len(turns | edges))
        assert len(turns & set(cuts)) >= min(len(turns), MOST_QUICK // 2)
    else:
        assert turns <= set(cuts)
        assert len(cuts) == len(turns) + min(len(edges - turns), MOST_EDGES)


@given(values=st.lists(st.integers(), max_size=200), most=st.integers(1, 50))
def test_spread_takes_first_and_last(values: list[int], most: int) -> None:
    taken = spread(values, most)
    assert len(taken) == min(len(values), most)
    if values:
        assert taken[0] == values[0]
    if len(values) > 1 < most:
        assert taken[-1] == values[-1]


def test_random_cuts_come_again_from_their_seed() -> None:
    assert random_cuts(1_000, 20, Random(3)) == random_cuts(1_000, 20, Random(3))
    assert sorted(random_cuts(4, 500, Random(3))) == [1, 2, 3], "to keep all bars is no cut, nor one twice"
    assert random_cuts(1, 20, Random(3)) == []
