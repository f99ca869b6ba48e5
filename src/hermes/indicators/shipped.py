"""The shipped indicators, defined as in TA-Lib where it has them (https://ta-lib.org/functions)."""

from functools import partial
from typing import Annotated

import polars as pl
import polars_talib as ta
from pydantic import Field

from hermes.indicators.definition import CLOSE, HIGH, LOW, VOLUME, Expression, Family, LookBack, Parameter, indicator

Period = Annotated[int, Field(ge=1)]
Span = Annotated[int, Field(ge=2)]  # periods of which one bar says nothing
Factor = Annotated[float, Field(ge=0)]

_TA_LIB = "TA-Lib"


def _n(n: int, *_: float) -> int:
    return n


def _n_less_1(n: int, *_: float) -> int:
    return n - 1


# --- averages and trends ---------------------------------------------------------------------------------------------


@indicator(look_back=_n_less_1, source=f"{_TA_LIB} SMA")
def sma(n: Period) -> pl.Expr:
    """Mean of the last N closes"""
    return ta.sma(CLOSE, n)


@indicator(look_back=_n_less_1, source=f"{_TA_LIB} EMA")
def ema(n: Period) -> pl.Expr:
    """Exponential average of the closes with weight 2 / (N + 1), begun with their mean over N"""
    return ta.ema(CLOSE, n)


@indicator(look_back=lambda n: 2 * n - 1, source=f"{_TA_LIB} ADX; Wilder, New Concepts in Technical Trading, 1978")
def adx(n: Span) -> pl.Expr:
    """Wilder's average of |+DI - -DI| / (+DI + -DI) over N bars, in percent"""
    return ta.adx(HIGH, LOW, CLOSE, n)


# --- oscillators -----------------------------------------------------------------------------------------------------


@indicator(look_back=_n, source=f"{_TA_LIB} RSI; Wilder, New Concepts in Technical Trading, 1978")
def rsi(n: Span) -> pl.Expr:
    """100 * average gain / (average gain + average loss), Wilder's averages over N bars"""
    return ta.rsi(CLOSE, n)


@indicator(look_back=_n_less_1, source=f"{_TA_LIB} CCI; Lambert, Commodities, October 1980")
def cci(n: Span) -> pl.Expr:
    """(typical price - its mean over N) / (0.015 * its mean absolute deviation over N)"""
    return ta.cci(HIGH, LOW, CLOSE, n)


@indicator(look_back=_n, source="close-to-close return")
def returns(n: Period) -> pl.Expr:
    """close / close N bars before - 1, as a fraction"""
    return (CLOSE / CLOSE.shift(n)).sub(1)


@indicator(look_back=_n_less_1, source="standard score with the population deviation, as in Bollinger bands")
def zscore(n: Span) -> pl.Expr:
    """(close - mean of N closes) / their standard deviation (ddof 0); null where they are all equal"""
    deviation = CLOSE.rolling_std(n, ddof=0)
    flat = CLOSE.rolling_max(n) == CLOSE.rolling_min(n)  # a running deviation of equal values is rounding, not 0
    return pl.when(~flat).then((CLOSE - CLOSE.rolling_mean(n)) / deviation)


# --- volatility ------------------------------------------------------------------------------------------------------


@indicator(look_back=_n, source=f"{_TA_LIB} ATR; Wilder, New Concepts in Technical Trading, 1978")
def atr(n: Period) -> pl.Expr:
    """Wilder's average of the true range over N bars"""
    average: pl.Expr = ta.atr(HIGH, LOW, CLOSE, n)
    return average


@indicator(look_back=_n, source="Andersen, Bollerslev, Diebold, Labys, Econometrica 71(2), 2003")
def realized_volatility(n: Period) -> pl.Expr:
    """Square root of the sum of the last N squared log returns; not annualized"""
    squared = (CLOSE / CLOSE.shift(1)).log() ** 2
    return squared.rolling_sum(n).clip(lower_bound=0).sqrt()


_KELTNER = "Keltner channel in Linda Raschke's form: an EMA and a multiple of the ATR"


@indicator(look_back=lambda *_: 0, source=_KELTNER)
def keltner_upper(n: Period, m: Period, k: Factor) -> pl.Expr:
    """EMA of the closes over N + K * ATR over M"""
    return ema(n) + k * atr(m)


@indicator(look_back=lambda *_: 0, source=_KELTNER)
def keltner_lower(n: Period, m: Period, k: Factor) -> pl.Expr:
    """EMA of the closes over N - K * ATR over M"""
    return ema(n) - k * atr(m)


# --- volume ----------------------------------------------------------------------------------------------------------


@indicator(look_back=lambda: 0, source=f"{_TA_LIB} OBV; Granville, 1963. Its level depends on the first bar")
def obv() -> pl.Expr:
    """Running sum of the volume, added where the close rose and taken off where it fell"""
    running: pl.Expr = ta.obv(CLOSE, VOLUME)
    return running


@indicator(look_back=_n_less_1, source="volume-weighted mean of the typical price over a moving window")
def vwap(n: Period) -> pl.Expr:
    """Sum of (high + low + close) / 3 * volume over N bars / sum of the volume; null without any volume"""
    traded = VOLUME.rolling_sum(n)
    typical = (HIGH + LOW + CLOSE) / 3
    return pl.when(VOLUME.rolling_max(n) > 0).then((typical * VOLUME).rolling_sum(n) / traded)


@indicator(look_back=_n, source=f"{_TA_LIB} MFI")
def mfi(n: Span) -> pl.Expr:
    """100 * money flow of rising bars / money flow of all, over N bars; money flow is typical price * volume"""
    return ta.mfi(HIGH, LOW, CLOSE, VOLUME, n)


# --- several outputs of one call -------------------------------------------------------------------------------------


def _outputs(
    expression: Expression, parameters: tuple[Parameter, ...], look_back: LookBack, source: str
) -> partial[Family]:
    """A maker of families that are outputs of one call."""
    return partial(Family, parameters=parameters, expression=expression, look_back=look_back, source=source)


def _bands(n: int, k: float) -> pl.Expr:
    return ta.bbands(CLOSE, n, k, k)


def _macd(fast: int, slow: int, signal: int) -> pl.Expr:
    if fast >= slow:  # TA-Lib would swap them and say nothing
        raise ValueError("F below S")
    return ta.macd(CLOSE, fast, slow, signal)


def _stochastic(k: int, d: int) -> pl.Expr:
    return ta.stoch(HIGH, LOW, CLOSE, k, d, 0, d, 0)  # %K over k bars, both smoothings are simple means over d


def _supertrend(n: int, m: float) -> pl.Expr:
    return ta.supertrend(HIGH, LOW, CLOSE, n, m)


def _donchian(n: int) -> pl.Expr:
    return ta.donchian(HIGH, LOW, n)


_LENGTH, _MULTIPLE = Parameter("n", True, 2), Parameter("k", False, 0.0)
_bb = _outputs(_bands, (_LENGTH, _MULTIPLE), _n_less_1, f"{_TA_LIB} BBANDS")
_macds = _outputs(
    _macd,
    (Parameter("f", True, 2), Parameter("s", True, 3), Parameter("g", True, 1)),
    lambda fast, slow, signal: slow + signal - 2,
    f"{_TA_LIB} MACD",
)
_stoch = _outputs(
    _stochastic,
    (Parameter("k", True, 1), Parameter("d", True, 1)),
    lambda k, d: k + 2 * d - 3,
    f"{_TA_LIB} STOCH with simple averages",
)
_trend = _outputs(_supertrend, (_LENGTH, Parameter("m", False, 0.0)), _n, f"{_TA_LIB} SUPERTREND on Wilder's ATR")
_channel = _outputs(_donchian, (_LENGTH,), _n_less_1, f"{_TA_LIB} MAX and MIN")

_SHIPPED = (
    sma,
    ema,
    rsi,
    atr,
    _bb("bb_upper", formula="Mean of N closes + K standard deviations (ddof 0)", field="upperband"),
    _bb("bb_middle", formula="Mean of N closes", field="middleband"),
    _bb("bb_lower", formula="Mean of N closes - K standard deviations (ddof 0)", field="lowerband"),
    _macds("macd", formula="EMA over F - EMA over S", field="macd"),
    _macds("macd_signal", formula="EMA of the MACD over G", field="macdsignal"),
    _macds("macd_hist", formula="MACD - its signal", field="macdhist"),
    _stoch("stoch_k", formula="Mean over D of 100 * (close - low) / (high - low) of K bars", field="slowk"),
    _stoch("stoch_d", formula="Mean over D of stoch_k", field="slowd"),
    _trend("supertrend", formula="Trailing line at M * ATR over N from the middle of high and low", field="supertrend"),
    _trend("supertrend_dir", formula="1 while the close is above the line, -1 below", field="trend", dtype=pl.Int8()),
    _channel("donchian_high", formula="Highest high of N bars, the bar itself included", field="upperband"),
    _channel("donchian_low", formula="Lowest low of N bars, the bar itself included", field="lowerband"),
    adx,
    cci,
    returns,
    zscore,
    realized_volatility,
    keltner_upper,
    keltner_lower,
    obv,
    vwap,
    mfi,
)  # fmt: skip
SHIPPED = {family.name: family for family in _SHIPPED}
