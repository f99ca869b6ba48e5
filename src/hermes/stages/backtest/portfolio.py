"""One cash, many series: entries and exits of all of them in the order of time.

Within one instant positions are closed before others are opened; entries that coincide come by their rank, the highest
first, then by symbol. What an entry is for depends on the equity when it is decided, and on nothing that comes later.
A portfolio of one series is the account of `trading`, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from hermes.stages.backtest.account import VOLATILITY_BARS, Account, Asked, Size, Turns, turns
from hermes.stages.backtest.arrays import Booleans, Floats, Rows, Times
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.entries import Entries
from hermes.stages.backtest.exits import Exits
from hermes.stages.backtest.funding import Charges, close_times
from hermes.stages.backtest.merge import Leg, Merge
from hermes.stages.backtest.orders import Orders
from hermes.stages.backtest.trades import Outcomes, Trades
from hermes.stages.backtest.walk import Held


class Piece(NamedTuple):
    """The next bars of one series: what their signals ask for, and by what entries that they ask for are ranked."""

    bars: Bars
    wanted: Asked
    rank: Floats | None = None


class Curve(NamedTuple):
    """The account at the closes of successive times.

    Attributes:
        equity: in the account's money; value: of all that is held, net of what is owed; gross: longs and shorts added.
        positions: how many are held; changed: whether an order was filled; traded: the value of such orders.
    """

    times: Times
    equity: Floats
    value: Floats
    gross: Floats
    positions: Rows
    changed: Booleans
    traded: Floats


@dataclass(slots=True)
class _Series:
    """What is known of one series between two blocks of bars."""

    trades: Trades
    held: Held | None = None
    bars: int = 0
    resume: int = 0  # the first bar at which an entry may fill
    dropped: int = 0
    last_time: np.datetime64 | None = None
    last_close: float = 0.0
    last_rank: float = -np.inf
    unfilled: Asked = field(default_factory=lambda: Asked(np.empty(0, np.intp), np.empty(0, np.uint8)))
    past: Floats = field(default_factory=lambda: np.empty(0))


class Portfolio:
    """One account on its way through many series. However the bars are cut by time, the figures are the same.

    Args:
        account: the terms. `all` means an equal part of the equity for each of `max_positions`.
        symbols: of the series, in the order in which their pieces come; coinciding entries of one rank keep it.
        max_positions: held at once, at most.
    """

    def __init__(self, account: Account, symbols: Sequence[str], max_positions: int) -> None:
        self._account, self._most = account, max_positions
        self._orders, self._exits = Orders(account, 1 / max_positions), Exits(account)
        self._at_open = account.fill == "next_open"
        self._by_volatility = Size.of(account.size).kind == "volatility"
        self.symbols = list(symbols)
        self._series = [_Series(Trades(inverse=account.inverse)) for _ in symbols]
        self._cash = account.initial_cash

    def advance(self, pieces: Sequence[Piece | None]) -> Curve:
        """The next bars of every series, None for one that has none: all of those up to some time, at least one."""
        times = _common([piece.bars.times for piece in pieces if piece])
        legs = [self._leg(number, piece, times) for number, piece in enumerate(pieces)]
        merge = Merge(self._account, self._orders, self._exits, legs, times, self._cash, self._most)
        merge.run()
        self._cash = merge.cash
        for series, piece, leg in zip(self._series, pieces, legs, strict=True):
            self._keep(series, piece, leg, merge)
        return Curve(times, merge.equity, merge.value, merge.gross, merge.positions, merge.changed, merge.traded)

    def _leg(self, number: int, piece: Piece | None, times: Times) -> Leg:
        """One series on the common times of the next bars."""
        series = self._series[number]
        last = 1 / series.last_close if self._account.inverse and series.last_close else series.last_close
        if piece is None:
            resume = series.resume - series.bars
            return Leg(number=number, times=times, first=series.bars, held=series.held, last_worth=last, resume=resume)
        bars, wanted, rank = piece
        ranks = np.full(len(bars), -np.inf) if rank is None else np.where(np.isnan(rank), -np.inf, rank)
        if self._at_open:
            rows = np.concatenate([series.unfilled.rows, wanted.rows + 1])
            later = Asked(rows, np.concatenate([series.unfilled.bits, wanted.bits]))
            series.unfilled = later.between(len(bars), len(bars) + 1)
            wanted = later.between(0, len(bars))
            ranks, series.last_rank = np.concatenate([[series.last_rank], ranks[:-1]]), float(ranks[-1])
        found = turns(wanted, self._account, alone=False)
        quotes = bars.opens if self._at_open else bars.close
        charges: Charges | None = None
        if bars.funding:
            end = series.last_time
            if end is not None:
                end = close_times(np.array([end]), bars.funding.interval_seconds)[0]
            charges = bars.funding.on(bars.times, bars.close, end, series.last_close)
        return Leg(
            number=number,
            bars=bars,
            first=series.bars,
            held=series.held,
            entries=Entries(self._exits, bars, quotes, self._orders.slippage, found).all(),
            ranks=ranks[found.enter],
            ends=self._end_of_held(series, bars, quotes, found),
            worths=1 / bars.close if self._account.inverse else bars.close,
            last_worth=last,
            charges=charges,
            times=times,
            resume=series.resume - series.bars,
            past=series.past if self._by_volatility else None,
        )

    def _end_of_held(self, series: _Series, bars: Bars, quotes: Floats, found: Turns) -> tuple[int, int, float] | None:
        held = series.held
        if held is None:
            return None
        assert held.levels
        return self._exits.ends_of(bars, quotes, found, held.bar - series.bars, held.side, held.levels).end(0)

    def _keep(self, series: _Series, piece: Piece | None, leg: Leg, merge: Merge) -> None:
        """Remember of a series what the next bars need."""
        series.held, series.resume = merge.held.get(leg.number), leg.first + leg.resume
        series.dropped += leg.dropped
        times = piece.bars.times if piece else np.empty(0, "datetime64[us]")
        before = series.last_time if series.last_time is not None else times[:1]
        entered, left = leg.records()
        series.trades.add(np.concatenate([np.atleast_1d(before), times]), series.bars - 1, entered, left)
        if piece is None:
            return
        bars = piece.bars
        if held := series.held:
            levels = held.levels or self._exits.levels(np.array([held.side]), np.array([held.price]))
            held.levels = self._exits.raised(bars, held.bar - series.bars, held.side, levels)
        series.bars += len(bars)
        series.last_time, series.last_close = bars.times[-1], float(bars.close[-1])
        if self._by_volatility:
            series.past = np.concatenate([series.past, bars.close])[-VOLATILITY_BARS - 1 :]

    def outcomes(self) -> list[Outcomes]:
        """What became of the trades of each series so far."""
        return [
            each.trades.outcomes(each.bars, each.last_close, each.held.funding if each.held else 0.0, each.dropped)
            for each in self._series
        ]

    def trades(self) -> list[pl.DataFrame]:
        """One row per trade of each series, see `Trades.frame`."""
        return [
            each.trades.frame(each.bars, each.last_close, each.held.funding if each.held else 0.0)
            for each in self._series
        ]


def _common(times: list[Times]) -> Times:
    """All times, each once, in order."""
    first = times[0]
    if all(len(each) == len(first) and (each is first or np.array_equal(each, first)) for each in times[1:]):
        return first
    return np.unique(np.concatenate(times))
