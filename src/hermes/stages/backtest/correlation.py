"""How the returns of many series go together."""

import numpy as np

from hermes.stages.backtest.arrays import Floats
from hermes.stages.backtest.grid import Grid

#: Returns are summed over so many times together, so that the sums are the same to the bit however the bars were cut.
TIMES = 1024
#: Series and times in one product of matrices. OpenBLAS does so small a one without threads of its own: with them the
#: sums may depend on their number, and take a hundred times as long while other processes have the cores.
TILE, DEPTH = 32, 256
_FEWEST = 3  # shared returns
_STILL = 1e-18  # a variance up to this is none


class Correlation:
    """The correlation of the returns of every two series where both have a bar and the one before it."""

    def __init__(self, count: int) -> None:
        # Of every two: how many returns they share; sums of the one's, of its squares, of the products.
        self._count, self._sum, self._squares, self._products = np.zeros((4, count, count))
        # The last close up to each time, and whether there is a bar at it; the first column is the time ahead of them.
        self._closes, self._present = np.zeros((count, 1 + TIMES)), np.zeros((count, 1 + TIMES), np.bool_)
        self._waiting = 0

    def add(self, grid: Grid) -> None:
        """The next bars."""
        gaps = [(number, line.present()) for number, line in enumerate(grid.lines) if line.instants is not None]
        begin, end = 0, len(grid.times)
        while begin < end:
            count = min(TIMES - self._waiting, end - begin)
            to, of = slice(self._waiting + 1, self._waiting + 1 + count), slice(begin, begin + count)
            self._present[:, to] = True
            for number, line in enumerate(grid.lines):
                self._closes[number, to] = line.closes[of]
            for number, present in gaps:
                self._present[number, to] = present[of]
            self._waiting += count
            begin += count
            if self._waiting == TIMES:
                self._sum_up()

    def _sum_up(self) -> None:
        """Take in what waits."""
        last, self._waiting = self._waiting, 0
        closes, present = self._closes[:, : last + 1], self._present[:, : last + 1]
        shared = present[:, 1:] & present[:, :-1]
        everywhere = bool(shared.all())
        returns = closes[:, 1:] / (closes[:, :-1] if everywhere else np.where(shared, closes[:, :-1], 1.0)) - 1
        if not everywhere:
            returns = np.where(shared, returns, 0.0)
        _add_products(self._products, returns, returns, alike=True)
        squares = np.square(returns)
        if everywhere:
            self._count += last
            self._sum += returns.sum(axis=1)[:, None]
            self._squares += squares.sum(axis=1)[:, None]
        else:
            mask = shared.astype(np.float64)
            _add_products(self._count, mask, mask, alike=True)
            _add_products(self._sum, returns, mask)
            _add_products(self._squares, squares, mask)
        self._closes[:, 0], self._present[:, 0] = closes[:, -1], present[:, -1]

    def matrix(self) -> list[list[float | None]]:
        """Of every two; None where fewer than 3 returns are shared, or one of them does not vary."""
        if self._waiting:
            self._sum_up()
        count, products = (np.triu(each) + np.triu(each, 1).T for each in (self._count, self._products))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self._sum / count
            variance = self._squares / count - mean**2
            found = (products / count - mean * mean.T) / np.sqrt(variance * variance.T)
        known = (count >= _FEWEST) & (variance > _STILL) & (variance.T > _STILL)
        rows = np.clip(found, -1, 1).tolist()
        return [
            [value if there else None for value, there in zip(*each, strict=True)]
            for each in zip(rows, known.tolist(), strict=True)
        ]


def _add_products(to: Floats, one: Floats, other: Floats, *, alike: bool = False) -> None:
    """Add to a matrix the sums of products of every two rows; where both are alike, above the diagonal alone."""
    for begin in range(0, one.shape[1], DEPTH):
        left, right = one[:, begin : begin + DEPTH], other[:, begin : begin + DEPTH].T
        for row in range(0, len(one), TILE):
            for column in range(row if alike else 0, len(other), TILE):
                product = left[row : row + TILE] @ right[:, column : column + TILE]
                to[row : row + TILE, column : column + TILE] += product
