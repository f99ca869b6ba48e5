"""Compare stored columns with recomputed ones, block by block, so that memory does not grow with the table."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hermes.stages.audit.difference import Difference
from hermes.stages.audit.warm_up import warm_up

BLOCK_ROWS = 250_000
LEAD_ROWS = 20_000  # bars before a block that are computed with it, the first try
MOST_LEAD = 4_000_000
#: Relative, of the value itself or of the column's usual size: other tools store 32-bit floats.
TOLERANCE = 1e-7
_MARGIN = 2  # times as many bars as two beginnings needed to agree

#: Bars and stored columns of the table, from a first row up to, not including, an end.
Read = Callable[[int, int], pl.DataFrame]
#: Bars → the columns, one row per bar, under their names.
Compute = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of comparing some columns.

    Attributes:
        difference: the first one, of the first column that differs; None if all are equal.
        begins: columns whose first bars could not be compared, because the table lacks the start of its history, with
            the number of these bars; all of the table's where a column never forgets what came before.
        late: columns without a value on bars for which the bars give one, up to their first, with its number.
        open: columns that depend on where a block begins, however far before it that is, with the number of bars that
            could not be compared for that.
        empty: columns without any value.
    """

    difference: Difference | None
    begins: Mapping[str, int]
    late: Mapping[str, int]
    open: Mapping[str, int]
    empty: Sequence[str]


def compare_columns(
    read: Read, rows: int, names: Sequence[str], compute: Compute, states: Mapping[str, str]
) -> Compared:
    """Compare every stored value with the recomputed one, over the whole table.

    A value may depend on all bars before it, which a block does not have. So each block is computed twice, from a
    beginning before it and from one twice as far before; where both agree, what lies before them does not matter. Where
    they do not, the beginnings move back, if need be to the first bar.

    Args:
        read: the table: `datetime, open, high, low, close, volume` and the columns.
        rows: of the table.
        names: the columns.
        compute: the definition of the columns.
        states: columns that remember a direction (or stand on one), and the computed column that holds it: two
            beginnings that have not seen it change agree on nothing but how they began.
    """
    begins: dict[str, int] = {}
    unsettled: Counter[str] = Counter()
    late: dict[str, int] = {}
    given: set[str] = set()  # columns that the bars gave a value where none is stored
    seen: set[str] = set()
    for begin in range(0, rows, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, rows)
        table, made, settled = _computed(read, begin, end, names, compute, states)
        if begin == 0:
            amid = _begins_amid(table, made, names, compute)
            begins = {name: bars if bars < end else rows for name, bars in amid.items()}
        for name in names:
            stored = table[name]
            known = np.ones(len(stored), dtype=bool) if settled is None else settled[name]
            unsettled[name] += int(np.count_nonzero(~known))
            if begin < begins.get(name, 0):
                known = known & (np.arange(begin, end) >= begins[name])
            if name not in seen:  # before its first value a column says nothing
                first = len(stored) if stored.null_count() == len(stored) else int(stored.is_not_null().arg_max() or 0)
                if made[name].head(first).null_count() < first:
                    given.add(name)
                if first == len(stored):
                    continue
                seen.add(name)
                if name in given:
                    late[name] = begin + first
                known = known & (np.arange(len(stored)) >= first)
            wrong = np.flatnonzero(_differing(made[name], stored) & known)
            if len(wrong):
                row = int(wrong[0])
                found = Difference(name, table["datetime"][row], made[name][row], stored[row])
                return Compared(found, begins, late, {}, ())
    return Compared(None, begins, late, +unsettled, [name for name in names if name not in seen])


def _computed(
    read: Read, begin: int, end: int, names: Sequence[str], compute: Compute, states: Mapping[str, str]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, NDArray[np.bool_]] | None]:
    """The stored rows of a block, the computed ones, and which of them do not depend on the first bar."""
    lead = LEAD_ROWS
    while True:
        start = max(begin - 2 * lead, 0)
        table = read(start, end)
        made = compute(table)
        block = table.slice(begin - start), made.slice(begin - start)
        if start == 0:
            return *block, None
        near = compute(table.slice(lead))
        turned = {name: _turned(near[state])[begin - start - lead :] for name, state in states.items()}
        near = near.slice(begin - start - lead)
        settled = {name: ~_differing(block[1][name], near[name]) & turned.get(name, True) for name in names}
        if all(known.all() for known in settled.values()) or lead >= MOST_LEAD:
            return *block, settled
        lead *= 2


def _turned(state: pl.Series) -> NDArray[np.bool_]:
    """The rows from the first change of a direction on."""
    return (state.diff() != 0).fill_null(value=False).cum_max().to_numpy()


def _begins_amid(table: pl.DataFrame, made: pl.DataFrame, names: Sequence[str], compute: Compute) -> dict[str, int]:
    """Columns with values where the first bars give none: the table was cut out of a longer one, and what came before
    it still shows. For each how many bars it takes until it shows no more."""
    early = [name for name in names if (table[name].is_not_null() & made[name].is_null()).any()]
    if not early:
        return {}
    bars, starts = table.drop(names), [table.height // 4, table.height // 2]
    needed = warm_up(bars, lambda part: compute(part).select(early), starts)
    return {
        name: table.height if settled is None else min(_MARGIN * int(settled), table.height)
        for name, settled in needed.iter_rows()
    }


def _differing(expected: pl.Series, found: pl.Series) -> NDArray[np.bool_]:
    """Rows on which two columns differ by more than the tolerance; null equals null.

    As a difference of averages crosses zero, the tolerance is relative to the column's usual size.
    """
    if not expected.dtype.is_float():
        return expected.ne_missing(found).to_numpy()
    size = expected.abs()
    finite = size.is_finite()
    usual = cast("float | None", size.filter(finite.fill_null(value=False)).mean()) or 0.0
    close = ((expected - found).abs() <= TOLERANCE * size.clip(lower_bound=usual)) & finite & found.is_finite()
    return ~(close.fill_null(value=False) | expected.eq_missing(found)).to_numpy()
