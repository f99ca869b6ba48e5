"""Signals and all measures of one table, by Hermes and by vectorbt. Each function prepares and returns the work."""
# ruff: noqa: PLC0415 (a peer's process imports only what that peer needs)

from collections.abc import Callable, Mapping
from typing import Any

from bench.peers import DIRECTION, FAST, RSI, SLOW, pandas_signals

#: The account of both.
CASH, FEES = 10_000.0, 0.00001  # thousands of trades at usual fees would ruin the account long before the end


def hermes(lake: str) -> Callable[[], Mapping[str, Any]]:
    """`hermes backtest`: the same pass also measures the `next_open` fill, and checks the order of the rows."""
    from bench.places import settings_of
    from hermes.lake.store import Lake
    from hermes.steps.backtest import backtest

    settings = settings_of(lake, **{"backtest.initial_cash": CASH, "backtest.fees": FEES})

    def work() -> Mapping[str, Any]:
        measured = backtest(settings, Lake.open(settings)).measured
        found = measured.results["close"].metrics
        return _facts(measured.tally.buys, found.trades, found.total_return_pct, found.max_drawdown_pct, found.sharpe)

    return work


def vectorbt(lake: str, work_from: str) -> Callable[[], Mapping[str, Any]]:
    """The rules in pandas, then vectorbt, compiled and warm; its `stats` are most of the measures, not all.

    `work_from` says where the measured work begins: at the `files`, or at the `signals`, already in memory.
    """
    import pandas as pd
    import vectorbt as vbt

    from bench.places import feature_files

    files = feature_files(lake)

    def read() -> pd.DataFrame:
        columns = ["datetime", "close", FAST, SLOW, RSI, DIRECTION]
        return pandas_signals(pd.read_parquet(files, columns=columns, partitioning=None).set_index("datetime"))

    def measures(table: pd.DataFrame) -> Mapping[str, Any]:
        portfolio = vbt.Portfolio.from_signals(
            table["close"], table["buy_signal"], table["sell_signal"], init_cash=CASH, fees=FEES, freq="1min"
        )
        stats = portfolio.stats()
        portfolio.annualized_return()
        portfolio.position_coverage()
        trades = portfolio.trades.records_readable
        return _facts(
            int(table["buy_signal"].sum()),
            len(trades),
            stats["Total Return [%]"],
            stats["Max Drawdown [%]"],
            stats["Sharpe Ratio"],
        )

    minutes = pd.date_range("2024-01-01", periods=1000, freq="1min")
    turns = [i % 10 for i in range(1000)]
    warm = pd.DataFrame({"close": [100.0 + turn for turn in turns]}, index=minutes)
    measures(warm.assign(buy_signal=[turn == 1 for turn in turns], sell_signal=[turn == 7 for turn in turns]))
    if work_from == "files":
        return lambda: measures(read())
    table = read()
    return lambda: measures(table)


def _facts(buys: int, trades: int, *figures: float | None) -> Mapping[str, Any]:
    return {"buys": buys, "trades": trades, "figures": [figure and float(f"{figure:.9g}") for figure in figures]}
