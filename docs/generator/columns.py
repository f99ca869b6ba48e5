"""The columns of every layer, from schemas.py and from the files that the demo wrote."""

from collections.abc import Mapping

import polars as pl

from generator.demo import document, folder
from generator.markdown import code, table
from hermes.indicators import look_back
from hermes.schemas import BRONZE, FEATURES, INDICATORS, REJECTS, SILVER, silver_schema

_PRICES = "first, highest, lowest and last price of the bar"
_MEANING: Mapping[str, str] = {
    "line": "line of the archive's CSV, counted from 1",
    "open_time": "when the bar opens, in the file's own unit (milliseconds or microseconds)",
    "close_time": "when the bar closes, in the file's own unit",
    "ignore": "a field that the exchange does not use",
    "datetime": "when the bar opens, UTC; a signal on the bar is known at its close",
    "symbol": "like BTCUSDT",
    "timeframe": "the interval, like 4h",
    "open": _PRICES, "high": _PRICES, "low": _PRICES, "close": _PRICES,
    "volume": "traded, in the base currency",
    "quote_volume": "traded, in the quote currency",
    "base_volume": "of coin-margined contracts: traded, in the base currency (`volume` counts contracts there)",
    "taker_buy_base_volume": "of it bought by takers, in the base currency",
    "count": "number of the exchange's trades",
    "taker_buy_volume": "of it bought by takers, in the base currency",
    "taker_buy_quote_volume": "of it bought by takers, in the quote currency",
    "zero_volume": "nothing was traded in the bar; it is kept and flagged",
    "source": "stem of the archive file that the row came from",
    "rule": "the first rule that the row broke",
    "buy_signal": "enter here, if flat",
    "sell_signal": "leave here, if long",
    "ema_cross": "the fast EMA is above the slow one, and on the bar before it was not",
    "rsi_neutral": "the RSI is between its two bounds",
    "st_bullish": "the SuperTrend points up",
    "st_exit": "the SuperTrend points down, and on the bar before it pointed up",
    "strategy": "name of the strategy",
    "generated_at": "when the execution was made, UTC, ISO 8601",
    "year": "of `datetime`", "month": "of `datetime`",
    "layer": "always `gold`",
    "data_type": "always `trading_signals`",
    "validated_return_pct": "total return in percent, measured on exactly the rows of this file",
    "validated_sharpe_ratio": "Sharpe ratio, measured on exactly the rows of this file; null where undefined",
    "validated_max_drawdown_pct": "deepest drawdown in percent, positive, measured on exactly the rows of this file",
    "position": "1 while the strategy is long after this bar, else 0",
}  # fmt: skip
_FAMILIES: Mapping[str, str] = {
    "sma": "simple moving average of the close",
    "ema": "exponential moving average of the close",
    "rsi": "relative strength index of the close, Wilder's smoothing",
    "bb": "Bollinger band: 20-bar mean, and two deviations around it",
    "macd": "MACD line, its signal and their difference",
    "atr": "average true range, Wilder's smoothing",
    "stoch": "slow stochastic oscillator",
    "supertrend": "SuperTrend on Wilder's ATR; its direction is 1 (bullish) or -1 (bearish)",
}

_INTRODUCTION = """# Columns

Times are naive UTC microseconds. A null means "not known", and the warm-up of an indicator is null; NaN stands in no
table that Hermes writes. Feature tables of other tools may have it: it is read as null.
"""


def page() -> str:
    """The page."""
    document("demo")
    (signals,) = folder().glob("lake/gold/trading_signals_*/execution_*/signals.parquet")
    bars = {name: dtype for name, dtype in FEATURES.items() if name not in INDICATORS}
    return "".join([
        _INTRODUCTION,
        "\n## Bronze\n\nOne row for each line of an archive file, values unchanged.\n\n", _table(BRONZE),
        "\n## Silver\n\nOne clean, ordered, unique series.\n\n", _table(SILVER),
        "\nA series of coin-margined contracts (market cm) has these instead of the quote volumes, and its `volume` "
            "and `taker_buy_volume` count contracts:\n\n",
        _table({name: dtype for name, dtype in silver_schema("cm").items() if name not in SILVER}),
        "\n## Rejected rows\n\nBeside silver, under `rejects/`.\n\n", _table(REJECTS),
        "\n## Gold features\n\n", _table(bars),
        "\n\nThen the indicators, over the whole history from the first bar. Definitions are TA-Lib's. *Null until* is "
        "how many bars stand before the first value; `hermes audit` says how many a value really needs before it no "
            "longer depends on where the history begins.\n\n",
        _indicators(),
        "\n## Gold signals\n\nConditions and indicators are those of the strategy; these are Smart Momentum's. "
            "Booleans are never null.\n\n",
        _table(pl.read_parquet_schema(signals)),
    ])  # fmt: skip


def _table(schema: Mapping[str, pl.DataType]) -> str:
    rows = [(code(name), _type(dtype), _MEANING.get(name) or _family(name)) for name, dtype in schema.items()]
    return table(("column", "type", "is"), rows)


def _indicators() -> str:
    rows = [(code(name), _type(dtype), str(look_back(name)), _family(name)) for name, dtype in INDICATORS.items()]
    return table(("column", "type", "null until", "is"), rows)


def _family(column: str) -> str:
    try:
        return _FAMILIES[column.split("_", maxsplit=1)[0]]
    except KeyError:
        raise RuntimeError(f"column {column} has no text in docs/generator/columns.py: say what it is") from None


def _type(dtype: pl.DataType) -> str:
    """As Parquet readers see it: an enum of one text is a text to them."""
    if isinstance(dtype, pl.Datetime):
        return f"Datetime({dtype.time_unit})"
    return "text" if dtype == pl.String or isinstance(dtype, pl.Enum) else str(dtype)
