"""The trades of one account on many series."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.arrays import Floats, Rows, Times
from hermes.stages.backtest.trades import ENTRY, EXIT, Records


class StillOpen(NamedTuple):
    """A position that is held: the number of its series, how many bars that has, its last close, the funding paid."""

    number: int
    bars: int
    last_close: float
    funding: float


class PortfolioTrades:
    """The trades of one account on many series, in order; the account adds them as it goes."""

    def __init__(self, *, inverse: bool) -> None:
        self._inverse = inverse
        self._entered: list[Floats] = [np.empty((0, len(ENTRY) + 1))]
        self._left: list[Floats] = [np.empty((0, len(EXIT) + 1))]
        self._entry_times: list[Times] = [np.empty(0, "datetime64[us]")]
        self._exit_times: list[Times] = [np.empty(0, "datetime64[us]")]

    def add(self, times: Times, entered: Floats, left: Floats) -> None:
        """Entries and exits: place among these times, number of the series, then `ENTRY` or `EXIT`; a row for each."""
        self._entered.append(entered[:, 1:])
        self._left.append(left[:, 1:])
        self._entry_times.append(times[entered[:, 0].astype(np.intp)])
        self._exit_times.append(times[left[:, 0].astype(np.intp)])

    def records(self, still_open: Sequence[StillOpen]) -> tuple[Records, Rows]:
        """All trades so far, and the numbers of their series; see `Portfolio.trades`."""
        entered, left = np.concatenate(self._entered), np.concatenate(self._left)
        entries, exits = np.concatenate(self._entry_times), np.concatenate(self._exit_times)
        # A series has one position at a time: its exits follow its entries one by one.
        into, out = np.argsort(entered[:, 0], kind="stable"), np.argsort(left[:, 0], kind="stable")
        numbers = entered[into, 0].astype(np.intp)
        last = np.append(np.diff(numbers) > 0, np.ones(min(len(numbers), 1), np.bool_))
        going = last & np.isin(numbers, [each.number for each in still_open])
        closed, open_ones = into[~going], into[going]
        order = np.argsort(exits[out], kind="stable")
        closed, out = closed[order], out[order]
        rows = np.concatenate([closed, open_ones])
        gone = np.array([(each.bars, each.last_close, 0.0, 0.0, each.funding) for each in still_open])
        records = Records(
            entered[rows, 1:],
            np.concatenate([left[out, 1:], gone.reshape(-1, len(EXIT))]),
            entries[rows],
            exits[out],
            self._inverse,
        )
        return records, entered[rows, 0].astype(np.intp)
