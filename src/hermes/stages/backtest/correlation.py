"""The correlation of the returns of many series."""

import numpy as np

from hermes.stages.backtest.arrays import Booleans, Floats
from hermes.stages.backtest.grid import Grid, Line

#: Returns are summed over so many times together, so that the sums are the same to the bit however the bars were cut.
TIMES = 1024
#: Series and times in one product of matrices; `TIMES` is a multiple of the latter. OpenBLAS does so small a one
#: without threads of its own: with them the sums may depend on their number, and take a hundred times as long while
#: other processes have the cores. NumPy does many of them in one call, and other threads go on meanwhile.
TILE, DEPTH = 32, 256
_CELLS = 2**20  # returns of all series, about, that are summed in one go: fewer would keep other threads waiting
_FEWEST = 3  # shared returns
_STILL = 1e-18  # a variance up to this is none


class Correlation:
    """The correlation of the returns of every two series where both have a bar and the one before it."""

    def __init__(self, count: int) -> None:
        # Of every two: how many returns they share; sums of the one's, of its squares, of the products.
        self._count, self._sum, self._squares, self._products = np.zeros((4, count, count))
        self._room = TIMES * max(1, _CELLS // (count * TIMES))
        # What waits to be summed: returns of the last times, and whether they are there.
        self._returns, self._shared = np.empty((count, self._room)), np.empty((count, self._room), np.bool_)
        self._waiting = 0
        self._present = np.zeros(count, np.bool_)  # whether there is a bar at the last time

    def add(self, grid: Grid) -> None:
        """The next bars."""
        presents = [None if line.instants is None else line.present() for line in grid.lines]
        begin, times = 0, len(grid.times)
        while begin < times:
            end = min(begin + self._room - self._waiting, times)
            for number, (line, present) in enumerate(zip(grid.lines, presents, strict=True)):
                self._fill(number, line, slice(begin, end), None if present is None else present[begin:end])
            self._waiting += end - begin
            begin = end
            if self._waiting == self._room:
                self._sum_up()

    def _fill(self, number: int, line: Line, of: slice, present: Booleans | None) -> None:
        """The returns of one series at some of the times, 0 where they are not there; `present`: None for all."""
        closes, before = line.closes[of], line.close(of.start - 1)
        to = slice(self._waiting, self._waiting + len(closes))
        returns, shared = self._returns[number, to], self._shared[number, to]
        shared[:] = True if present is None else present
        shared[1:] &= shared[:-1]
        last, self._present[number] = self._present[number], present is None or present[-1]
        if not last:
            shared[0] = False
        returns[0] = closes[0] / before if shared[0] else 1.0
        if present is None:
            np.divide(closes[1:], closes[:-1], out=returns[1:])
        else:
            returns[1:] = closes[1:] / np.where(shared[1:], closes[:-1], 1.0)
        returns -= 1
        if present is not None:
            returns[~shared] = 0.0

    def _sum_up(self) -> None:
        """Add the pending bars."""
        returns, shared, self._waiting = self._returns[:, : self._waiting], self._shared[:, : self._waiting], 0
        _add_products(self._products, returns, returns, alike=True)
        for begin in range(0, returns.shape[1], TIMES):
            some, there = returns[:, begin : begin + TIMES], shared[:, begin : begin + TIMES]
            squares = np.square(some)
            if there.all():
                self._count += some.shape[1]
                self._sum += some.sum(axis=1)[:, None]
                self._squares += squares.sum(axis=1)[:, None]
            else:
                mask = there.astype(np.float64)
                _add_products(self._count, mask, mask, alike=True)
                _add_products(self._sum, some, mask)
                _add_products(self._squares, squares, mask)

    def matrix(self) -> list[list[float | None]]:
        """Of every two; None where fewer than 3 returns are shared, or one of them does not vary."""
        self._sum_up()
        count, products = (np.triu(each) + np.triu(each, 1).T for each in (self._count, self._products))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self._sum / count
            variance = self._squares / count - mean**2
            found = (products / count - mean * mean.T) / np.sqrt(variance * variance.T)
        known = (count >= _FEWEST) & (variance > _STILL) & (variance.T > _STILL)
        rows = np.clip(found, -1, 1).astype(object)
        rows[~known] = None
        matrix: list[list[float | None]] = rows.tolist()
        return matrix


def _add_products(to: Floats, one: Floats, other: Floats, *, alike: bool = False) -> None:
    """Add to a matrix the sums of products of every two rows; where both are alike, above the diagonal alone.

    Sums are added `DEPTH` times after one another, each of them in tiles.
    """
    count, times = one.shape
    whole, deep = count - count % TILE, times - times % DEPTH
    for begin, end, depth in ((0, deep, DEPTH), (deep, times, times - deep)):
        if begin == end:
            continue
        for row in range(0, count, TILE):
            left = one[row : row + TILE, begin:end]
            for first, last, width in ((row if alike else 0, whole, TILE), (whole, count, count - whole)):
                if first < last:
                    part = to[row : row + TILE, first:last]
                    part[:] = _tiles(part, left, other[first:last, begin:end], width, depth)


def _tiles(to: Floats, left: Floats, right: Floats, width: int, depth: int) -> Floats:
    """`to` and the products of `left` with tiles of so many rows of `right`, over so many times together."""
    rows, times = left.shape
    before = to.reshape(rows, -1, width).transpose(1, 0, 2)
    lefts = left.reshape(rows, 1, -1, depth).transpose(2, 1, 0, 3)
    rights = right.reshape(-1, width, times // depth, depth).transpose(2, 0, 3, 1)
    found: Floats = np.add.reduce(np.concatenate([before[None], lefts @ rights]), axis=0)
    return found.transpose(1, 0, 2).reshape(rows, -1)
