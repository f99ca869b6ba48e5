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
    left = watch.of(pending)
    # The rows up to the next block, then whole blocks, then the rows of the block that has it.
    edge = (left.start // BLOCK + 1) * BLOCK
    hit, row, peak = _rows(ranges, left, edge)
    found[pending[hit]] = row[hit]
    going = np.flatnonzero(~hit & (edge < left.end))
    pending, left = pending[going], left.of(going)._replace(start=edge[going], peak=peak[going])
    while len(pending):
        hit, block, peak = _blocks(ranges, left)
        inside = np.flatnonzero(hit)
        if len(inside):
            exact = left.of(inside)._replace(start=block[inside] * BLOCK, peak=peak[inside])
            really, row, _ = _rows(ranges, exact, exact.start + BLOCK)
            found[pending[inside[really]]] = row[really]  # the last block may reach beyond the end
        after = left.start + BLOCK * BLOCK
        going = np.flatnonzero(~hit & (after < left.end))
        pending, left = pending[going], left.of(going)._replace(start=after[going], peak=peak[going])
    return found


def _rows(ranges: Ranges, watch: Watch, edge: Rows) -> tuple[Booleans, Rows, Floats]:
    """Look at the rows from each start up to the edge, at most `BLOCK` of them.

    Returns:
        Whether something is reached, the first such row, and the highest price before it or before the edge.
    """
    rows = watch.start[:, None] + np.arange(BLOCK)
    outside = rows >= np.minimum(edge, watch.end)[:, None]
    rows = np.minimum(rows, len(ranges.high) - 1)
    high, low = ranges.high[rows], ranges.low[rows]
    high[outside], low[outside] = -np.inf, np.inf
    return _first(high, low, None, watch)


def _blocks(ranges: Ranges, watch: Watch) -> tuple[Booleans, Rows, Floats]:
    """Look at the next `BLOCK` blocks from each start, which is the first row of one; as `_rows`, with blocks."""
    blocks = (watch.start // BLOCK)[:, None] + np.arange(BLOCK)
    outside = blocks * BLOCK >= watch.end[:, None]
    blocks = np.minimum(blocks, len(ranges.block_high) - 1)
    high, low = ranges.block_high[blocks], ranges.block_low[blocks]
    high[outside], low[outside] = -np.inf, np.inf
    trailed = None if watch.factor is None else ranges.trailed(watch.factor)[blocks] & ~outside
    hit, place, peak = _first(high, low, trailed, watch._replace(start=watch.start // BLOCK))
    return hit, place, peak


def _first(high: Floats, low: Floats, trailed: Booleans | None, watch: Watch) -> tuple[Booleans, Rows, Floats]:
    """The first column of each line that reaches a level, and the highest price before it."""
    level = watch.stop[:, None]
    if watch.factor is None:
        reached = (low <= level) | (high >= watch.target[:, None])
        peaks = None
    else:
        peaks = np.maximum.accumulate(np.column_stack([watch.peak, high]), axis=1)
        reached = (low <= np.maximum(level, peaks[:, :-1] * watch.factor)) | (high >= watch.target[:, None])
        if trailed is not None:
            reached |= trailed
    hit: Booleans = np.any(reached, axis=1)
    column: Rows = np.argmax(reached, axis=1)
    if peaks is None:
        return hit, watch.start + column, watch.peak
    last = np.where(hit, column, high.shape[1])
    return hit, watch.start + column, peaks[np.arange(len(peaks)), last]
