"""Accounts with stops on many bars, one cash over many symbols, and a sweep over stops: Hermes, vectorbt, raptorbt.

Signals are in memory. Each function prepares and returns the work, and has done a small piece of it before: vectorbt
compiles then, and all have loaded what they load late.
"""
# ruff: noqa: PLC0415 (a peer's process imports only what that peer needs)

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

CASH, FEES = 10_000.0, 0.00001
STOP, TARGET = 0.02, 0.06


def series(rows: int, seed: int, share: float = 0.004) -> dict[str, Any]:
    """A random walk of bars, and signals."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, rows)))
    opens = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opens, close) * (1 + np.abs(rng.normal(0, 0.0005, rows)))
    low = np.minimum(opens, close) * (1 - np.abs(rng.normal(0, 0.0005, rows)))
    times = np.datetime64("2015-01-01", "us") + np.arange(rows) * np.timedelta64(60_000_000, "us")
    buys, sells = rng.random(rows) < share, rng.random(rows) < share
    return {"times": times, "open": opens, "high": high, "low": low, "close": close, "buys": buys, "sells": sells}


def hermes(rows: int) -> Callable[[], Mapping[str, Any]]:
    """Stops, targets and every measure of one long series."""
    import polars as pl

    from hermes.stages.backtest.account import Account
    from hermes.stages.backtest.engine import backtest

    made = series(rows, 0)
    names = {"times": "datetime", "buys": "buy_signal", "sells": "sell_signal"}
    frame = pl.DataFrame({names.get(name, name): values for name, values in made.items()})
    account = Account(initial_cash=CASH, fees=FEES, stop_loss=STOP, take_profit=TARGET)
    backtest(frame.head(1000), "1m", account)
    return lambda: _facts(metrics := backtest(frame, "1m", account).metrics, metrics.trades)


def vectorbt(rows: int) -> Callable[[], Mapping[str, Any]]:
    """The same; its `stats` are most of the measures."""
    import pandas as pd

    made = series(rows, 0)
    _vectorbt(pd, {name: values[:1000] for name, values in made.items()})()  # compiles
    return _vectorbt(pd, made)


def _vectorbt(pd: Any, made: Mapping[str, Any]) -> Callable[[], Mapping[str, Any]]:
    import vectorbt as vbt

    index = pd.DatetimeIndex(made["times"])
    columns = {name: pd.Series(made[name], index) for name in ("open", "high", "low", "close", "buys", "sells")}

    def work() -> Mapping[str, Any]:
        prices = {name: columns[name] for name in ("open", "high", "low")}
        portfolio = vbt.Portfolio.from_signals(
            columns["close"], columns["buys"], columns["sells"], **prices, sl_stop=STOP, tp_stop=TARGET,
            stop_entry_price="fillprice", stop_exit_price="stopmarket", init_cash=CASH, fees=FEES, freq="1min",
        )  # fmt: skip
        stats = portfolio.stats()
        portfolio.annualized_return(), portfolio.position_coverage()
        return {"trades": int(stats["Total Trades"]), "return": float(f"{stats['Total Return [%]']:.9g}")}

    return work


def raptorbt(rows: int) -> Callable[[], Mapping[str, Any]]:
    """The same with its own account; how it orders a bar's events differs a little."""
    import raptorbt as peer

    made = series(rows, 0)
    config = _raptor_terms(STOP, TARGET)
    times = made["times"].astype(np.int64)
    prices = [made[name] for name in ("open", "high", "low", "close")]
    volume = np.ones(rows)

    def work() -> Mapping[str, Any]:
        found = peer.run_single_backtest(
            times, *prices, volume, made["buys"], made["sells"], 1, 1.0, "X", config=config
        )
        return {"trades": int(found.metrics.total_trades), "return": float(f"{found.metrics.total_return_pct:.9g}")}

    return work


def _raptor_terms(stop: float, target: float, **terms: Any) -> Any:
    import raptorbt as peer

    config = peer.BacktestConfig(initial_capital=CASH, fees=FEES, slippage=0.0, **terms)
    config.set_fixed_stop(stop)
    config.set_fixed_target(target)
    return config


def hermes_portfolio(symbols: int, rows: int, *, shared: bool = False) -> Callable[[], Mapping[str, Any]]:
    """One cash, many symbols; `shared`: with those results alone that the portfolios of the peers have as well.

    Those are the measures of the equity and of the trades, and trades and profit of each symbol.
    """
    from hermes.stages.backtest.account import Account, signal_events
    from hermes.stages.backtest.bars import Bars
    from hermes.stages.backtest.equity import Steps
    from hermes.stages.backtest.holding import Holding
    from hermes.stages.backtest.metrics import measure
    from hermes.stages.backtest.portfolio import Piece, Portfolio
    from hermes.stages.backtest.portfolio_result import PortfolioBacktest
    from hermes.stages.backtest.tally import BarTally

    made = [series(rows, seed) for seed in range(symbols)]
    account = Account(initial_cash=CASH, fees=FEES, size="value:500", stop_loss=STOP, take_profit=TARGET)
    names = [f"S{number:03}USDT" for number in range(symbols)]

    def work(made: Sequence[Mapping[str, Any]] = made) -> Mapping[str, Any]:
        pieces = [
            Piece(
                Bars(one["times"], one["open"], one["close"], one["high"], one["low"]),
                signal_events(one["buys"], one["sells"]),
            )
            for one in made
        ]
        if shared:
            portfolio, tally, holding = Portfolio(account, names, symbols), BarTally(account), Holding()
            curve = portfolio.advance(pieces)
            held = (curve.positions > 0).astype(np.float64)
            steps = Steps(len(held), np.arange(len(held)), curve.equity, held, curve.value)
            nothing = np.ones(len(held))  # in place of a benchmark
            tally.add(curve.times, holding.add(curve.times, nothing, nothing), steps)
            records, numbers = portfolio.trades()
            outcomes = records.outcomes(sum(portfolio.dropped))
            np.bincount(numbers, minlength=symbols), np.bincount(numbers, outcomes.profit, symbols)
            metrics = measure(tally, holding, outcomes, account, "1m")
            return _facts(metrics, metrics.trades)
        backtest = PortfolioBacktest(account, names, symbols, "1m")
        backtest.update(pieces)
        metrics = backtest.finish().metrics
        return _facts(metrics, metrics.trades)

    work([{name: values[:500] for name, values in one.items()} for one in made])
    return work


def vectorbt_portfolio(symbols: int, rows: int) -> Callable[[], Mapping[str, Any]]:
    """The same with `cash_sharing`."""
    import pandas as pd
    import vectorbt as vbt

    made = [series(rows, seed) for seed in range(symbols)]
    names = ("open", "high", "low", "close", "buys", "sells")

    def prepared(count: int) -> Callable[[], Mapping[str, Any]]:
        columns = {name: pd.DataFrame(np.column_stack([one[name][:count] for one in made])) for name in names}

        def work() -> Mapping[str, Any]:
            prices = {name: columns[name] for name in ("open", "high", "low")}
            portfolio = vbt.Portfolio.from_signals(
                columns["close"], columns["buys"], columns["sells"], **prices, sl_stop=STOP, tp_stop=TARGET,
                stop_entry_price="fillprice", stop_exit_price="stopmarket", size=500.0, size_type="value",
                init_cash=CASH, fees=FEES, freq="1min", cash_sharing=True, group_by=True, call_seq="auto",
            )  # fmt: skip
            stats = portfolio.stats()
            return {"trades": int(stats["Total Trades"]), "return": float(f"{stats['Total Return [%]']:.9g}")}

        return work

    prepared(500)()  # compiles
    return prepared(rows)


def raptorbt_portfolio(symbols: int, rows: int) -> Callable[[], Mapping[str, Any]]:
    """One pool of cash with as many positions as 500 each allow."""
    import raptorbt as peer

    config, volume = _raptor_terms(STOP, TARGET, max_positions=int(CASH / 500)), np.ones(rows)
    names = ("open", "high", "low", "close")
    instruments = []
    for seed in range(symbols):
        made = series(rows, seed)
        prices = [made[name] for name in names]
        signals = made["buys"], made["sells"]
        instruments.append((made["times"].astype(np.int64), *prices, volume, *signals, 1, 1.0, f"S{seed:03}"))

    def work() -> Mapping[str, Any]:
        metrics = peer.run_portfolio_backtest(instruments, config, allocation="equal_weight").metrics
        return {"trades": int(metrics.total_trades), "return": float(f"{metrics.total_return_pct:.9g}")}

    return work


def hermes_sweep(rows: int, stops: int, targets: int) -> Callable[[], Mapping[str, Any]]:
    """Every combination of stops and targets, with every measure of each."""
    from hermes.stages.backtest.account import Account, signal_events
    from hermes.stages.backtest.bars import Bars
    from hermes.stages.backtest.trials import search

    made = series(rows, 0, 0.02)
    bars = Bars(made["times"], made["open"], made["close"], made["high"], made["low"])
    wanted = signal_events(made["buys"], made["sells"])
    terms = [
        Account(initial_cash=CASH, fees=FEES, stop_loss=stop, take_profit=target)
        for stop in _grid(stops) for target in _grid(targets)
    ]  # fmt: skip

    def work() -> Mapping[str, Any]:
        found = search(bars, [wanted] * len(terms), "1m", terms)
        return {"trades": sum(each.metrics.trades for each in found)}

    search(bars, [wanted], "1m", terms[:1])
    return work


def raptorbt_sweep(rows: int, stops: int, targets: int) -> Callable[[], Mapping[str, Any]]:
    """The same by its batch, which keeps all cores busy."""
    import raptorbt as peer

    made = series(rows, 0, 0.02)
    times, prices = made["times"].astype(np.int64), [made[name] for name in ("open", "high", "low", "close")]
    items = [
        peer.BatchSingleItem(
            f"{stop} {target}", made["buys"], made["sells"], 1, 1.0, "X", _raptor_terms(stop, target)
        )
        for stop in _grid(stops) for target in _grid(targets)
    ]  # fmt: skip

    def work() -> Mapping[str, Any]:
        found = peer.batch_single_backtest(times, *prices, np.ones(rows), items)
        return {"trades": sum(int(result.metrics.total_trades) for _, result in found)}

    return work


def vectorbt_sweep(rows: int, stops: int, targets: int) -> Callable[[], Mapping[str, Any]]:
    """The same as columns of one portfolio."""
    import pandas as pd
    import vectorbt as vbt

    made = series(rows, 0, 0.02)
    index = pd.DatetimeIndex(made["times"])
    pairs = [(stop, target) for stop in _grid(stops) for target in _grid(targets)]

    def measured(count: int, some: list[tuple[float, float]]) -> Mapping[str, Any]:
        names = ("open", "high", "low", "close", "buys", "sells")
        columns = {name: pd.Series(made[name][:count], index[:count]) for name in names}
        prices = {name: columns[name] for name in ("open", "high", "low")}
        keep = pd.Index(range(len(some)), name="pair")
        stop, target = (np.array([pair[place] for pair in some])[None, :] for place in (0, 1))
        wide = {name: pd.DataFrame(dict.fromkeys(keep, column)) for name, column in columns.items()}
        portfolio = vbt.Portfolio.from_signals(
            wide["close"], wide["buys"], wide["sells"], **{name: wide[name] for name in prices}, sl_stop=stop,
            tp_stop=target, stop_entry_price="fillprice", stop_exit_price="stopmarket", init_cash=CASH, fees=FEES,
            freq="1min",
        )  # fmt: skip
        for name in ("total_return", "annualized_return", "sharpe_ratio", "sortino_ratio", "calmar_ratio",
                     "omega_ratio", "max_drawdown", "position_coverage", "final_value"):  # fmt: skip
            getattr(portfolio, name)()
        trades = portfolio.trades
        trades.closed.win_rate(), trades.closed.profit_factor(), trades.closed.expectancy()
        portfolio.drawdowns.max_duration(), portfolio.orders.fees.sum()
        return {"trades": int(trades.count().sum())}

    measured(500, pairs[:2])  # compiles
    return lambda: measured(rows, pairs)


def _grid(count: int) -> list[float]:
    return [0.002 * (number + 1) for number in range(count)]


def _facts(metrics: Any, trades: int) -> Mapping[str, Any]:
    return {"trades": trades, "return": float(f"{metrics.total_return_pct:.9g}")}
