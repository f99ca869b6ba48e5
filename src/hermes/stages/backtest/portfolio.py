"""One account on many series: entries and exits of all of them in order of time.

Within one instant positions are closed before others are opened; entries that coincide come by their rank, the highest
first, then by symbol. What an entry is for depends on the equity when it is decided, and on nothing that comes later.
A portfolio of one series is the account of `trading`, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import VOLATILITY_BARS, Account, SignalEvents, Size
from hermes.stages.backtest.account_state import OpenPosition
from hermes.stages.backtest.arrays import Booleans, Floats, Rows, Times
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.candidates import Candidates, Dues, SeriesSignals, candidates
from hermes.stages.backtest.exits import Exits
from hermes.stages.backtest.funding import close_times
from hermes.stages.backtest.grid import Grid, Grids
from hermes.stages.backtest.leg import Leg
from hermes.stages.backtest.merge import Merge
from hermes.stages.backtest.orders import Orders
from hermes.stages.backtest.portfolio_trades import PortfolioTrades, StillOpen
from hermes.stages.backtest.trades import Records


class Piece(NamedTuple):
    """The next bars of one series, with their signals and the ranks of their entries."""

    bars: Bars
    wanted: SignalEvents
    rank: Floats | None = None


class Prospect(NamedTuple):
    """The possible orders on the next bars: closes, series and entries."""

    grid: Grid
    legs: list[Leg]
    candidates: Candidates


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
    """The state of one series between two blocks of bars."""

    held: OpenPosition | None = None
    bars: int = 0
    resume: int = 0  # the first bar at which an entry may fill
    dropped: int = 0
    last_time: np.datetime64 | None = None
    last_close: float = 0.0
    last_rank: float = -np.inf
    decided: float = 0.0  # the account's equity at the close of the last bar
    unfilled: SignalEvents = field(default_factory=lambda: SignalEvents(np.empty(0, np.intp), np.empty(0, np.uint8)))
    past: Floats = field(default_factory=lambda: np.empty(0))


class Portfolio:
    """One account that trades many series. The results do not depend on how the bars are divided by time.

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
        self._series = [_Series() for _ in symbols]
        self._grids, self._trades = Grids(len(symbols)), PortfolioTrades(inverse=account.inverse)
        self._cash = account.initial_cash

    def advance(self, pieces: Sequence[Piece | None]) -> Curve:
        """The next bars of every series, None for one that has none: all of those up to some time, at least one."""
        return self.trade(self.look(pieces, self.grid(pieces)))

    def grid(self, pieces: Sequence[Piece | None]) -> Grid:
        """The closes of the next bars."""
        return self._grids.of([piece and piece.bars for piece in pieces])

    def look(self, pieces: Sequence[Piece | None], grid: Grid) -> Prospect:
        """Find the possible entries and exits on the next bars; nothing depends on the account's money yet."""
        signals = [None if piece is None else self._signals(number, piece) for number, piece in enumerate(pieces)]
        found, dues = candidates(self._account, [each for each in signals if each], grid)
        legs = [self._leg(number, asks, dues.get(number), grid) for number, asks in enumerate(signals)]
        return Prospect(grid, legs, found)

    def trade(self, prospect: Prospect) -> Curve:
        """Fill the orders on the next bars."""
        grid, legs, found = prospect
        merge = Merge(self._account, self._orders, self._exits, legs, found, len(grid.times), self._cash, self._most)
        merge.run()
        self._cash = merge.cash
        self._trades.add(grid.times, merge.entered, merge.left)
        for leg in legs:
            self._keep(leg, merge)
        return Curve(grid.times, merge.equity, merge.value, merge.gross, merge.positions, merge.changed, merge.traded)

    def _signals(self, number: int, piece: Piece) -> SeriesSignals:
        """The signals of the next bars of one series, and their ranks."""
        series, (bars, wanted, rank) = self._series[number], piece
        ranks = None if rank is None else np.where(np.isnan(rank), -np.inf, rank)
        if self._at_open:
            rows = np.concatenate([series.unfilled.rows, wanted.rows + 1])
            later = SignalEvents(rows, np.concatenate([series.unfilled.bits, wanted.bits]))
            series.unfilled = later.between(len(bars), len(bars) + 1)
            wanted = later.between(0, len(bars))
            if ranks is not None:
                ranks, series.last_rank = np.concatenate([[series.last_rank], ranks[:-1]]), float(ranks[-1])
        return SeriesSignals(number, bars, wanted, ranks)

    def _leg(self, number: int, asks: SeriesSignals | None, dues: Dues | None, grid: Grid) -> Leg:
        """One series on the common times of the next bars."""
        series = self._series[number]
        leg = Leg(
            number, series.bars, series.held, series.resume - series.bars, grid.lines[number], decided=series.decided
        )
        if asks is None or dues is None:
            return leg
        leg.bars = bars = asks.bars
        if bars.funding:
            end = series.last_time
            if end is not None:
                end = close_times(np.array([end]), bars.funding.interval_seconds)[0]
            leg.charges = bars.funding.on(bars.times, bars.close, end, series.last_close)
        if self._by_volatility:
            leg.past = series.past
        if held := series.held:
            assert held.levels
            quotes, due = bars.opens if self._at_open else bars.close, dues.long if held.side > 0 else dues.short
            leg.end = self._exits.end_of(bars, quotes, due, held.bar - series.bars, held.side, held.levels)
        return leg

    def _keep(self, leg: Leg, merge: Merge) -> None:
        """Store the state of a series for the next bars."""
        series, bars = self._series[leg.number], leg.bars
        series.held, series.resume = merge.held.get(leg.number), leg.first + merge.resume[leg.number]
        series.dropped += merge.dropped[leg.number]
        if series.held:
            series.held.entered = -1
        if bars is None:
            return
        if held := series.held:
            levels = held.levels or self._exits.level(held.side, held.price)
            held.levels = self._exits.raised(bars, held.bar - series.bars, held.side, levels)
        series.bars += len(bars)
        series.decided = float(merge.equity[leg.instant(len(bars) - 1)])
        series.last_time, series.last_close = bars.times[-1], float(bars.close[-1])
        if self._by_volatility:
            series.past = np.concatenate([series.past, bars.close])[-VOLATILITY_BARS - 1 :]

    def trades(self) -> tuple[Records, Rows]:
        """All trades so far, and the numbers of their series: the closed ones in the order of their exits, those that
        coincide by number, then those that are still open.
        """
        open_ones = [
            StillOpen(number, each.bars, each.last_close, each.held.funding)
            for number, each in enumerate(self._series)
            if each.held
        ]
        return self._trades.records(open_ones)

    @property
    def dropped(self) -> list[int]:
        """The number of signalled entries that were not filled, per series."""
        return [each.dropped for each in self._series]
