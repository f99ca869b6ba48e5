"""What a portfolio came to: the measures of its equity, beside holding all its symbols in equal parts.

Longer than 300 lines, because curve, trades, symbols and benchmark are measured on the same cuts of time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from hermes.dataset import periods_per_year
from hermes.schemas import JUMP_FACTOR
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.arrays import Floats, Rows, Times
from hermes.stages.backtest.engine import BLOCK_ROWS
from hermes.stages.backtest.equity import Steps
from hermes.stages.backtest.holding import Holding
from hermes.stages.backtest.intervals import Intervals, intervals
from hermes.stages.backtest.metrics import Metrics, measure, spanning
from hermes.stages.backtest.periods import PeriodReturns
from hermes.stages.backtest.portfolio import Curve, Piece, Portfolio
from hermes.stages.backtest.tally import BarTally
from hermes.stages.backtest.trades import Outcomes


@dataclass(frozen=True, slots=True)
class PortfolioResult:
    """What a portfolio found.

    Attributes:
        metrics: of the account; benchmark: of holding equal parts of all symbols, each from its first close on, without
            fees.
        turnover: half the value of all orders over the average equity, of a year; None without a bar.
        symbols: `symbol, trades, wins, contribution_pct, fees, funding, dropped`, one row each; contributions are
            profits in percent of the initial cash.
        correlation: of the symbols' returns, in the order of `symbols`, where both have a bar and the one before it;
            null where fewer than 3 are shared or one does not vary.
        trades: one row per trade of all symbols, see `Trades.frame`, in the order of their entries.
        curve: `datetime, equity, benchmark, drawdown_pct, value, gross, positions, traded`, one row per bar.
        monthly, yearly: see `PeriodReturns`.
    """

    metrics: Metrics
    benchmark: Mapping[str, float | None]
    turnover: float | None
    symbols: pl.DataFrame
    correlation: list[list[float | None]]
    trades: pl.DataFrame
    curve: pl.DataFrame
    monthly: pl.DataFrame
    yearly: pl.DataFrame
    intervals: Intervals | None

    def as_json(self) -> dict[str, Any]:
        """The contract's names."""
        names = self.symbols["symbol"].to_list()
        return {
            "metrics": {**self.metrics.as_dict(), "turnover": self.turnover},
            "intervals": self.intervals and self.intervals.as_dict(),
            "symbols": self.symbols.to_dicts(),
            "correlation": {"symbols": names, "matrix": self.correlation},
            "benchmark": dict(self.benchmark),
        }


class PortfolioBacktest:
    """A portfolio on its way through many series, and all that is measured of it.

    Args:
        account, symbols, max_positions: see `Portfolio`; symbols in alphabetical order.
        interval: of the bars, by its name.
    """

    def __init__(self, account: Account, symbols: Sequence[str], max_positions: int, interval: str) -> None:
        self._account, self._interval = account, interval
        self._portfolio = Portfolio(account, symbols, max_positions)
        self._market = _Market(len(symbols), account.initial_cash)
        self._tally, self._holding = BarTally(account), Holding()
        self._periods = PeriodReturns(account.initial_cash)
        self._waiting: list[pl.DataFrame] = []
        self._curve: list[pl.DataFrame] = []
        self._rows = 0

    def update(self, pieces: Sequence[Piece | None]) -> None:
        """The next bars of every series, None of one that has none: all of those up to some time, at least one."""
        curve = self._portfolio.advance(pieces)
        frame = pl.DataFrame(
            {
                "datetime": curve.times,
                "equity": curve.equity,
                "benchmark": self._market.add(curve, pieces),
                "value": curve.value,
                "gross": curve.gross,
                "positions": curve.positions,
                "traded": curve.traded,
                "changed": curve.changed,
            }
        )
        self._waiting.append(frame)
        self._rows += frame.height
        while self._rows >= BLOCK_ROWS:
            self._measure(BLOCK_ROWS)

    def _measure(self, count: int) -> None:
        """The next bars in the engine's blocks, so that sums of floats are the same to the last bit."""
        waiting = pl.concat(self._waiting)
        block, rest = waiting.head(count), waiting.slice(count)
        self._waiting, self._rows = [rest], rest.height
        self._curve.append(block)
        times, equity, value = (block[name].to_numpy() for name in ("datetime", "equity", "value"))
        positions = block["positions"].to_numpy()
        begins = (positions > 0) | block["changed"].to_numpy()
        begins[0] = True
        rows = np.flatnonzero(begins)
        steps = Steps(len(times), rows, equity[rows], (positions[rows] > 0).astype(np.float64), value[rows])
        held = block["benchmark"].to_numpy()
        before = np.concatenate([[self._holding.last_close or held[0]], held[:-1]])  # jumps are looked for by symbol
        self._tally.add(times, self._holding.add(times, before, held), steps)
        self._periods.add(times, steps)

    def finish(self) -> PortfolioResult:
        """What came of it; nothing may be fed after it."""
        if self._rows:
            self._measure(self._rows)
        outcomes, frames = self._portfolio.outcomes(), self._portfolio.trades()
        metrics = measure(self._tally, self._holding, _merged(outcomes), self._account, self._interval)
        jumps = self._market.jumps()
        over = sum(int(spanning(each, found).sum()) for each, found in zip(outcomes, jumps, strict=True))
        metrics = replace(metrics, price_jumps=sum(map(len, jumps)), trades_over_jumps=over)
        curve = pl.concat(self._curve).drop("changed")
        peak = pl.col("equity").cum_max()
        curve = curve.with_columns(drawdown_pct=100 * (peak - pl.col("equity")) / peak)
        years = None if metrics.elapsed_days is None else metrics.elapsed_days / 365
        average = curve["equity"].mean()
        turnover = None
        if years and isinstance(average, float) and average > 0:
            turnover = float(curve["traded"].sum()) / 2 / average / years
        return PortfolioResult(
            metrics=metrics,
            benchmark=self._benchmark(curve),
            turnover=turnover,
            symbols=self._symbols(outcomes),
            correlation=self._market.correlation(),
            trades=pl.concat(
                [
                    each.insert_column(0, pl.lit(name).alias("symbol"))
                    for name, each in zip(self._portfolio.symbols, frames, strict=True)
                ]
            ).sort("entry_time", "symbol", maintain_order=True),
            curve=curve.select(
                "datetime", "equity", "benchmark", "drawdown_pct", "value", "gross", "positions", "traded"
            ),
            monthly=self._periods.monthly(),
            yearly=self._periods.yearly(),
            intervals=intervals(self._tally.groups, years, metrics.periods_per_year),
        )

    def _benchmark(self, curve: pl.DataFrame) -> dict[str, float | None]:
        """Of holding equal parts."""
        held = curve["benchmark"]
        begun = held[0]
        returns = (held / held.shift(1) - 1).fill_null(0.0)
        deviation, mean = returns.std(), returns.mean()
        peak = held.cum_max()
        deepest = ((peak - held) / peak).max()
        sharpe = None
        if isinstance(deviation, float) and isinstance(mean, float) and deviation > 0:
            sharpe = mean / deviation * periods_per_year(self._interval) ** 0.5
        return {
            "total_return_pct": 100 * (held[-1] / begun - 1),
            "max_drawdown_pct": 100 * float(deepest) if isinstance(deepest, float) else None,
            "sharpe": sharpe,
        }

    def _symbols(self, outcomes: Sequence[Outcomes]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "symbol": self._portfolio.symbols,
                "trades": [len(each.bars) for each in outcomes],
                "wins": [int((each.profit[: each.closed] > 0).sum()) for each in outcomes],
                "contribution_pct": [100 * float(each.profit.sum()) / self._account.initial_cash for each in outcomes],
                "fees": [float(each.fees.sum()) for each in outcomes],
                "funding": [float(each.funding.sum()) for each in outcomes],
                "dropped": [each.refused for each in outcomes],
            }
        )


class _Market:
    """All series on common times: held in equal parts, and how their returns go together."""

    def __init__(self, count: int, cash: float) -> None:
        self._count, self._cash = count, cash
        self._first = np.zeros(count)
        self._last = np.zeros(count)
        self._present = np.zeros(count, np.bool_)  # at the last of the times so far
        self._jumps: list[list[Times]] = [[] for _ in range(count)]
        self._sums = np.zeros((5, count, count))

    def add(self, curve: Curve, pieces: Sequence[Piece | None]) -> Floats:
        """The next bars → what equal parts, each held from its symbol's first close on, are worth at each of them."""
        times = curve.times
        closes = np.empty((self._count, len(times) + 1))
        present = np.zeros((self._count, len(times) + 1), np.bool_)
        closes[:, 0], present[:, 0] = self._last, self._present
        worth = np.zeros(len(times))
        for number, piece in enumerate(pieces):
            if piece is None:
                closes[number, 1:] = self._last[number]
            elif len(piece.bars) == len(times):
                closes[number, 1:], present[number, 1:] = piece.bars.close, True
            else:
                at = np.searchsorted(times, piece.bars.times)
                present[number, at + 1] = True
                rows = np.searchsorted(piece.bars.times, times, side="right")
                closes[number, 1:] = np.concatenate([[self._last[number]], piece.bars.close])[rows]
            if piece is not None:
                self._look_for_jumps(number, piece)
            if not self._first[number] and piece is not None:
                self._first[number] = piece.bars.close[0]
            if self._count == 1:
                worth = closes[0, 1:].copy()
            else:
                part = self._cash / self._count
                held = closes[number, 1:] > 0
                first = self._first[number] or 1.0
                worth += np.where(held, part * (closes[number, 1:] / first), part)
        self._correlate(closes, present)
        self._last, self._present = closes[:, -1].copy(), present[:, -1].copy()
        return worth

    def _look_for_jumps(self, number: int, piece: Piece) -> None:
        """As `Holding` does."""
        bars = piece.bars
        before = np.concatenate([[self._last[number] or bars.opens[0]], bars.close[:-1]])
        jumped = (bars.opens >= JUMP_FACTOR * before) | (bars.opens * JUMP_FACTOR <= before)
        if jumped.any():
            self._jumps[number].append(bars.times[jumped])

    def jumps(self) -> list[Times]:
        """Of each symbol the times at which its price jumped."""
        return [np.concatenate([np.empty(0, "M8[us]"), *found]) for found in self._jumps]

    def _correlate(self, closes: Floats, present: Any) -> None:
        both = present[:, 1:] & present[:, :-1]
        before = np.where(closes[:, :-1] > 0, closes[:, :-1], 1.0)
        returns = np.where(both, closes[:, 1:] / before - 1, 0.0)
        if both.all():  # then every two share all of them, and one product is enough
            count, sums, squares = both.shape[1], returns.sum(axis=1), np.square(returns).sum(axis=1)
            self._sums[0] += count
            self._sums[1] += sums[:, None]
            self._sums[2] += sums
            self._sums[3] += squares[:, None]
            self._sums[4] += returns @ returns.T
            return
        mask = both.astype(np.float64)
        self._sums += np.stack(
            [
                mask @ mask.T,
                returns @ mask.T,
                mask @ returns.T,
                (returns * returns) @ mask.T,
                returns @ returns.T,
            ]
        )

    def correlation(self) -> list[list[float | None]]:
        """Of the returns of every two."""
        n, x, y, xx, xy = self._sums
        with np.errstate(divide="ignore", invalid="ignore"):
            covariance = xy / n - x / n * (y / n)
            one, other = xx / n - (x / n) ** 2, (xx / n - (x / n) ** 2).T
            found = covariance / np.sqrt(one * other)
        known = (n >= 3) & (one > 1e-18) & (other > 1e-18)
        return [
            [min(1.0, max(-1.0, float(value))) if known[i, j] else None for j, value in enumerate(row)]
            for i, row in enumerate(found)
        ]


def _merged(outcomes: Sequence[Outcomes]) -> Outcomes:
    """The trades of all symbols as those of one account: the closed ones by their exits, then those still open."""
    exits = np.concatenate([each.exits for each in outcomes])
    order: Rows = np.argsort(exits, kind="stable")

    def joined(name: str) -> Any:
        columns = [getattr(each, name) for each in outcomes]
        closed = np.concatenate([column[: each.closed] for column, each in zip(columns, outcomes, strict=True)])
        still_open = [column[each.closed :] for column, each in zip(columns, outcomes, strict=True)]
        return np.concatenate([closed[order], *still_open])

    return Outcomes(
        joined("bars"),
        joined("return_pct"),
        joined("profit"),
        joined("fees"),
        joined("funding"),
        len(exits),
        joined("entries"),
        exits[order],
        np.concatenate([each.seconds for each in outcomes])[order],
        sum(each.refused for each in outcomes),
    )
