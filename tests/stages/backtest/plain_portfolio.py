"""A portfolio in plain loops over time and symbols: the slow and obvious way that `portfolio` is compared with."""

import itertools
from dataclasses import dataclass
from math import floor, sqrt
from statistics import stdev

from hermes.stages.backtest.account import VOLATILITY_BARS, Account, Size


@dataclass
class Held:
    number: int
    side: int
    units: float
    price: float
    fees: float
    row: int
    best: float
    funding: float = 0.0


class PlainPortfolio:
    """One linear account on many series.

    A series is a list of bars (time, open, high, low, close, (buy, sell)); `funding` a list of (time, rate) for each.
    """

    def __init__(self, account: Account, most: int, interval, series, funding=None, ranks=None):
        self.account, self.most, self.series, self.ranks = account, most, series, ranks
        self.cash, self.over = account.initial_cash, False
        self.held: dict[int, Held] = {}
        self.last: dict[int, float] = {}
        self.equity: list[float] = []
        self.trades: list[tuple] = []
        self.at_open = account.fill == "next_open"
        charges = [list(each) for each in funding or [[] for _ in series]]
        rows = [{bar[0]: row for row, bar in enumerate(each)} for each in series]
        decided: dict[int, float] = {}  # of each series, the equity at its last close
        wishes: dict[int, tuple] = {}  # what its last bar asks for
        for time in sorted({bar[0] for each in series for bar in each}):
            here = {number: of[time] for number, of in enumerate(rows) if time in of}
            bars = {number: series[number][row] for number, row in here.items()}

            def pay(number, due, charges=charges, time=time):
                while charges[number] and due(charges[number][0][0]):
                    _, rate = charges[number].pop(0)
                    if held := self.held.get(number):
                        paid = rate * held.units * self.last[number]
                        self.cash -= paid
                        held.funding += paid

            for number in here:
                pay(number, lambda at, time=time: at <= time)
            if self.at_open:
                quotes = {number: bar[1] for number, bar in bars.items()}
                self.follow(here, {number: wishes.pop(number, None) for number in here}, quotes, decided)
            for number in here:
                pay(number, lambda at, time=time: at < time + interval)
            stopped = {number for number in here if self.watch(number, here[number], bars[number])}
            self.last |= {number: bar[4] for number, bar in bars.items()}
            for number in here:
                pay(number, lambda at, time=time: at <= time + interval)
            asks = {number: self.asks(bar[5]) for number, bar in bars.items() if number not in stopped}
            if self.held and self.worth() <= 0:
                for number in sorted(self.held):
                    self.leave(number, self.last[number], "liquidation")
                self.over = True
            equity = self.worth()
            decided |= dict.fromkeys(here, equity)
            if self.at_open:
                wishes |= asks
            else:
                self.follow(here, asks, self.last, decided)
            self.equity.append(self.worth())

    def worth(self) -> float:
        return self.cash + sum(held.units * self.last[number] for number, held in self.held.items())

    def asks(self, signals):
        """A long, the end of a long, a short, the end of a short."""
        buy, sell = signals
        if buy and sell:
            return (False,) * 4
        long, short = buy and self.account.side != "short", sell and self.account.side != "long"
        return long, sell or short, short, buy or long

    def follow(self, here, asks, quotes, decided):
        entries = []
        for number, row in sorted(here.items()):
            ask, held = asks.get(number), self.held.get(number)
            due = held is not None and self.account.max_bars == row - held.row
            if held and ask and ask[1 if held.side > 0 else 3]:
                self.leave(number, quotes[number], "signal")
            elif due:
                self.leave(number, quotes[number], "max_bars")
                continue
            if number not in self.held and ask and (ask[0] or ask[2]):
                signal = row - self.at_open
                rank = self.ranks[number][signal] if self.ranks else 0.0
                entries.append((-rank, number, 1 if ask[0] else -1, row, signal))
        for _, number, side, row, signal in sorted(entries):
            if len(self.held) < self.most and not self.over:
                self.enter(number, side, row, signal, quotes[number], decided[number])

    def enter(self, number, side, row, signal, quote, equity):
        account, size = self.account, Size.of(self.account.size)
        price, fee = quote * (1 + side * account.slippage_bps / 10_000), 1 + account.fees
        owed = sum(2 * abs(held.units) * self.last[other] for other, held in self.held.items() if held.side < 0)
        free = self.cash - owed
        if free <= 1e-9 * account.initial_cash:
            return
        if size.kind == "value":
            units = min(free / fee / price, size.amount / quote)
        else:
            share = 1 / self.most if size.kind == "all" else size.amount
            if size.kind == "volatility":
                closes = [bar[4] for bar in self.series[number][: signal + 1]][-VOLATILITY_BARS - 1 :]
                if len(closes) <= VOLATILITY_BARS:
                    return
                returns = [after / before - 1 for before, after in itertools.pairwise(closes)]
                share = min(1.0, share / (stdev(returns) * sqrt(account.bars_per_year)))
            units = min(free, share * equity if share < 1 or size.kind == "volatility" else free) / fee / price
        if account.lot_step:
            units = floor(units / account.lot_step * (1 + 1e-12)) * account.lot_step
        if units < 1e-8 or units * price < account.min_order:
            return
        fees = units * price * account.fees
        self.cash -= side * units * price + fees
        self.held[number] = Held(number, side, side * units, price, fees, row, price)

    def leave(self, number, quote, reason):
        held = self.held.pop(number)
        price = quote * (1 - held.side * self.account.slippage_bps / 10_000)
        fees = abs(held.units) * price * self.account.fees
        self.cash += held.units * price - fees
        profit = held.units * (price - held.price) - held.fees - fees - held.funding
        self.trades.append((number, held.row, held.price, price, held.units, held.fees + fees, reason, profit))

    def watch(self, number, row, bar) -> bool:
        """Whether a level was reached on this bar: gaps, then the stop, then the target."""
        held, account = self.held.get(number), self.account
        if not held or (held.row == row and not self.at_open):
            return False
        _, open_, high, low, *_ = bar
        side, stops = held.side, []
        if account.stop_loss:
            stops.append((held.price * (1 - side * account.stop_loss), "stop_loss"))
        if account.trailing_stop:
            stops.append((held.best * (1 - side * account.trailing_stop), "trailing_stop"))
        stop = max(stops, key=lambda each: side * each[0], default=None)
        target = held.price * (1 + side * account.take_profit) if account.take_profit else None
        worst, best = (low, high) if side > 0 else (high, low)
        if stop and side * open_ <= side * stop[0]:
            self.leave(number, open_, stop[1])
        elif target and side * open_ >= side * target:
            self.leave(number, open_, "take_profit")
        elif stop and side * worst <= side * stop[0]:
            self.leave(number, *stop)
        elif target and side * best >= side * target:
            self.leave(number, target, "take_profit")
        else:
            held.best = max(held.best, best) if side > 0 else min(held.best, best)
            return False
        return True
