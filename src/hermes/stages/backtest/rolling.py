"""The Sharpe ratio of a window that moves over the bars."""

from math import sqrt

import numpy as np

from hermes.stages.backtest.arrays import Floats


def rolling_sharpe(sums: Floats, squares: Floats, counts: Floats, groups: int, periods_per_year: float) -> Floats:
    """The annualized Sharpe ratio of the last `groups` groups of bars, at the end of each group.

    Args:
        sums, squares, counts: of the per-bar returns (fractions) in each group of bars: their sum, the sum of their
            squares, and how many they are; a group may be a single bar.
        groups: length of the window.
        periods_per_year: bars of a year.

    Returns:
        One value for each group: mean / deviation (ddof 1) √periods as `Metrics.sharpe`; NaN before the first window is
        full, and where nothing moved in it.
    """
    found = np.full(len(sums), np.nan)
    if groups < 1 or groups > len(sums):
        return found
    total, square, count = (_windows(each, groups) for each in (sums, squares, counts))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (square - total**2 / count) / (count - 1)
        known = (variance > 0) & (count > 1)
        found[groups - 1 :] = np.where(known, total / count / np.sqrt(variance), np.nan) * sqrt(periods_per_year)
    return found


def _windows(values: Floats, length: int) -> Floats:
    """The sum of every window of this length."""
    running = np.concatenate([[0.0], np.cumsum(values)])
    difference: Floats = running[length:] - running[:-length]
    return difference
