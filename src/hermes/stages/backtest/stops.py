"""Where a stop or a target is first reached, for many positions at once.

Rows are looked at in blocks whose extremes are known, so that a position held for long costs little more than one held
for a bar. A trailing level is the highest high so far times a factor: whether it is reached inside a block follows from
the block's extremes and the highest high before it, because a product with a positive factor keeps the order of floats.
"""

from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.arrays import Booleans, Floats, Rows
from hermes.stages.backtest.bars import BLOCK, Ranges


class Watch(NamedTuple):
    """What many long positions wait for; arrays of one value for each.

    Attributes:
        start, end: rows from the first one looked at up to, not including, the last.
        stop, target: prices; -inf and inf where there is none.
        peak: highest price before `start`; factor: times which the highest price so far gives the trailing level,
            None where nothing trails.
    """

    start: Rows
    end: Rows
    stop: Floats
    target: Floats
    peak: Floats
    factor: float | None = None

    def of(self, which: Rows) -> "Watch":
        """Some of the positions."""
        start, end, stop, target, peak, factor = self
        return Watch(start[which], end[which], stop[which], target[which], peak[which], factor)


def first_hits(ranges: Ranges, watch: Watch) -> Rows:
    """The first row at which each position reaches its stop, its target or its trailing level.

    Returns:
        Rows; `watch.end` where there is none before it.
    """
    found = watch.end.copy()
    pending = np.flatnonzero(watch.start < watch.end)
    left = watch if len(pending) == len(found) else watch.of(pending)
    # The first rows, then whole blocks from the next edge on, then the rows of the block that has it.
    edge = (left.start // BLOCK + 1) * BLOCK
    hit, row, peak = _rows(ranges, left, edge)
    found[pending[hit]] = np.minimum(row[hit], left.end[hit])
    going = np.flatnonzero(~hit & (edge < left.end))
    pending, left = pending[going], left.of(going)._replace(start=edge[going], peak=peak[going])
    while len(pending):
        hit, block, peak = _blocks(ranges, left)
        inside = np.flatnonzero(hit & (block * BLOCK < left.end))
        if len(inside):
            start = block[inside] * BLOCK
            exact = left.of(inside)._replace(start=start, peak=peak[inside])
            _, row, _ = _rows(ranges, exact, start)
            found[pending[inside]] = np.minimum(row, exact.end)  # the last block may reach beyond the end
        after = left.start + BLOCK * BLOCK
        going = np.flatnonzero(~hit & (after < left.end))
        pending, left = pending[going], left.of(going)._replace(start=after[going], peak=peak[going])
    return found


def _rows(ranges: Ranges, watch: Watch, edge: Rows) -> tuple[Booleans, Rows, Floats]:
    """Look at `BLOCK` rows from each start on, whatever the end.

    Returns:
        Whether something is reached, the first such row, and the highest price before the edge.
    """
    hit, row, peaks = _first(ranges.highs[watch.start], ranges.lows[watch.start], None, watch)
    if peaks is None:
        return hit, row, watch.peak
    return hit, row, peaks[np.arange(len(peaks)), edge - watch.start]


def _blocks(ranges: Ranges, watch: Watch) -> tuple[Booleans, Rows, Floats]:
    """Look at the next `BLOCK` blocks from each start, which is the first row of one.

    Returns:
        Whether a level is reached in one, the first such block, and the highest price before it or before the last.
    """
    start = watch.start // BLOCK
    trailed = None if watch.factor is None else ranges.trailed(watch.factor)[start]
    high, low = ranges.block_highs[start], ranges.block_lows[start]
    hit, block, peaks = _first(high, low, trailed, watch._replace(start=start))
    if peaks is None:
        return hit, block, watch.peak
    return hit, block, peaks[np.arange(len(peaks)), np.where(hit, block - start, BLOCK)]


def _first(high: Floats, low: Floats, trailed: Booleans | None, watch: Watch) -> tuple[Booleans, Rows, Floats | None]:
    """The first column of each line that reaches a level, and where something trails the highest price before each."""
    level, peaks = watch.stop[:, None], None
    reached = high >= watch.target[:, None]
    if watch.factor is not None:
        peaks = np.maximum.accumulate(np.column_stack([watch.peak, high]), axis=1)
        level = np.maximum(level, peaks[:, :-1] * watch.factor)
    reached |= low <= level
    if trailed is not None:
        reached |= trailed
    column: Rows = np.argmax(reached, axis=1)
    hit: Booleans = reached[np.arange(len(column)), column]
    return hit, watch.start + column, peaks
