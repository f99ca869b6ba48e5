"""Made-up summaries of many datasets, with the columns that the comparison publishes."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from hermes.steps.comparison import UNIVERSE

START = datetime(2017, 8, 17, 4)


def dataset(symbol: str, interval: str = "4h", **values) -> dict:
    """One row; a measure that is not given is null."""
    known = {
        "symbol": symbol,
        "interval": interval,
        "market": "spot",
        "strategy": "smart_momentum",
        "rows": 1_000,
        "first": START,
        "last": START + timedelta(days=365),
        "buy_signals": 40,
        "sell_signals": 50,
        "total_return_pct": 10.0,
        "benchmark_return_pct": 20.0,
        "trades": 40,
        "initial_cash": 10_000.0,
        "fees": 0.001,
        "slippage_bps": 0.0,
        "fill": "close",
    }
    return dict.fromkeys(UNIVERSE) | known | values


def failure(symbol: str, error: str, cure: str | None, interval: str = "4h") -> dict:
    """One row of a dataset that failed."""
    names = {"symbol": symbol, "interval": interval, "market": "spot", "strategy": "smart_momentum"}
    return dict.fromkeys(UNIVERSE) | names | {"error": error, "cure": cure}


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=UNIVERSE)


def many(count: int, intervals=("4h",), failed: int = 0, seed: int = 1) -> pl.DataFrame:
    """A universe of random figures, some of them undefined."""
    draw = np.random.default_rng(seed)
    trades = draw.negative_binomial(1, 0.02, count)
    holding = 100 * (np.exp(draw.normal(-0.7, 1.8, count)) - 1)
    sharpe = draw.normal(0.1, 0.55, count)
    returns = 100 * (np.exp(sharpe * 0.9 + draw.normal(0, 0.2, count)) - 1)
    rows = []
    for at in range(count):
        interval = intervals[at % len(intervals)]
        traded = trades[at] > 0
        symbol = f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[at * 7 % 26]}{at // len(intervals)}USDT"
        folder = f"trading_signals_smart_momentum_spot_{symbol}_{interval}/execution_20260101_000000"
        rows.append(
            dataset(
                symbol,
                interval,
                rows=int(draw.integers(500, 17_000)),
                total_return_pct=float(returns[at]) if traded else 0.0,
                benchmark_return_pct=float(holding[at]),
                cagr_pct=float(returns[at]) / 3 if traded else 0.0,
                sharpe=float(sharpe[at]) if traded else None,
                sortino=float(sharpe[at]) * 1.4 if traded else None,
                calmar=float(sharpe[at]) * 0.8 if traded else None,
                omega=1 + float(sharpe[at]) / 10 if traded else None,
                max_drawdown_pct=float(draw.beta(3, 4) * 100) if traded else None,
                max_drawdown_duration_s=int(draw.integers(1, 3_000)) * 14_400 if traded else None,
                trades=int(trades[at]),
                win_rate_pct=float(draw.uniform(20, 60)) if traded else None,
                profit_factor=float(draw.uniform(0.5, 2)) if traded else None,
                expectancy=float(draw.normal(0, 50)) if traded else None,
                best_trade_pct=float(draw.uniform(0, 80)) if traded else None,
                worst_trade_pct=float(draw.uniform(-40, 0)) if traded else None,
                exposure_pct=float(draw.uniform(5, 60)) if traded else 0.0,
                end_value=10_000 * (1 + float(returns[at]) / 100) if traded else 10_000.0,
                fees_paid=float(trades[at] * 20.5),
                link=f"../../{folder}/report.html" if at % 3 else None,
            )
        )
    rows += [
        failure(f"FAIL{at}USDT", f"no archive files of FAIL{at}USDT 4h", "check the symbol's name")
        for at in range(failed)
    ]
    return table(*rows)
