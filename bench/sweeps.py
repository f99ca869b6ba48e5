"""One grid of Smart Momentum parameters with all measures, by Hermes and by vectorbt."""
# ruff: noqa: PLC0415 (a peer's process imports only what that peer needs)

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from bench.backtests import CASH, FEES

GRID = {
    "ema_fast": [str(n) for n in range(6, 26, 2)],
    "ema_slow": [str(n) for n in range(30, 130, 10)],
    "st_multiplier": [f"{1.5 + n / 4:g}" for n in range(10)],
}


def hermes(lake: str, symbol: str, out: str = "") -> Callable[[], Mapping[str, Any]]:
    """`hermes sweep` from the feature files to the table of every combination; with `out` to the end: what it says of
    overfitting, the page, the files.
    """
    from bench.places import settings_of
    from hermes.dataset import Dataset
    from hermes.lake.store import Lake
    from hermes.steps.search.sweep import sweep, trials

    account = {"backtest.initial_cash": CASH, "backtest.fees": FEES}
    grid = {f"strategy.smart_momentum.{name}": ",".join(values) for name, values in GRID.items()}
    settings = settings_of(lake, Dataset(symbol=symbol), **account, **grid)

    def work() -> Mapping[str, Any]:
        opened = Lake.open(settings)
        table = sweep(settings, opened, out=Path(out)).tried.table if out else trials(settings, opened).table
        return _facts(table["trades"].sum(), *(table[name].sum() for name in ("total_return_pct", "sharpe")))

    return work


def vectorbt(lake: str, symbol: str) -> Callable[[], Mapping[str, Any]]:
    """TA-Lib once per column, the rules in numpy, `from_signals` over all columns at once, measures by column."""
    import numpy as np
    import pandas as pd
    import talib
    import vectorbt as vbt

    from bench.places import gold
    from hermes.dataset import Dataset

    files = sorted(gold(lake, Dataset(symbol=symbol)).rglob("*.parquet"))
    grid = list(product(*GRID.values()))

    def judged(bars: pd.DataFrame, combinations: list[tuple[str, ...]]) -> tuple[Any, Any]:
        high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))
        rsi = talib.RSI(close, 14)
        neutral = ((rsi >= 45) & (rsi <= 55))[:, None]
        averages = {n: talib.EMA(close, int(n)) for n in (*GRID["ema_fast"], *GRID["ema_slow"])}
        trends = {m: talib.SUPERTREND(high, low, close, 10, float(m))[1] for m in GRID["st_multiplier"]}
        fast, slow, trend = (
            np.column_stack([found[each[i]] for each in combinations])
            for i, found in enumerate((averages, averages, trends))
        )
        above = fast > slow
        crossed = np.zeros_like(above)
        crossed[1:] = above[1:] & (fast <= slow)[:-1]
        exits = np.zeros_like(above)
        exits[1:] = (trend[1:] == -1) & (trend[:-1] == 1)
        return crossed & neutral & (trend == 1), exits

    def measures(bars: pd.DataFrame, combinations: list[tuple[str, ...]]) -> Mapping[str, Any]:
        buy, sell = judged(bars, combinations)
        portfolio = vbt.Portfolio.from_signals(bars["close"], buy, sell, init_cash=CASH, fees=FEES, freq="4h")
        names = (
            "total_return", "annualized_return", "sharpe_ratio", "sortino_ratio", "calmar_ratio", "omega_ratio",
            "max_drawdown", "position_coverage", "total_benchmark_return", "final_value",
        )  # fmt: skip
        found = {name: getattr(portfolio, name)() for name in names}
        trades = portfolio.trades
        closed, drawdowns = trades.closed, portfolio.drawdowns
        for each in (closed.winning, closed.losing):
            each.returns.mean(), each.duration.mean()
        closed.win_rate(), closed.profit_factor(), closed.expectancy()
        closed.returns.max(), closed.returns.min(), drawdowns.max_duration()
        portfolio.orders.fees.sum()
        return _facts(
            trades.count().sum(), 100 * found["total_return"].sum(), found["sharpe_ratio"].replace(np.inf, np.nan).sum()
        )

    columns = ["datetime", "high", "low", "close"]
    first = pd.read_parquet(files[0], columns=columns, partitioning=None).set_index("datetime")
    measures(first, grid[:2])  # compiles
    return lambda: measures(pd.read_parquet(files, columns=columns, partitioning=None).set_index("datetime"), grid)


def _facts(trades: int, *figures: float) -> Mapping[str, Any]:
    return {"trades": int(trades), "figures": [float(f"{figure:.9g}") for figure in figures]}
