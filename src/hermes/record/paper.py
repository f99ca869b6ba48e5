"""The paper account, which trades the record, compared with the backtest of the same span; pure.

The paper account knows only what is on record: it starts flat, and fills a decision that was made in time at the open
of the next bar that is on record. A late decision is filled at the first open after it was made, by the exchange's
clock. The backtest beside it has today's bars and rules, and nothing late or missed.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from math import sqrt
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hermes.record.reconciliation import CAUSES, SHORTS, Reconciliation
from hermes.stages.backtest.account import Account, Side
from hermes.stages.backtest.engine import Result, backtest
from hermes.stages.backtest.trading import Trading, equity_curve

_PRICES = ("open", "high", "low", "close", "volume")
_SIGNALS = ("buy_signal", "sell_signal")
#: What an account has to know of a row.
PAPER = ("kind", "sequence", "datetime", *_PRICES, *_SIGNALS, "server_time", "late")
#: The order in which differences are taken away, one cause after the other, until the backtest is left.
_TAKEN = ("late", "missed", "bar revised", "rules or parameters changed", "unexplained")
_NOT_CHECKED = CAUSES[-1]


@dataclass(frozen=True, slots=True)
class Share:
    """The contribution of one cause to the difference between the paper account and the backtest.

    Attributes:
        bars: number of bars that differ for this cause.
        return_pct: part of the difference in returns, in percentage points; trades: in the number of trades.
    """

    cause: str
    bars: int
    return_pct: float
    trades: int


@dataclass(frozen=True, slots=True)
class Tracking:
    """The paper account and the backtest over the bars that both have.

    Attributes:
        paper, backtest: their results, both filled at the next open.
        equity: `datetime, paper, backtest`, at the close of every bar, in the quote currency.
        shares: the contribution of each cause; they add up to the whole difference.
        error_pct: standard deviation of the difference of the bars' returns, of a year, in percent; None below 3 bars.
    """

    paper: Result
    backtest: Result
    equity: pl.DataFrame
    shares: list[Share]
    error_pct: float | None

    @property
    def difference_pct(self) -> float:
        """Return of the paper account less that of the backtest, in percentage points."""
        return self.paper.metrics.total_return_pct - self.backtest.metrics.total_return_pct

    def as_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "bars": self.equity.height,
            "first": self.equity["datetime"][0].isoformat(),
            "last": self.equity["datetime"][-1].isoformat(),
            "paper": _figures(self.paper),
            "backtest": _figures(self.backtest),
            "difference_pct": self.difference_pct,
            "tracking_error_pct": self.error_pct,
            "by_cause": [
                {"cause": share.cause, "bars": share.bars, "return_pct": share.return_pct, "trades": share.trades}
                for share in self.shares
            ],
        }


def paper_bars(rows: pl.DataFrame, side: Side = "long") -> pl.DataFrame:
    """The record as signals for an account that fills at the next open.

    Args:
        rows: `datetime, open, high, low, close, volume, buy_signal, sell_signal, server_time, late`, one per bar, in
            order of time; with `short_signal, cover_signal` where the strategy has rules for shorts.
        side: the account's.

    Returns:
        The same without `server_time` and `late`; what a late row asks for stands on the last bar that opened before it
        was made. Where several come to stand on one bar, the last one counts: of those about longs, of those about
        shorts, and of two entries on both sides where the account takes both.
    """
    pairs = [_SIGNALS, *([SHORTS] if set(SHORTS) <= set(rows.columns) else [])]
    if not rows["late"].any():  # nearly always: every row stands on its own bar
        asks = [pl.col(one) & ~pl.col(other) for pair in pairs for one, other in (pair, pair[::-1])]
        return rows.select("datetime", *_PRICES, *(ask.fill_null(value=False) for ask in asks))
    times = rows["datetime"].to_numpy()
    own = np.arange(rows.height)
    at = pl.Series("at", np.where(rows["late"].to_numpy(), np.maximum(_known(rows, times), own), own))
    bars = rows.select("datetime", *_PRICES, at=pl.Series(own))
    for enter, leave in pairs:
        asked = rows.select(enter, leave, at, pl.Series(f"of_{enter}", own)).filter(pl.col(enter) != pl.col(leave))
        bars = bars.join(asked.group_by("at", maintain_order=True).last(), on="at", how="left", maintain_order="left")
    signals = [name for pair in pairs for name in pair]
    bars = bars.with_columns(pl.col(signals).fill_null(value=False))
    if side == "both" and len(pairs) > 1:
        order = pl.col("of_buy_signal") - pl.col("of_short_signal")
        both = pl.col("buy_signal") & pl.col("short_signal")
        bars = bars.with_columns(
            buy_signal=pl.col("buy_signal") & ~(both & (order < 0)),
            short_signal=pl.col("short_signal") & ~(both & (order > 0)),
        )
    return bars.select("datetime", *_PRICES, *signals)


def _known(rows: pl.DataFrame, times: NDArray[np.datetime64]) -> NDArray[np.intp]:
    """For each row the last bar that opened before the row was made."""
    return np.searchsorted(times, rows["server_time"].to_numpy(), side="left") - 1


def _decided(record: pl.DataFrame) -> pl.DataFrame:
    """The decisions of a record, one per bar, in order of time."""
    return record.filter(pl.col("kind") == "decision").unique("datetime", keep="first").sort("datetime")


class PaperAccount:
    """The account that trades one record while the record grows.

    At any time it holds what a backtest of the whole record so far would.

    Args:
        account: the fill is always the next open.
        record: of one chain, sorted by sequence; what there is of it to begin with.
    """

    def __init__(self, account: Account, record: pl.DataFrame | None = None) -> None:
        self._side = account.side
        self._trading = Trading(replace(account, fill="next_open"))
        self._waiting = pl.DataFrame()  # rows whose place depends on bars that are not on record yet
        self._sequence = -1
        self._newest: datetime | None = None
        if record is not None and record.height:
            decided = _decided(record)
            self._trade(decided)
            self._sequence, self._newest = record["sequence"][-1], decided["datetime"][-1]

    def add(self, rows: pl.DataFrame) -> bool:
        """Continue with the next rows; known ones are ignored.

        Returns:
            Whether that was possible: not where rows are missing, and not where a bar was decided on after newer ones,
            which only an account that starts over can know.
        """
        if rows.height > 1 or (rows.height and rows["sequence"][0] <= self._sequence):
            rows = rows.filter(pl.col("sequence") > self._sequence).unique("sequence", keep="first").sort("sequence")
        if rows.is_empty():
            return True
        if rows["sequence"][0] != self._sequence + 1 or rows["sequence"][-1] != self._sequence + rows.height:
            return False
        decided = rows.filter(pl.col("kind") == "decision")
        times = decided["datetime"]
        if decided.height and not (times.is_sorted() and (self._newest is None or times[0] > self._newest)):
            return False
        self._sequence = rows["sequence"][-1]
        if decided.height:
            self._trade(decided)
            self._newest = times[-1]
        return True

    @property
    def position(self) -> int:
        """The position after the newest bar on record: 1 long, 0 flat, -1 short."""
        if self._waiting.is_empty():
            return self._trading.position
        ahead = copy.deepcopy(self._trading)
        ahead.advance(paper_bars(self._waiting, self._side))
        return ahead.position

    def _trade(self, decided: pl.DataFrame) -> None:
        """Trade all rows but the last ones where a late one among them may come to stand on a bar yet to come."""
        if decided.is_empty():
            return
        names = [*PAPER, *(name for name in SHORTS if name in decided.columns)]
        rows = pl.concat([self._waiting, decided.select(names)], how="diagonal") if self._waiting.height else decided
        times, late = rows["datetime"].to_numpy(), rows["late"].to_numpy()
        known = np.where(late, _known(rows, times), -1)
        open_ones = np.flatnonzero(late & (rows["server_time"].to_numpy() > times[-1]))
        end = int(open_ones[0]) if open_ones.size else rows.height
        while end and (beyond := np.flatnonzero(known[:end] >= end)).size:
            end = int(beyond[0])
        if end:
            self._trading.advance(paper_bars(rows.head(end), self._side))
        self._waiting = rows.slice(end).select(name for name in names if name in rows.columns)


def track(found: Reconciliation, account: Account, interval: str) -> Tracking | None:
    """Compare the paper account with the backtest; None if no bar of the record can be compared yet.

    Args:
        found: the record, reconciled.
        account: of both; the fill is always the next open.
    """
    terms = replace(account, fill="next_open")
    bars = found.bars.filter(pl.col("cause").is_null() | (pl.col("cause") != _NOT_CHECKED))
    if bars.filter(pl.col("sequence").is_not_null() & pl.col("today_close").is_not_null()).is_empty():
        return None

    def trade(*without: str) -> tuple[Result, pl.DataFrame]:
        rows = _mixed(bars, without, terms.side)
        return backtest(rows, interval, terms), rows

    made, shown = trade()
    before, rows, shares = made, shown, []
    for number, cause in enumerate(_TAKEN, 1):
        # A cause that made no bar differ took nothing, and a backtest costs a third of a second.
        after, rows = trade(*_TAKEN[:number]) if (count := found.causes[cause]) else (before, rows)
        return_pct = before.metrics.total_return_pct - after.metrics.total_return_pct
        shares.append(Share(cause, count, return_pct, before.metrics.trades - after.metrics.trades))
        before = after
    equity = _equity(rows, shown, terms)
    return Tracking(made, before, equity, shares, _error(equity, before.metrics.periods_per_year))


def _mixed(bars: pl.DataFrame, without: tuple[str, ...], side: Side) -> pl.DataFrame:
    """The record, but for bars that differ by one of these causes: there it is as today's bars and rules have it."""
    taken = pl.col("cause").is_in(list(without)).fill_null(value=False)
    names = (*_PRICES, *_SIGNALS, *SHORTS)
    known = {"datetime", *(f"{side}_{name}" for side in ("today", "recorded") for name in names)} & set(bars.columns)

    def as_of(one: str, name: str) -> pl.Expr:
        return pl.col(f"{one}_{name}") if f"{one}_{name}" in known else pl.lit(value=False)

    rows = bars.select(
        "datetime",
        *(
            pl.when(taken).then(as_of("today", name)).otherwise(as_of("recorded", name)).alias(name)
            for name in names
            if name not in SHORTS or f"today_{name}" in known or f"recorded_{name}" in known
        ),
        "server_time",
        late=pl.col("late").fill_null(value=False) & ("late" not in without) & ~taken,
    ).filter(pl.col("close").is_not_null())
    return paper_bars(rows.with_columns(pl.col("server_time").fill_null(pl.col("datetime"))), side)


def _equity(rows: pl.DataFrame, recorded: pl.DataFrame, account: Account) -> pl.DataFrame:
    curve: Callable[[pl.DataFrame], pl.DataFrame] = lambda bars: next(equity_curve([bars], account))  # noqa: E731
    paper = curve(recorded).select("datetime", paper="equity")
    both = curve(rows).select("datetime", backtest="equity").join(paper, on="datetime", how="full", coalesce=True)
    filled = both.sort("datetime").with_columns(pl.col("paper", "backtest").forward_fill())
    return filled.select("datetime", pl.col("paper", "backtest").fill_null(account.initial_cash))


def _error(equity: pl.DataFrame, periods_per_year: float) -> float | None:
    returns = equity.select(pl.col("paper").pct_change() - pl.col("backtest").pct_change()).to_series().drop_nulls()
    spread = returns.std()
    return None if not isinstance(spread, float) else 100 * spread * sqrt(periods_per_year)


def _figures(made: Result) -> dict[str, Any]:
    metrics = made.metrics
    return {
        "total_return_pct": metrics.total_return_pct,
        "max_drawdown_pct": metrics.max_drawdown_pct,
        "trades": metrics.trades,
        "end_value": metrics.end_value,
    }
