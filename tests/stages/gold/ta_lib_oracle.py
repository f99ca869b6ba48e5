"""The independent answer: every column as TA-Lib's own Python binding computes it."""

import numpy as np
import talib


def oracle(
    name: str, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray | None = None
) -> np.ndarray:
    """The column as TA-Lib's own Python binding computes it."""
    if name == "obv":
        return talib.OBV(close, volume)
    family = name.rstrip("0123456789._")
    numbers = [float(part) if "." in part else int(part) for part in name.removeprefix(family + "_").split("_")]
    match family.split("_"):
        case ["sma"]:
            return talib.SMA(close, *numbers)
        case ["ema"]:
            return talib.EMA(close, *numbers)
        case ["rsi"]:
            return talib.RSI(close, *numbers)
        case ["atr"]:
            return talib.ATR(high, low, close, *numbers)
        case ["bb", band]:
            bands = talib.BBANDS(close, numbers[0], float(numbers[1]), float(numbers[1]))
            return bands[("upper", "middle", "lower").index(band)]
        case ["macd", *line]:
            return talib.MACD(close, *numbers)[("", "signal", "hist").index("".join(line))]
        case ["stoch", line]:
            k, d = numbers
            return talib.STOCH(high, low, close, k, d, 0, d, 0)["kd".index(line)]
        case ["supertrend"]:
            return talib.SUPERTREND(high, low, close, numbers[0], float(numbers[1]))[0]
        case ["supertrend", "dir"]:
            trend = talib.SUPERTREND(high, low, close, numbers[0], float(numbers[1]))[1].astype(float)
            return np.where(trend == 0, np.nan, trend)
        case ["mfi"]:
            return talib.MFI(high, low, close, volume, *numbers)
        case ["adx"]:
            return talib.ADX(high, low, close, *numbers)
        case ["cci"]:
            return talib.CCI(high, low, close, *numbers)
        case ["donchian", side]:
            return talib.MAX(high, *numbers) if side == "high" else talib.MIN(low, *numbers)
    raise AssertionError(name)
