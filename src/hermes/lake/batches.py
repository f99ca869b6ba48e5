"""Rows of a plan piece by piece, and the check that all of them came."""

from collections.abc import Iterator

import polars as pl

from hermes.errors import StoreError
from hermes.lake.store import DAMAGE_CURE
from hermes.text import counted


def whole_batches(plan: pl.LazyFrame, what: str, size: int | None = None) -> Iterator[pl.DataFrame]:
    """The rows of a plan in order, `size` at a time or as they are stored; refuses fewer than the plan has.

    Raises:
        StoreError: some did not come, see `check_all_read`.
    """
    read = 0
    for frame in plan.collect_batches(chunk_size=size, maintain_order=True, engine="streaming"):
        read += frame.height
        yield frame
    check_all_read(what, read, plan.select(pl.len()).collect().item())


def check_all_read(what: str, read: int, rows: int) -> None:
    """Refuse fewer rows than there are: where Polars panics over a damaged file, its batches end without an error.

    Args:
        what: was read; read: rows that came; rows: that the footers name.

    Raises:
        StoreError: some did not come.
    """
    if read != rows:
        raise StoreError(f"{what}: {read:,} of {counted(rows, 'row')} could be read", DAMAGE_CURE)
