"""The 23 indicators of the same arrays, by Hermes and by TA-Lib called column by column."""
# ruff: noqa: PLC0415 (a peer's process imports only what that peer needs)

from collections.abc import Callable, Mapping

Facts = Mapping[str, float]


def hermes(rows: int) -> Callable[[], Facts]:
    """The feature plan over a frame in memory."""
    from bench.market import bars
    from hermes.stages.gold.features import features

    silver = bars(rows).lazy()

    def work() -> Facts:
        last = features(silver).collect().row(-1, named=True)
        return {name: float(last[name]) for name in ("ema_26", "rsi_14", "bb_lower_20_2", "supertrend_dir_10_3.0")}

    return work


def ta_lib(rows: int) -> Callable[[], Facts]:
    """TA-Lib's own Python binding, each column with a call of its own, as they stand in the contract."""
    import talib

    from bench.market import bars

    table = bars(rows)
    high, low, close = (table[name].to_numpy() for name in ("high", "low", "close"))

    def work() -> Facts:
        made = {f"sma_{n}": talib.SMA(close, n) for n in (10, 20, 50, 100, 200)}
        made |= {f"ema_{n}": talib.EMA(close, n) for n in (12, 20, 26, 50, 100)}
        made |= {f"rsi_{n}": talib.RSI(close, n) for n in (14, 21)}
        for i, band in enumerate(("upper", "middle", "lower")):
            made[f"bb_{band}_20_2"] = talib.BBANDS(close, 20, 2.0, 2.0)[i]
        for i, line in enumerate(("macd", "macd_signal", "macd_hist")):
            made[f"{line}_12_26_9"] = talib.MACD(close, 12, 26, 9)[i]
        made["atr_14"] = talib.ATR(high, low, close, 14)
        for i, line in enumerate("kd"):
            made[f"stoch_{line}_14_3"] = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)[i]
        for i, name in enumerate(("supertrend_10_3.0", "supertrend_dir_10_3.0")):
            made[name] = talib.SUPERTREND(high, low, close, 10, 3.0)[i]
        return {name: float(made[name][-1]) for name in ("ema_26", "rsi_14", "bb_lower_20_2", "supertrend_dir_10_3.0")}

    return work
