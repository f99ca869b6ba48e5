"""Where the series of a portfolio may be entered, and where signals ask positions to end."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
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


class Leaving(NamedTuple):
    """Rows of one series at which longs and shorts have to end, ascending."""

    long: list[int]
    short: list[int]


class Candidates(NamedTuple):
    """Entries in the order in which they are tried: by time, then by rank, then by series.

    Attributes:
        keys: when each fills, see `funding.PHASES`, of the common times; numbers: of the series.
        rows: of the series; sides: 1 for a long; quotes: before slippage.
    """

    keys: list[int]
    numbers: list[int]
    rows: list[int]
    sides: list[int]
    quotes: list[float]


def candidates(
    account: Account, series: Sequence[SeriesSignals], grid: Grid
) -> tuple[Candidates, Mapping[int, Leaving]]:
    """All signalled entries of the series on some bars, and by the number of a series where its positions must end.

    Args:
        series: at least one, in the order of their numbers.
    """
    at_open = account.fill == "next_open"
    rows = np.concatenate([each.wanted.rows for each in series])
    ends = np.cumsum([len(each.wanted.rows) for each in series])
    # Of all series together: the signals are numbered in place of the bars.
    bits = np.concatenate([each.wanted.bits for each in series])
    enter, side, leave_long, leave_short = transitions(SignalEvents(np.arange(len(rows)), bits), account, alone=False)
    leave = (_by_series(rows[each], each, ends) for each in (leave_long, leave_short))
    leaving = {each.number: Leaving(*lists) for each, *lists in zip(series, *leave, strict=True)}

    entries = np.split(rows[enter], np.searchsorted(enter, ends[:-1]))
    at, quotes, ranks = list[Rows](), list[Floats](), list[Floats]()
    for each, entry in zip(series, entries, strict=True):
        instants = grid.lines[each.number].instants
        at.append(entry if instants is None else instants[entry])
        quotes.append((each.bars.opens if at_open else each.bars.close)[entry])
        ranks.append(np.full(len(entry), -np.inf) if each.ranks is None else each.ranks[entry])
    keys = np.concatenate(at) * PHASES + (OPENED if at_open else CLOSED)
    order = np.lexsort((-np.concatenate(ranks), keys))  # of one key and rank, series stay in their order
    numbers = np.repeat([each.number for each in series], [len(entry) for entry in entries])
    columns = keys, numbers, np.concatenate(entries), side, np.concatenate(quotes)
    return Candidates(*(each[order].tolist() for each in columns)), leaving


def _by_series(rows: Rows, places: Rows, ends: Rows) -> list[list[int]]:
    """Rows at some of the places of all series, which end at these: those of each."""
    cuts = [0, *np.searchsorted(places, ends).tolist()]
    found = rows.tolist()
    return [found[begin:end] for begin, end in pairwise(cuts)]
