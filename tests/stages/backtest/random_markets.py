"""Random bars with highs and lows, signals and accounts."""

from datetime import datetime, timedelta

import numpy as np
from hypothesis import strategies as st

from hermes.stages.backtest.account import Account, signal_events
from hermes.stages.backtest.bars import Bars

START = datetime(2023, 1, 1)
HOUR = timedelta(hours=1)


def market(seed: int, rows: int, *, volatility=0.02, tick=None, gaps=0.3, every=HOUR, missing=0.0) -> Bars:
    """A random walk; some bars open away from the close before them, some are missing."""
    rng = np.random.default_rng(seed)
    opens = np.empty(rows)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, rows)))
    opens[0] = 100.0
    opens[1:] = close[:-1] * np.where(rng.random(rows - 1) < gaps, np.exp(rng.normal(0, volatility, rows - 1)), 1)
    if tick:
        close, opens = (np.round(each / tick).clip(1) * tick for each in (close, opens))
    spread = np.abs(rng.normal(0, volatility / 2, (2, rows)))
    high = np.maximum(opens, close) * (1 + spread[0])
    low = np.minimum(opens, close) * (1 - spread[1].clip(0, 0.9))
    steps = np.where(rng.random(rows) < missing, rng.integers(2, 12, rows), 1).cumsum() - 1
    times = np.datetime64(START, "us") + steps * np.timedelta64(every)
    return Bars(times.astype("datetime64[us]"), opens, close, high, low)


def signals(seed: int, rows: int, share: float, kinds: int = 2) -> np.ndarray:
    """Booleans of shape `kinds` × rows."""
    return np.random.default_rng(seed + 1).random((kinds, rows)) < share


def wanted(given: np.ndarray):
    return signal_events(*given)


seeds = st.integers(0, 2**32 - 1)


def accounts(**fixed) -> st.SearchStrategy[Account]:
    """Accounts of every kind."""
    terms = {
        "initial_cash": st.sampled_from([10_000.0, 137.31]),
        "fees": st.sampled_from([0.0, 0.001, 0.02]),
        "slippage_bps": st.sampled_from([0.0, 5.0, 150.0]),
        "fill": st.sampled_from(["close", "next_open"]),
        "side": st.sampled_from(["long", "short", "both"]),
        "size": st.sampled_from(["all", "fraction:0.1", "fraction:0.7", "value:50", "value:1000", "volatility:0.5"]),
        "stop_loss": st.sampled_from([None, 0.01, 0.03, 0.3]),
        "take_profit": st.sampled_from([None, 0.01, 0.05, 0.3]),
        "trailing_stop": st.sampled_from([None, 0.01, 0.04, 0.3]),
        "max_bars": st.sampled_from([None, 1, 3, 20]),
        "min_order": st.sampled_from([0.0, 0.0, 40.0]),
        "lot_step": st.sampled_from([0.0, 0.0, 0.2537]),
        "inverse": st.booleans(),
        "bars_per_year": st.just(8760.0),
    }
    return st.builds(Account, **(terms | {name: st.just(value) for name, value in fixed.items()}))
