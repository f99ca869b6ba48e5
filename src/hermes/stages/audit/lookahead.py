"""Tests for look-ahead: later bars must never change earlier rows."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from hermes.stages.audit.difference import Difference, first_difference

#: Bars in, everything computed from them out: one row per bar, the bars' own columns included.
Compute = Callable[[pl.DataFrame], pl.DataFrame]


def look_ahead(
    bars: pl.DataFrame, compute: Compute, cuts: Sequence[int], whole: pl.DataFrame | None = None
) -> Difference | None:
    """Run on the bars up to each cut, and compare every row and every column with the run on all bars.

    A value that needed a bar after the cut cannot be the same without it, however early its own bar is.

    Args:
        bars: in time order, `datetime` among the columns.
        compute: the function to test.
        cuts: numbers of bars to keep, each from 1 to all of them.
        whole: the output for all bars, if known.

    Returns:
        The earliest difference of all runs, or None.
    """
    known = compute(bars) if whole is None else whole

    def differing(cut: int) -> Difference | None:
        return first_difference(known.head(cut), compute(bars.head(cut)))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # short runs leave cores idle
        found = list(pool.map(differing, cuts))
    order = {name: position for position, name in enumerate(known.columns)}
    return min((each for each in found if each), key=lambda each: (order[each.column], each.bar), default=None)
