"""The correlation of the returns of many series."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hermes.stages.backtest.arrays import Booleans, Floats
from hermes.stages.backtest.grid import Grid, Line

#: Returns are summed over so many times together, so that the sums are the same to the bit however the bars were cut.
TIMES = 1280
#: Series and times in one product of matrices; `TIMES` is a multiple of the latter. OpenBLAS does so small a one
#: without threads of its own: with them the sums may depend on their number, and take a hundred times as long while
#: other processes have the cores. NumPy does all of them in one call, and other threads go on meanwhile.
TILE, DEPTH = 40, 160
_CELLS = 2**22  # returns of all series, about, that are summed in one go: of fewer calls each waits for other threads
_FEWEST = 3  # shared returns
_STILL = 1e-18  # a variance up to this is none


class Correlation:
    """The correlation of the returns of every two series where both have a bar and the one before it.

    Sums over every two series are kept in tiles: at `[d, i]` those of the tile `i` of series with the tile `i + d`,
    which goes on with the first one after the last. Where both are alike, half of the distances `d` are enough.
    """

    def __init__(self, count: int) -> None:
        tile = min(TILE, count)
        tiles = -(-count // tile)
        self._series, self._rows, near = count, tiles * tile, tiles // 2 + 1
        # Of every two: how many returns they share, the products; sums of the one's, of its squares.
        self._count, self._products = np.zeros((2, near, tiles, tile, tile))
        self._sum, self._squares = np.zeros((2, tiles, tiles, tile, tile))
        self._room = TIMES * max(1, _CELLS // (count * TIMES))
        # What waits to be summed: returns of the last times, in whole tiles, the first of them once more after the
        # last; and whether they are there.
        self._returns = np.zeros((self._rows + (near - 1) * tile, self._room))
        self._shared = np.empty((count, self._room), np.bool_)
        self._waiting = 0
        self._present = np.zeros(count, np.bool_)  # whether there is a bar at the last time

    def take(self, grid: Grid) -> None:
        """The returns of the next bars, to be summed up."""
        presents = [None if line.instants is None else line.present() for line in grid.lines]
        begin, times = 0, len(grid.times)
        while begin < times:
            end = min(begin + self._room - self._waiting, times)
            for number, (line, present) in enumerate(zip(grid.lines, presents, strict=True)):
                self._fill(number, line, slice(begin, end), None if present is None else present[begin:end])
            self._waiting += end - begin
            begin = end
            if self._waiting == self._room:
                self.sum_up()

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

    def sum_up(self) -> None:
        """Add what was taken, up to a multiple of `TIMES`: most of it while other threads go on."""
        times = self._waiting - self._waiting % TIMES
        if times:
            self._add(times)
            for each in (self._returns, self._shared):
                each[:, : self._waiting - times] = each[:, times : self._waiting]
            self._waiting -= times

    def _add(self, times: int) -> None:
        """Add the first pending returns."""
        around = self._returns[:, :times]
        around[self._rows :] = around[: len(around) - self._rows]
        returns = around[: self._rows]
        _add_products(self._products, returns, around)
        for begin in range(0, times, TIMES):
            some, there = returns[:, begin : begin + TIMES], self._shared[:, begin : min(begin + TIMES, times)]
            if there.all():
                self._count += some.shape[1]
                self._sum += some.sum(axis=1).reshape(*self._sum.shape[1:3], 1)
                self._squares += np.einsum("rt,rt->r", some, some).reshape(*self._squares.shape[1:3], 1)
            else:
                mask = np.zeros(some.shape)
                mask[: self._series] = there
                mask = np.concatenate([mask, mask])
                _add_products(self._count, mask[: self._rows], mask)
                _add_products(self._sum, some, mask)
                _add_products(self._squares, np.square(some), mask)

    def matrix(self) -> list[list[float | None]]:
        """Of every two; None where fewer than 3 returns are shared, or one of them does not vary."""
        self.sum_up()
        if self._waiting:
            self._add(self._waiting)
        count, products, total, squares = (
            _unfolded(each)[: self._series, : self._series]
            for each in (self._count, self._products, self._sum, self._squares)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = total / count
            variance = squares / count - mean**2
            found = (products / count - mean * mean.T) / np.sqrt(variance * variance.T)
        known = (count >= _FEWEST) & (variance > _STILL) & (variance.T > _STILL)
        rows = np.clip(found, -1, 1).astype(object)
        rows[~known] = None
        matrix: list[list[float | None]] = rows.tolist()
        return matrix


def _add_products(to: Floats, one: Floats, other: Floats) -> None:
    """Add to tiles the sums of products of every two rows, `DEPTH` times after one another.

    Args:
        other: after its last row the first ones come once more, at least for the distances of `to`.
    """
    near, tiles, tile, _ = to.shape
    times = one.shape[1]
    deep = times - times % DEPTH
    for begin, end, depth in ((0, deep, DEPTH), (deep, times, times - deep)):
        if begin == end:
            continue
        left = one[:, begin:end].reshape(tiles, tile, -1, depth)
        right = other[: (tiles + near - 1) * tile, begin:end].reshape(tiles + near - 1, tile, -1, depth)
        rights = sliding_window_view(right, tiles, axis=0)  # by distance: of each tile the one that is so far from it
        found = left.transpose(2, 0, 1, 3)[:, None] @ rights.transpose(2, 0, 4, 3, 1)
        found[0] += to
        np.add.reduce(found, axis=0, out=to)


def _unfolded(sums: Floats) -> Floats:
    """Tiles of sums → those of every two rows; of two distances that are not there, the sums of the other are alike."""
    near, tiles, tile, _ = sums.shape
    found: NDArray[np.float64] = np.empty((tiles, tile, tiles, tile))
    row = np.arange(tiles)
    for distance in range(near):
        found[(row + distance) % tiles, :, row] = sums[distance].transpose(0, 2, 1)
    for distance in range(near):
        found[row, :, (row + distance) % tiles] = sums[distance]
    return found.reshape(tiles * tile, -1)
