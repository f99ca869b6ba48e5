"""One account on one series: signals and prices → equity and trades."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import polars as pl

from hermes.schemas import DATETIME, Schema
from hermes.stages.backtest.account import (
    VOLATILITY_BARS,
    Account,
    SignalEvents,
    Size,
    Transitions,
    signal_events,
    transitions,
)
from hermes.stages.backtest.account_state import AccountState, OpenPosition
from hermes.stages.backtest.arrays import Floats
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.entries import Entries
from hermes.stages.backtest.equity import Steps
from hermes.stages.backtest.exits import Exits
from hermes.stages.backtest.funding import Funding, close_times
from hermes.stages.backtest.orders import Filled, Orders
from hermes.stages.backtest.shared import Shared
from hermes.stages.backtest.trades import Outcomes, Records, Trades

#: What a backtest needs of every bar: times ascending, prices positive, nothing null.
BARS: Schema = {
    "datetime": DATETIME,
    "open": pl.Float64(),
    "close": pl.Float64(),
    "buy_signal": pl.Boolean(),
    "sell_signal": pl.Boolean(),
}
#: What it needs besides where the account watches levels, and where the strategy has rules of its own for shorts.
RANGE: Schema = {"high": pl.Float64(), "low": pl.Float64()}
SHORTS: Schema = {"short_signal": pl.Boolean(), "cover_signal": pl.Boolean()}


def columns_for(account: Account, present: Collection[str]) -> list[str]:
    """The columns that an account needs: `BARS`, `RANGE` where it watches levels, `SHORTS` where they are present."""
    shorts = SHORTS if all(name in present for name in SHORTS) else {}
    return [*BARS, *(RANGE if account.watches else {}), *shorts]


def signal_events_in(frame: pl.DataFrame) -> SignalEvents:
    """The sparse signals of a frame."""
    signals = [frame[name] for name in ("buy_signal", "sell_signal", *SHORTS) if name in frame.columns]
    some = signals[0] | signals[1]
    for more in signals[2:]:
        some |= more
    rows = pl.int_range(frame.height, eager=True).filter(some).to_numpy()  # few: the others need not be unpacked
    found = signal_events(*(each.filter(some).to_numpy() for each in signals))
    return SignalEvents(rows[found.rows], found.bits)


class Trading:
    """One account on one series. The results do not depend on how the bars are divided into pieces.

    Args:
        account: its terms.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._orders, self._exits = Orders(account), Exits(account)
        self._slippage = account.slippage_bps / 10_000
        self._by_volatility = Size.of(account.size).kind == "volatility"
        self._at_open = account.fill == "next_open"
        self._cash = account.initial_cash
        self._held: OpenPosition | None = None
        # The signals of the last bar, where the next bar's open fills it.
        self._unfilled = SignalEvents(np.empty(0, np.intp), np.empty(0, np.uint8))
        self._resume = 0  # the first bar, counted from the first of all, at which an entry may fill
        self._bars, self._last_close = 0, 0.0
        self._last_end: np.datetime64 | None = None
        self._past = np.empty(0)  # closes that tell the volatility
        self._trades = Trades(inverse=account.inverse)
        self.dropped = 0  # signalled entries that were not filled, see `Orders.enter`

    @property
    def position(self) -> int:
        """1 while long, -1 while short, 0 while flat, after the bars so far."""
        return self._held.side if self._held else 0

    def trades(self) -> pl.DataFrame:
        """One row per trade so far, see `Records.frame`."""
        return self._records().frame()

    def outcomes(self) -> Outcomes:
        """The results of the trades so far."""
        return self._records().outcomes(self.dropped)

    def _records(self) -> Records:
        return self._trades.records(self._bars, self._last_close, self._held.funding if self._held else 0.0)

    def advance(self, piece: pl.DataFrame, funding: Funding | None = None) -> Steps:
        """The next bars (`BARS`, at least one; `RANGE` and `SHORTS` where needed) → the account's equity."""
        return self.trade(Bars.of(piece, funding), signal_events_in(piece))

    def trade(self, bars: Bars, wanted: SignalEvents, shared: Shared | None = None) -> Steps:
        """As `advance`, from arrays of the next bars and their sparse signals.

        Args:
            shared: what other accounts found on the same bars for the same signals since the first of all bars.
        """
        if self._at_open:
            wanted = self._at_next_open(wanted, len(bars))
        charges = None
        if bars.funding:
            charges = bars.funding.on(bars.times, bars.close, self._last_end, self._last_close)
            self._last_end = close_times(bars.times[-1:], bars.funding.interval_seconds)[0]
        resume = self._resume - self._bars
        state = AccountState(
            self._account, self._orders, self._exits, bars, self._bars, self._cash, self._held, resume, charges
        )
        found = shared.transitions(wanted, self._account) if shared else transitions(wanted, self._account)
        self._go(state, bars, found, shared, compounds=self._orders.compounds and charges is None)
        self._trades.add(bars.times, self._bars, *state.records())
        self._cash, self._held, self._resume = state.cash, state.held, self._bars + state.resume
        self._bars += len(bars)
        self._last_close = float(bars.close[-1])
        if self._by_volatility:
            self._past = np.concatenate([self._past, bars.close])[-VOLATILITY_BARS - 1 :]
        return state.steps()

    def _go(
        self, state: AccountState, bars: Bars, transitions: Transitions, shared: Shared | None, *, compounds: bool
    ) -> None:
        """From entry to exit to entry."""
        quotes = bars.opens if self._at_open else bars.close
        if held := state.held:
            assert held.levels
            leave = transitions.leaving(held.side)
            due = int(leave[0]) if len(leave) else len(bars)
            state.hold(*self._exits.end_of(bars, quotes, due, held.bar - self._bars, held.side, held.levels))
        found = shared.exits(self._account, bars, transitions) if shared else None
        entries = Entries(self._exits, bars, quotes, self._slippage, transitions, found)
        place = entries.first(state.resume)
        while place < len(entries) and state.held is None and state.cash > 0:
            positions = entries.follow(place)
            place = positions.following
            done = state.compound(positions) if compounds else 0
            columns = positions.place, positions.entry, positions.side, positions.quote, *positions.ends
            orders = zip(*(each[done:].tolist() for each in columns), strict=True)
            for found, row, side, quote, end, reason, out in orders:
                filled = self._fill(state, bars, row, side, quote)
                if filled is None:  # then the next one that is made, from where on everything may be different
                    place = self._next_made(state, bars, transitions, quotes, found)
                    break
                state.enter(row, side, filled)
                state.hold(end, reason, out)

    def _next_made(self, state: AccountState, bars: Bars, transitions: Transitions, quotes: Floats, place: int) -> int:
        """The number of the first entry that is made after one that is dropped."""
        while True:
            self.dropped += 1
            place += 1
            if place == len(transitions.enter):
                return place
            row = int(transitions.enter[place])
            if self._fill(state, bars, row, int(transitions.side[place]), quotes.item(row)):
                return place

    def _fill(self, state: AccountState, bars: Bars, row: int, side: int, quote: float) -> Filled | None:
        """An entry, by what is known when it is decided: at the close, or at the close before the open."""
        decided = row - self._at_open
        equity, volatility = state.cash, None
        turned, cash, units = state.turned
        if turned == row:  # it turns from one side to the other
            close = bars.close.item(decided) if decided >= 0 else self._last_close
            equity = cash + units * self._orders.worth(close)
        if self._by_volatility:
            closes = np.concatenate([self._past, bars.close[max(decided - VOLATILITY_BARS, 0) : decided + 1]])
            volatility = self._account.volatility(closes)
        return self._orders.enter(side, quote, state.cash, state.cash, equity, volatility)

    def _at_next_open(self, wanted: SignalEvents, bars: int) -> SignalEvents:
        """The signals one bar later; those of the last bar are kept for the next ones."""
        rows = np.concatenate([self._unfilled.rows, wanted.rows + 1])
        later = SignalEvents(rows, np.concatenate([self._unfilled.bits, wanted.bits]))
        self._unfilled = later.between(bars, bars + 1)
        return later.between(0, bars)


def equity_curve(
    pieces: Iterable[pl.DataFrame], account: Account, funding: Funding | None = None
) -> Iterator[pl.DataFrame]:
    """Successive pieces of bars (see `Trading.advance`) → for each, what a chart shows, one row per bar.

    Yields:
        `datetime, equity, benchmark, drawdown_pct, account_position`: equity and what `initial_cash` would be worth
        had it held the asset from the first close on, without fees, both in the account's money; how far equity stands
        below its highest close so far, in percent, positive; 1 where the account is long at the bar's close, -1 where
        it is short, else 0. The rules' own `position` may be another: stops end positions that the rules still have.
    """
    trading = Trading(account)
    first_close = peak = 0.0
    for piece in pieces:
        if piece.is_empty():
            continue
        steps, close = trading.advance(piece, funding), piece["close"].to_numpy()
        lengths = steps.lengths
        peaks = np.maximum(np.maximum.accumulate(steps.equity), peak)
        peak, first_close = peaks[-1], first_close or close[0]
        side = -np.sign(steps.size) if account.inverse else np.sign(steps.size)
        yield piece.select(
            "datetime",
            equity=np.repeat(steps.equity, lengths),
            benchmark=close / first_close * account.initial_cash,
            drawdown_pct=np.repeat(100 * (peaks - steps.equity) / peaks, lengths),
            account_position=np.repeat(side.astype(np.int8), lengths),
        )
