"""How the returns of many series go together."""

import numpy as np

from hermes.stages.backtest.arrays import Booleans, Floats
from hermes.stages.backtest.grid import Grid

#: Returns are summed over so many times together, so that the sums are the same to the bit however the bars were cut.
TIMES = 256
#: Series in one product of matrices. OpenBLAS multiplies matrices of 32 x 256 without threads of its own: with them the
#: sums may depend on their number, and take a hundred times as long while other processes have the cores.
TILE = 32
_FEWEST = 3  # shared returns
_STILL = 1e-18  # a variance up to this is none


class Correlation:
    """The correlation of the returns of every two series where both have a bar and the one before it."""

    def __init__(self, count: int) -> None:
        # Of every two: how many returns they share; sums of the one's, of its squares, of the products.
        self._count, self._sum, self._squares, self._products = np.zeros((4, count, count))
        self._returns, self._shared = np.zeros((count, TIMES)), np.ones((count, TIMES), np.bool_)
        self._waiting = 0

    def add(self, grid: Grid) -> None:
        """The next bars."""
        begin, end = 0, len(grid.times)
        while begin < end:
            count = min(TIMES - self._waiting, end - begin)
            closes, here = grid.closes[:, begin : begin + count + 1], slice(self._waiting, self._waiting + count)
            shared = None
            if grid.present is not None:
                present = grid.present[:, begin : begin + count + 1]
                shared = present[:, 1:] & present[:, :-1]
            if shared is None or shared.all():
                self._returns[:, here], self._shared[:, here] = closes[:, 1:] / closes[:, :-1] - 1, True
            else:
                returns = closes[:, 1:] / np.where(shared, closes[:, :-1], 1.0) - 1
                self._returns[:, here], self._shared[:, here] = np.where(shared, returns, 0.0), shared
            self._waiting += count
            begin += count
            if self._waiting == TIMES:
                self._sum_up(self._returns, self._shared)
                self._waiting = 0

    def _sum_up(self, returns: Floats, shared: Booleans) -> None:
        _add_products(self._products, returns, returns, alike=True)
        squares = np.square(returns)
        if shared.all():
            self._count += returns.shape[1]
            self._sum += returns.sum(axis=1)[:, None]
            self._squares += squares.sum(axis=1)[:, None]
            return
        mask = shared.astype(np.float64)
        _add_products(self._count, mask, mask, alike=True)
        _add_products(self._sum, returns, mask)
        _add_products(self._squares, squares, mask)

    def matrix(self) -> list[list[float | None]]:
        """Of every two; None where fewer than 3 returns are shared, or one of them does not vary."""
        if self._waiting:
            self._sum_up(self._returns[:, : self._waiting], self._shared[:, : self._waiting])
            self._waiting = 0
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
    for row in range(0, len(one), TILE):
        for column in range(row if alike else 0, len(other), TILE):
            to[row : row + TILE, column : column + TILE] += one[row : row + TILE] @ other[column : column + TILE].T
