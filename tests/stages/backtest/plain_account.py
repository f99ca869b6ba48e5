"""An account bar by bar in exact fractions: the slow and obvious way that `trading` is compared with."""

import itertools
from dataclasses import dataclass, field
from fractions import Fraction as F
from math import floor, sqrt

from hermes.stages.backtest.account import VOLATILITY_BARS, Account, Size


@dataclass
class Plain:
    """One account on one series.

    `funding` is a list of (time, rate); `interval` a timedelta. Signals are (buy, sell) or (buy, sell, short, cover).
    """

    account: Account
    funding: list = field(default_factory=list)
    interval: object = None

    def run(self, times, opens, highs, lows, closes, signals):
        account = self.account
        self.cash, self.units = F(account.initial_cash), F(0)
        self.trade, self.trades, self.equity, self.positions = None, [], [], []
        self.closes, self.fees_paid, self.funding_paid = [F(close) for close in closes], F(0), F(0)
        at_open = account.fill == "next_open"
        wish = None
        charges = list(self.funding)
        while charges and charges[0][0] < times[0]:
            charges.pop(0)
        for row, time in enumerate(times):
            open_, high, low, close = F(opens[row]), F(highs[row]), F(lows[row]), F(closes[row])
            while charges and charges[0][0] <= time:  # in a gap between two bars; at the open itself it comes first
                self.pay(charges.pop(0)[1], row - 1)
            if at_open:
                if self.trade and account.max_bars and row - self.trade["row"] == account.max_bars:
                    self.follow(wish, row, open_, decided=row - 1, due=True)
                else:
                    self.follow(wish, row, open_, decided=row - 1)
            while charges and self.interval and charges[0][0] < time + self.interval:
                self.pay(charges.pop(0)[1], row - 1)
            stopped = self.watch(row, open_, high, low, close, at_open)
            while charges and self.interval and charges[0][0] == time + self.interval:
                self.pay(charges.pop(0)[1], row)
            ruined = self.trade is not None and self.cash + self.units * self.worth(close) <= 0
            asks = self.asks(signals[row])
            if ruined and not (not at_open and self.leaves(asks)) and not (not at_open and self.due(row)):
                self.leave(row, close, "liquidation")
                stopped = True
            wish = None if stopped else asks
            if not at_open and not stopped:
                self.follow(wish, row, close, decided=row, due=self.due(row))
            self.equity.append(self.cash + self.units * self.worth(close))
            self.positions.append(self.trade["side"] if self.trade else 0)
        return self

    def due(self, row):
        return self.trade is not None and self.account.max_bars == row - self.trade["row"]

    def asks(self, signals):
        """Long entry, long exit, short entry, short exit."""
        buy, sell, short, cover = signals if len(signals) == 4 else (*signals, signals[1], signals[0])
        if buy and sell:
            buy = sell = False
        if short and cover:
            short = cover = False
        long_in, short_in = buy and self.account.side != "short", short and self.account.side != "long"
        if long_in and short_in:
            long_in = short_in = False
        return long_in, sell or short_in, short_in, cover or long_in

    def leaves(self, asks):
        return asks is not None and self.trade is not None and asks[1 if self.trade["side"] > 0 else 3]

    def follow(self, asks, row, quote, decided, due=False):
        """What signals ask for, and what is due, at one price."""
        equity = self.cash + self.units * self.worth(self.closes[decided])
        if decided < row:  # what was paid in a gap since was not known
            equity = self.equity[decided] if decided >= 0 else F(self.account.initial_cash)
        if self.leaves(asks):
            self.leave(row, quote, "signal")
        elif due:
            self.leave(row, quote, "max_bars")
            return
        elif self.trade:
            return
        if asks and (asks[0] or asks[2]):
            self.enter(1 if asks[0] else -1, row, quote, equity, decided)

    def worth(self, price):
        return 1 / price if self.account.inverse else price

    def slipped(self, quote, side):
        return quote * (1 + side * F(self.account.slippage_bps) / 10_000)

    def enter(self, side, row, quote, equity, decided):
        account, size = self.account, Size.of(self.account.size)
        if self.cash <= 0:
            return
        price = self.slipped(quote, side)
        worth, fee = self.worth(price), 1 + F(account.fees)
        most = self.cash / fee / worth
        if size.kind == "all":
            units = most
        elif size.kind == "value":
            units = min(most, F(size.amount) if account.inverse else F(size.amount) / quote)
        elif size.kind == "fraction":
            units = min(self.cash, F(size.amount) * equity) / fee / worth
        else:
            if decided < VOLATILITY_BARS:
                return
            closes = self.closes[decided - VOLATILITY_BARS : decided + 1]
            returns = [after / before - 1 for before, after in itertools.pairwise(closes)]
            mean = sum(returns) / len(returns)
            variance = sum((each - mean) ** 2 for each in returns) / (len(returns) - 1)
            if not variance:
                return
            share = min(F(1), F(size.amount) / F(sqrt(variance * F(account.bars_per_year))))
            units = min(self.cash, share * equity) / fee / worth
        if account.lot_step:
            units = floor(units / F(account.lot_step)) * F(account.lot_step)
        if units < F(1e-8) or (units if account.inverse else units * price) < F(account.min_order):
            return
        paid = units * worth * F(account.fees)
        self.units = units * (side if not account.inverse else -side)
        self.cash -= self.units * worth + paid
        self.fees_paid += paid
        self.trade = {
            "row": row, "side": side, "entry_price": price, "fees": paid, "peak": price, "funding": F(0),
            "entry_worth": worth, "units": self.units,
        }  # fmt: skip

    def leave(self, row, quote, reason):
        trade = self.trade
        price = self.slipped(quote, -trade["side"])
        worth = self.worth(price)
        paid = abs(self.units) * worth * F(self.account.fees)
        self.cash += self.units * worth - paid
        self.fees_paid += paid
        profit = trade["units"] * (worth - trade["entry_worth"]) - trade["fees"] - paid - trade["funding"]
        self.trades.append(trade | {"exit_row": row, "exit_price": price, "reason": reason, "profit": profit})
        self.trade, self.units = None, F(0)

    def watch(self, row, open_, high, low, close, at_open):
        """Whether a level was reached on this bar: gaps, then the stop, then the target."""
        trade, account = self.trade, self.account
        if not trade or (row == trade["row"] and not at_open):
            return False
        side, price = trade["side"], trade["entry_price"]
        stops = []
        if account.stop_loss:
            stops.append((price * (1 - side * F(account.stop_loss)), "stop_loss"))
        if account.trailing_stop:
            stops.append((trade["peak"] * (1 - side * F(account.trailing_stop)), "trailing_stop"))
        # The tighter one; the fixed one where they are the same.
        stop = max(stops, key=lambda each: side * each[0], default=None)
        target = price * (1 + side * F(account.take_profit)) if account.take_profit else None
        worst, best = (low, high) if side > 0 else (high, low)
        if stop and side * open_ <= side * stop[0]:
            self.leave(row, open_, stop[1])
        elif target and side * open_ >= side * target:
            self.leave(row, open_, "take_profit")
        elif stop and side * worst <= side * stop[0]:
            self.leave(row, stop[0], stop[1])
        elif target and side * best >= side * target:
            self.leave(row, target, "take_profit")
        else:
            trade["peak"] = max(trade["peak"], best) if side > 0 else min(trade["peak"], best)
            return False
        return True

    def pay(self, rate, row):
        """Funding at the close of a row, on what is held."""
        if self.trade and row >= 0:
            paid = self.trade["side"] * abs(self.units) * self.worth(self.closes[row]) * F(rate)
            self.cash -= paid
            self.funding_paid += paid
            self.trade["funding"] += paid
