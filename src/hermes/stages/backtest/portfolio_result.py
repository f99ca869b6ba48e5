"""The result of a portfolio: the measures of its equity, and those of holding all its symbols in equal parts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from hermes.dataset import periods_per_year
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.correlation import Correlation
from hermes.stages.backtest.engine import BLOCK_ROWS
from hermes.stages.backtest.equal_parts import EqualParts
from hermes.stages.backtest.equity import Steps
from hermes.stages.backtest.holding import Holding
from hermes.stages.backtest.intervals import Intervals, intervals
from hermes.stages.backtest.metrics import Metrics, measure, spanning
from hermes.stages.backtest.periods import PeriodReturns
from hermes.stages.backtest.portfolio import Piece, Portfolio
from hermes.stages.backtest.tally import BarTally
from hermes.stages.backtest.trades import Outcomes


@dataclass(frozen=True, slots=True)
class PortfolioResult:
    """The result of a portfolio.

    Attributes:
        metrics: of the account; benchmark: of holding equal parts of all symbols, each from its first close on, without
            fees.
        turnover: half the value of all orders over the average equity, of a year; None without a bar.
        symbols: `symbol, trades, wins, contribution_pct, fees, funding, dropped`, one row each; contributions are
            profits in percent of the initial cash.
        correlation: of the symbols' returns, in the order of `symbols`, where both have a bar and the one before it;
            null where fewer than 3 are shared or one does not vary.
        trades: one row per trade of all symbols, see `Records.frame`, in the order of their entries.
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
    """Backtests a portfolio, with its running measures.

    Args:
        account, symbols, max_positions: see `Portfolio`; symbols in alphabetical order.
        interval: of the bars, by its name.
    """

    def __init__(self, account: Account, symbols: Sequence[str], max_positions: int, interval: str) -> None:
        self._account, self._interval = account, interval
        self._portfolio = Portfolio(account, symbols, max_positions)
        self._parts, self._correlation = EqualParts(len(symbols), account.initial_cash), Correlation(len(symbols))
        self._tally, self._holding = BarTally(account), Holding()
        self._periods = PeriodReturns(account.initial_cash)
        self._beside = ThreadPoolExecutor(1, "correlate")
        self._correlated: Future[None] | None = None  # the bars before
        self._waiting: list[pl.DataFrame] = []
        self._curve: list[pl.DataFrame] = []
        self._rows = 0

    def update(self, pieces: Sequence[Piece | None]) -> None:
        """The next bars of every series, None of one that has none: all of those up to some time, at least one."""
        grid = self._portfolio.grid(pieces)
        if self._correlated:
            self._correlated.result()
        self._correlation.take(grid)
        # One long call of NumPy, beside which Python fills the orders; many short ones would wait for it each time.
        self._correlated = self._beside.submit(self._correlation.sum_up)
        benchmark = self._parts.add(grid, [piece and piece.bars for piece in pieces])
        curve = self._portfolio.trade(self._portfolio.look(pieces, grid))
        frame = pl.DataFrame(
            {
                "datetime": curve.times,
                "equity": curve.equity,
                "benchmark": benchmark,
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

    def _correlated_all(self) -> list[list[float | None]]:
        if self._correlated:
            self._correlated.result()  # raises what it raised
        return self._correlation.matrix()

    def _measure(self, count: int) -> None:
        """The next bars in the engine's blocks, so that sums of floats are the same to the last bit."""
        waiting = pl.concat(self._waiting, rechunk=True)
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
        """The result; `update` must not be called afterwards."""
        correlation = self._beside.submit(self._correlated_all)
        self._beside.shutdown(wait=False)
        if self._rows:
            self._measure(self._rows)
        records, numbers = self._portfolio.trades()
        outcomes = records.outcomes(sum(self._portfolio.dropped))
        metrics = measure(self._tally, self._holding, outcomes, self._account, self._interval)
        jumps, jumped = self._parts.jumps, np.zeros(len(numbers), np.bool_)
        for number, times in jumps.items():
            mine = numbers == number
            jumped[mine] = spanning(outcomes, times)[mine]
        metrics = replace(metrics, price_jumps=sum(map(len, jumps.values())), trades_over_jumps=int(jumped.sum()))
        curve = pl.concat(self._curve, rechunk=True).drop("changed")  # in one piece, or its sums depend on the pieces
        peak = pl.col("equity").cum_max()
        curve = curve.with_columns(drawdown_pct=100 * (peak - pl.col("equity")) / peak)
        years = None if metrics.elapsed_days is None else metrics.elapsed_days / 365
        average = curve["equity"].mean()
        trades = records.frame()
        trades.insert_column(0, pl.Series("symbol", self._portfolio.symbols, pl.String).gather(numbers))
        turnover = None
        if years and isinstance(average, float) and average > 0:
            turnover = float(curve["traded"].sum()) / 2 / average / years
        return PortfolioResult(
            metrics=metrics,
            benchmark=self._benchmark(curve),
            turnover=turnover,
            symbols=self._symbols(outcomes, numbers),
            correlation=correlation.result(),
            trades=trades.sort("entry_time", "symbol", maintain_order=True),
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

    def _symbols(self, outcomes: Outcomes, numbers: Rows) -> pl.DataFrame:
        """The results of the trades of each symbol."""
        count = len(self._portfolio.symbols)

        def added(values: Floats) -> Floats:
            found: Floats = np.bincount(numbers, values, count).astype(np.float64, copy=False)
            return found

        wins = outcomes.profit[: outcomes.closed] > 0
        return pl.DataFrame(
            {
                "symbol": self._portfolio.symbols,
                "trades": np.bincount(numbers, minlength=count),
                "wins": np.bincount(numbers[: outcomes.closed][wins], minlength=count),
                "contribution_pct": 100 * added(outcomes.profit) / self._account.initial_cash,
                "fees": added(outcomes.fees),
                "funding": added(outcomes.funding),
                "dropped": self._portfolio.dropped,
            }
        )
