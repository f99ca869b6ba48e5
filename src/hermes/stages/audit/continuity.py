"""Tests of continuity: any division into chunks gives the same rows."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import polars as pl

from hermes.stages.audit.difference import Difference, first_difference
from hermes.text import counted

#: (rows split into files, rows per chunk) → the rows that came out of each chunk.
InChunks = Callable[[pl.LazyFrame, int], Iterable[pl.DataFrame]]


def continuity(
    rows: pl.DataFrame, whole: pl.DataFrame, in_chunks: InChunks, sizes: Sequence[int], splits: Sequence[Sequence[int]]
) -> Difference | None:
    """Run chunk by chunk, with every chunk size and every split into files, and compare with one run over all rows.

    Args:
        rows: the input, in time order.
        whole: the output for all rows in one piece.
        in_chunks: the function to test.
        sizes: rows per chunk; splits: row numbers at which the rows are cut into files; tried in pairs.

    Returns:
        The first difference of the first pair that has one, or None.
    """
    for size, split in zip(sizes, splits, strict=True):
        edges = [0, *sorted(split), rows.height]
        files = [rows.slice(begin, end - begin).lazy() for begin, end in pairwise(edges)]
        made = pl.concat([frame.select(whole.columns) for frame in in_chunks(pl.concat(files), size)])
        if made.height != whole.height:
            last = made["datetime"][-1]
            return Difference("datetime", last, counted(whole.height, "row"), counted(made.height, "row"))
        if difference := first_difference(whole, made):
            return difference
    return None
