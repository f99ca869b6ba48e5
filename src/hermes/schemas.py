"""The column contract of every layer: name → Polars type, in order.

Times are naive UTC microseconds. A null means "not known"; NaN never stands in any table of Hermes.
"""

from collections.abc import Mapping

import polars as pl

Schema = Mapping[str, pl.DataType]

DATETIME = pl.Datetime("us")

ARROW_SCHEMA = "ARROW:schema"  # key in the footer of a Parquet file: its columns in Arrow's words

#: An open this many times the close before it, or this small a part of it: a redenomination, or a fault.
JUMP_FACTOR = 5.0
JUMP_FROM = JUMP_FACTOR * (1 - 1e-9)  # so that rounding does not decide about a factor of exactly 5: 0.07 to 0.35

#: A time of the exchange below this is in milliseconds, else in microseconds: as milliseconds it is the year 5138, as
#: microseconds 1973.
MILLISECONDS_BELOW = 10**14


def in_microseconds(time: pl.Expr) -> pl.Expr:
    """Times of bronze, which are in the units of their files."""
    return pl.when(time < MILLISECONDS_BELOW).then(time * 1000).otherwise(time)


def as_microseconds(time: int) -> int:
    """One such time."""
    return time * 1000 if time < MILLISECONDS_BELOW else time


#: One row per line of an archive file, values unchanged (times stay in the file's own unit).
BRONZE: Schema = {
    "line": pl.UInt32(),  # 1-based line in the CSV, so that a rejected row can be found again
    "open_time": pl.Int64(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "close_time": pl.Int64(),
    "quote_volume": pl.Float64(),
    "count": pl.Int64(),
    "taker_buy_volume": pl.Float64(),
    "taker_buy_quote_volume": pl.Float64(),
    "ignore": pl.String(),
}

#: One clean, ordered, unique series; `datetime` is the bar's open time.
SILVER: Schema = {
    "datetime": DATETIME,
    "symbol": pl.String(),
    "timeframe": pl.String(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "quote_volume": pl.Float64(),
    "count": pl.Int64(),
    "taker_buy_volume": pl.Float64(),
    "taker_buy_quote_volume": pl.Float64(),
    "zero_volume": pl.Boolean(),
    "source": pl.String(),  # stem of the archive file that the row came from
}

#: Coin-margined contracts are traded in numbers of contracts, and what the archive calls quote volume is in coin.
_COIN_MARGINED = {"quote_volume": "base_volume", "taker_buy_quote_volume": "taker_buy_base_volume"}


def silver_schema(market: str) -> Schema:
    """The columns of silver; coin-margined contracts (cm) have other names for volumes."""
    return {_COIN_MARGINED.get(name, name): dtype for name, dtype in SILVER.items()} if market == "cm" else SILVER


#: One row per line of an archive file of funding rates, values unchanged.
BRONZE_FUNDING: Schema = {
    "line": pl.UInt32(),
    "calc_time": pl.Int64(),
    "funding_interval_hours": pl.Int64(),
    "last_funding_rate": pl.Float64(),
}

#: The funding of one contract, each instant once; times to the minute, as the exchange stamps them some ms late.
SILVER_FUNDING: Schema = {
    "datetime": DATETIME,
    "symbol": pl.String(),
    "rate": pl.Float64(),
    "interval_hours": pl.Int64(),
    "source": pl.String(),
}

#: Rows that silver refused: where they stand in the archive, the first rule they broke, their values.
REJECTS: Schema = {
    "source": pl.String(),
    "line": pl.UInt32(),
    "rule": pl.String(),
    **{name: dtype for name, dtype in BRONZE.items() if name not in ("line", "ignore")},
}

#: The 23 indicators of the gold feature table.
INDICATORS: Schema = {
    **{f"sma_{n}": pl.Float64() for n in (10, 20, 50, 100, 200)},
    **{f"ema_{n}": pl.Float64() for n in (12, 20, 26, 50, 100)},
    **{f"rsi_{n}": pl.Float64() for n in (14, 21)},
    **{f"bb_{band}_20_2": pl.Float64() for band in ("upper", "middle", "lower")},
    "macd_12_26_9": pl.Float64(),
    "macd_signal_12_26_9": pl.Float64(),
    "macd_hist_12_26_9": pl.Float64(),
    "atr_14": pl.Float64(),
    "stoch_k_14_3": pl.Float64(),
    "stoch_d_14_3": pl.Float64(),
    "supertrend_10_3.0": pl.Float64(),
    "supertrend_dir_10_3.0": pl.Int8(),  # 1 bullish, -1 bearish
}

FEATURES: Schema = {
    "datetime": DATETIME,
    "symbol": pl.String(),
    "timeframe": pl.String(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    **INDICATORS,
}
