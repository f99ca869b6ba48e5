"""Equity at the closes of bars, as a step function."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.arrays import Floats, Rows

#: Steps that are processed at once: arrays of them stay in the processor's cache, and the memory of larger ones is
#: given back to the system and asked for again each time, which takes longer than most of what is done with them.
BLOCK_STEPS = 16_000


class Steps(NamedTuple):
    """Equity at the closes of some bars, as a step function: a bar that leaves it as it was is not in here.

    Attributes:
        bars: how many bars these are.
        rows: at which of them, counted from 0, a step begins; the first begins at 0, each lasts until the next.
        equity: of each step, in the account's money; what is held is valued at the close, with no exit fee.
        size: held during each step, in units of the base currency, negative for a short; 0 while flat. A step with
            something held lasts one bar.
        value: of what is held, in the account's money, negative for what is owed.
    """

    bars: int
    rows: Rows
    equity: Floats
    size: Floats
    value: Floats

    def parts(self) -> Iterator[tuple[int, int, "Steps"]]:
        """At most `BLOCK_STEPS` steps at a time, with the bars from and up to which they are."""
        edges = [*self.rows[::BLOCK_STEPS].tolist(), self.bars]
        for number, (begin, end) in enumerate(pairwise(edges)):
            some = slice(number * BLOCK_STEPS, (number + 1) * BLOCK_STEPS)
            yield begin, end, Steps(end - begin, self.rows[some] - begin, *(each[some] for each in self[2:]))

    def returns(self, before: float) -> Floats:
        """Of the bars at which a step begins, where equity was `before` ahead of them; of all others it is 0."""
        values = np.concatenate([[before], self.equity])
        base = values[:-1]
        returns: Floats = values[1:] - base
        if base.all():  # several times as fast
            returns /= base
            return returns
        np.divide(returns, base, out=returns, where=base != 0)
        returns[base == 0] = 0.0
        return returns

    @property
    def lengths(self) -> Rows:
        """How many bars each step lasts."""
        return lengths(self.rows, self.bars)


def lengths(rows: Rows, end: int) -> Rows:
    """How long what begins at each of ascending rows lasts until the next one, the last until an end."""
    found = np.empty(len(rows), np.intp)
    np.subtract(rows[1:], rows[:-1], out=found[:-1])
    found[-1:] = end - rows[-1:]
    return found


def steps_of(rows: Rows, cash: Floats, units: Floats, worths: Floats) -> Steps:
    """States of an account → its equity.

    Args:
        rows: at which each state begins, the first at 0; cash, units: from then on.
        worths: one unit at the closes.

    From one state to the next cash and units stand still, and while flat so does equity: one step is enough for that.
    """
    lasting = lengths(rows, len(worths))
    counts = np.where(units != 0, lasting, np.minimum(lasting, 1))
    places = np.repeat(rows - np.cumsum(counts) + counts, counts)
    places += np.arange(len(places))
    equity, units = np.repeat(cash, counts), np.repeat(units, counts)
    value = worths.take(places)
    value *= units
    equity += value
    return Steps(len(worths), places, equity, units, value)
