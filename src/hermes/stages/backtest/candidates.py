"""Where the series of a portfolio may be entered, and where signals ask positions to end."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import Account, SignalEvents, transitions
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.funding import CLOSED, OPENED, PHASES
from hermes.stages.backtest.grid import Grid


class SeriesSignals(NamedTuple):
    """The bars of one series, their signals, and the ranks of entries; None: all alike."""

    number: int
    bars: Bars
    wanted: SignalEvents
    ranks: Floats | None


class Dues(NamedTuple):
    """The rows of one series at which signals first end a long and a short that are held when its bars begin."""

    long: int
    short: int


class Candidates(NamedTuple):
    """Entries in the order in which they are tried: by time, then by rank, then by series.

    Attributes:
        keys: when each fills, see `funding.PHASES`, of the common times; numbers: of the series.
        rows: of the series; sides: 1 for a long; quotes: before slippage.
        dues: the rows of the series at which signals end the positions, as many as it has bars where none does.
    """

    keys: list[int]
    numbers: list[int]
    rows: list[int]
    sides: list[int]
    quotes: list[float]
    dues: list[int]


def candidates(account: Account, series: Sequence[SeriesSignals], grid: Grid) -> tuple[Candidates, Mapping[int, Dues]]:
    """All signalled entries of the series on some bars, and by the number of a series what ends positions held then.

    Args:
        series: at least one, in the order of their numbers.
    """
    at_open = account.fill == "next_open"
    rows = np.concatenate([each.wanted.rows for each in series])
    ends = np.cumsum([len(each.wanted.rows) for each in series])
    # Of all series together: the signals are numbered in place of the bars.
    bits = np.concatenate([each.wanted.bits for each in series])
    enter, side, leave_long, leave_short = transitions(SignalEvents(np.arange(len(rows)), bits), account, alone=False)
    places = np.searchsorted(ends, enter, side="right")  # of the series among these
    lengths = np.array([len(each.bars) for each in series])

    def due(leave: Rows, first: Rows, of: Rows | slice) -> Rows:
        """The row of the first of some signals from each one on, within its series."""
        following = np.append(leave, len(rows))[np.searchsorted(leave, first)]
        return np.where(following < ends[of], np.append(rows, 0)[following], lengths[of])

    held = (due(leave, np.append(0, ends[:-1]), slice(None)).tolist() for leave in (leave_long, leave_short))
    dues = {each.number: Dues(*rows) for each, *rows in zip(series, *held, strict=True)}

    entries = np.split(rows[enter], np.searchsorted(enter, ends[:-1]))
    instants, quotes = list[Rows](), list[Floats]()
    for each, entry in zip(series, entries, strict=True):
        line = grid.lines[each.number]
        instants.append(entry if line.instants is None else line.instants[entry])
        quotes.append((each.bars.opens if at_open else each.bars.close)[entry])
    keys = np.concatenate(instants) * PHASES + (OPENED if at_open else CLOSED)
    longs, shorts = due(leave_long, enter + 1, places), due(leave_short, enter + 1, places)
    numbers = np.array([each.number for each in series])[places]
    columns = keys, numbers, rows[enter], side, np.concatenate(quotes), np.where(side > 0, longs, shorts)
    order = _order(keys, [each.ranks for each in series], entries)
    return Candidates(*(each[order].tolist() for each in columns)), dues


def _order(keys: Rows, ranks: Sequence[Floats | None], entries: Sequence[Rows]) -> Rows:
    """The order of entries by key, then by rank; of one key and rank, series stay in their order."""
    if all(each is None for each in ranks):
        return np.argsort(keys, kind="stable")
    found = [
        np.full(len(entry), -np.inf) if each is None else each[entry]
        for each, entry in zip(ranks, entries, strict=True)
    ]
    return np.lexsort((-np.concatenate(found), keys))
