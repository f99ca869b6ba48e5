"""Where the series of a portfolio may be entered, and where a position of each entry would end."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import Account, Asked, turns
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.entries import Entries
from hermes.stages.backtest.exits import REACHED_LEVELS, Exits
from hermes.stages.backtest.funding import CLOSED, OPENED, PHASES, REACHED
from hermes.stages.backtest.grid import Grid

BATCH_BARS = 131_072  # bars of several series, about, whose entries are looked at together


class Asking(NamedTuple):
    """The bars of one series, what is asked for at each, and how entries there are ranked; None: all alike."""

    number: int
    bars: Bars
    wanted: Asked
    ranks: Floats | None


class Candidates(NamedTuple):
    """Entries in the order in which they are tried: by time, then by rank, then by series.

    Attributes:
        keys: when each fills, see `funding.PHASES`, of the common times; numbers: of the series.
        rows: of the series; sides: 1 for a long; quotes: before slippage.
        end_keys: when its position would end, beyond all times where that is not on these bars; end_rows, reasons,
            end_quotes: see `exits.Ends`.
    """

    keys: list[int]
    numbers: list[int]
    rows: list[int]
    sides: list[int]
    quotes: list[float]
    end_keys: list[int]
    end_rows: list[int]
    reasons: list[int]
    end_quotes: list[float]


def candidates(account: Account, exits: Exits, asking: Sequence[Asking], grid: Grid) -> Candidates:
    """All entries that series ask for on some bars."""
    parts = [_of_several(account, exits, some, grid) for some in _several(asking)]
    keys, numbers, ranks, *others = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((numbers, -ranks, keys))
    return Candidates(*(each[order].tolist() for each in (keys, numbers, *others)))


def _several(asking: Sequence[Asking]) -> Iterator[list[Asking]]:
    """Some series at a time, at least one."""
    some: list[Asking] = []
    for each in asking:
        if some and sum(len(one.bars) for one in some) + len(each.bars) > BATCH_BARS:
            yield some
            some = []
        some.append(each)
    yield some


def _of_several(account: Account, exits: Exits, asking: Sequence[Asking], grid: Grid) -> tuple[Rows | Floats, ...]:
    """The entries of some series, whose bars are put one after the other: keys, numbers, ranks, and the others."""
    at_open = account.fill == "next_open"
    bars = Bars.joined([each.bars for each in asking])
    ends = np.cumsum([len(each.bars) for each in asking])
    begins = ends - [len(each.bars) for each in asking]
    rows = [each.wanted.rows + begin for each, begin in zip(asking, begins, strict=True)]
    wanted = Asked(np.concatenate(rows), np.concatenate([each.wanted.bits for each in asking]))
    found = turns(wanted, account, alone=False)
    which = np.searchsorted(ends, found.enter, side="right")
    quotes = bars.opens if at_open else bars.close
    entries = Entries(exits, bars, quotes, account.slippage_bps / 10_000, found, ends[which])
    _, entry, side, quote, _, (row, reason, end_quote), _ = entries.all()

    ranks = np.full(len(entry), -np.inf)
    if any(each.ranks is not None for each in asking):
        none = [np.full(len(each.bars), -np.inf) if each.ranks is None else each.ranks for each in asking]
        ranks = np.concatenate(none)[entry]
    goes_on = row == ends[which]
    entry, row = entry - begins[which], row - begins[which]
    at, end = entry.copy(), row.copy()  # among the common times
    for number, each in enumerate(asking):
        instants = grid.lines[each.number].instants
        if instants is not None:
            mine = which == number
            at[mine], end[mine] = instants[entry[mine]], np.append(instants, 0)[row[mine]]
    phase = OPENED if at_open else CLOSED
    end_keys = end * PHASES + np.where(np.isin(reason, REACHED_LEVELS), REACHED, phase)
    end_keys[goes_on] = len(grid.times) * PHASES
    numbers = np.array([each.number for each in asking])[which]
    return at * PHASES + phase, numbers, ranks, entry, side, quote, end_keys, row, reason, end_quote
