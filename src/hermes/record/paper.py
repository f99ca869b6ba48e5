"""An account that trades the record as it was, beside the backtest of the same span; pure.

The paper account knows only what is on record: it starts flat, and fills a decision that was made in time at the open
of the next bar that is on record. A late decision is filled at the first open after it was made, by the exchange's
clock. The backtest beside it has today's bars and rules, and nothing late or missed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
import polars as pl

from hermes.record.reconciliation import CAUSES, SHORTS, Reconciliation
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import Result, backtest
from hermes.stages.backtest.trading import Trading, equity_curve

_PRICES = ("open", "high", "low", "close", "volume")
_SIGNALS = ("buy_signal", "sell_signal")
#: The order in which differences are taken away, one cause after the other, until the backtest is left.
_TAKEN = ("late", "missed", "bar revised", "rules or parameters changed", "unexplained")
_NOT_CHECKED = CAUSES[-1]


@dataclass(frozen=True, slots=True)
class Share:
    """What one cause took from the paper account, or gave it, compared with the backtest.

    Attributes:
        bars: how many bars it made differ.
        return_pct: of the paper account's return, in percentage points; trades: of the number of its trades.
    """

    cause: str
    bars: int
    return_pct: float
    trades: int


@dataclass(frozen=True, slots=True)
class Tracking:
    """The paper account beside the backtest, over the bars that both have.

    Attributes:
        paper, backtest: what each made, both filled at the next open.
        equity: `datetime, paper, backtest`, at the close of every bar, in the quote currency.
        shares: what each cause is worth; their sum is the whole difference.
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


def paper_bars(rows: pl.DataFrame) -> pl.DataFrame:
    """The record as an account that fills at the next open can trade it.

    Args:
        rows: `datetime, open, high, low, close, volume, buy_signal, sell_signal, server_time, late`, one per bar, in
            order of time.

    Returns:
        The same without the last two; the signal of a late row stands on the last bar that opened before it was made.
        Where several come to stand on one bar, the last one counts.
    """
    times = rows["datetime"].to_numpy()
    known = np.searchsorted(times, rows["server_time"].to_numpy(), side="left") - 1
    own = np.arange(rows.height)
    at = np.where(rows["late"].to_numpy(), np.maximum(known, own), own)
    signals = [*_SIGNALS, *(name for name in SHORTS if name in rows.columns)]
    asks = [pl.col(one) != pl.col(other) for one, other in zip(signals[::2], signals[1::2], strict=True)]
    asked = rows.select(*signals, at=pl.Series(at)).filter(pl.any_horizontal(asks))
    last = asked.group_by("at", maintain_order=True).last()
    moved = rows.select("datetime", *_PRICES).with_row_index("at").join(
        last.cast({"at": pl.UInt32}), on="at", how="left"
    )  # fmt: skip
    return moved.drop("at").with_columns(pl.col(signals).fill_null(value=False))


def paper_account(record: pl.DataFrame, account: Account, interval: str) -> Result:
    """What the account made of the record alone.

    Args:
        record: of one chain, sorted by sequence.
        account: its terms; the fill is always the next open.
    """
    decided = record.filter(pl.col("kind") == "decision").unique("datetime", keep="first").sort("datetime")
    return backtest(paper_bars(decided), interval, replace(account, fill="next_open"))


def paper_position(record: pl.DataFrame, account: Account) -> int:
    """What the paper account holds after the newest bar on record: 1 long, 0 flat, -1 short."""
    decided = record.filter(pl.col("kind") == "decision").unique("datetime", keep="first").sort("datetime")
    trading = Trading(replace(account, fill="next_open"))
    trading.advance(paper_bars(decided))
    return trading.position


def track(found: Reconciliation, account: Account, interval: str) -> Tracking | None:
    """The paper account beside the backtest; None where no bar of the record can be compared yet.

    Args:
        found: the record, reconciled.
        account: the terms of both; the fill is always the next open.
    """
    terms = replace(account, fill="next_open")
    bars = found.bars.filter(pl.col("cause").is_null() | (pl.col("cause") != _NOT_CHECKED))
    if bars.filter(pl.col("sequence").is_not_null() & pl.col("today_close").is_not_null()).is_empty():
        return None

    def trade(*without: str) -> tuple[Result, pl.DataFrame]:
        rows = _mixed(bars, without)
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


def _mixed(bars: pl.DataFrame, without: tuple[str, ...]) -> pl.DataFrame:
    """The record, but for bars that differ by one of these causes: there it is as today's bars and rules have it."""
    taken = pl.col("cause").is_in(list(without)).fill_null(value=False)
    names = (*_PRICES, *_SIGNALS, *SHORTS)
    known = {"datetime", *(f"{side}_{name}" for side in ("today", "recorded") for name in names)} & set(bars.columns)

    def side(one: str, name: str) -> pl.Expr:
        return pl.col(f"{one}_{name}") if f"{one}_{name}" in known else pl.lit(value=False)

    rows = bars.select(
        "datetime",
        *(
            pl.when(taken).then(side("today", name)).otherwise(side("recorded", name)).alias(name)
            for name in names
            if name not in SHORTS or f"today_{name}" in known or f"recorded_{name}" in known
        ),
        "server_time",
        late=pl.col("late").fill_null(value=False) & ("late" not in without) & ~taken,
    ).filter(pl.col("close").is_not_null())
    return paper_bars(rows.with_columns(pl.col("server_time").fill_null(pl.col("datetime"))))


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
