"""Polars operations by the bars that they read, under their names in serialized expressions.

A proven expression consists of these alone. Other operations are not known to only look back.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: A value of each bar from values of that bar.
POINTWISE = _names(
    """Abs Negate Sign Floor Ceil Round RoundSF Truncate Exp Log Log1p Pow Clip Coalesce FillNull Atan2 Trigonometry
    MaxHorizontal MinHorizontal SumHorizontal MeanHorizontal"""
)
POINTWISE_BOOLEAN = _names(
    "Not IsNull IsNotNull IsNan IsNotNan IsFinite IsInfinite IsBetween IsClose AllHorizontal AnyHorizontal"
)
ARITHMETIC = _names("Plus Minus Multiply Divide TrueDivide FloorDivide Modulus")
OPERATORS = ARITHMETIC | _names("Eq EqValidity NotEq NotEqValidity Lt LtEq Gt GtEq And Or Xor LogicalAnd LogicalOr")
EQUALITIES = _names("Eq EqValidity NotEq NotEqValidity")
#: Types of literals and casts.
NUMBERS = _names("Null Boolean Int8 Int16 Int32 Int64 Int128 UInt8 UInt16 UInt32 UInt64 Float32 Float64")
#: By a number of bars, which is their second input.
BY_BARS = _names("Shift ShiftAndFill PctChange Diff")
#: Over a window of bars, exactly.
ROLLING = _names("Min Max Quantile")
#: The same, with a sum that runs from bar to bar: its last digits depend on where the bars begin.
RUNNING = _names("Mean Sum Var Std Skew Kurtosis")
CUMULATIVE = _names("CumSum CumProd CumMin CumMax CumCount")
EXPONENTIAL = _names("EwmMean EwmStd EwmVar")
#: These call Python with whole columns.
PYTHON = _names("AnonymousFunction FoldHorizontal ReduceHorizontal ScanHorizontal CumReduceHorizontal")
#: Nodes of the tree that are expressions, to find them within a node that is not known.
EXPRESSIONS = _names(
    """Column Literal Alias BinaryExpr Ternary Cast Function Agg Over Sort SortBy Gather Filter Slice Explode Rolling
    AnonymousFunction Len"""
)

#: Functions of polars-talib that give each bar a value of that bar and the ones before it: TA-Lib's own
#: (https://ta-lib.org/functions), SuperTrend and Donchian channel. A test compares each with itself on fewer bars.
TA_LIB = _names(
    """accbands ad adosc adx adxr apo aroon aroonosc atr avgdev avgprice bbands beta bop cci cmo correl dema donchian dx
    ema ht_dcperiod ht_dcphase ht_phasor ht_sine ht_trendline ht_trendmode imi kama linearreg linearreg_angle
    linearreg_intercept linearreg_slope ma macd macdext macdfix mama max maxindex medprice mfi midpoint midprice min
    minindex minmax minmaxindex minus_di minus_dm mom natr obv plus_di plus_dm ppo roc rocp rocr rocr100 rsi sar sarext
    sma stddev stoch stochf stochrsi sum supertrend t3 tema trange trima trix tsf typprice ultosc var wclprice willr
    wma"""
)

#: Those that read exactly as many bars before their own as polars-talib gives with each call; of the others even a
#: simple average is a running sum from the first bar on.
TA_LIB_WINDOWS = _names(
    """aroon aroonosc avgdev avgprice bop donchian imi max medprice midpoint midprice min minmax mom roc rocp rocr
    rocr100 trange typprice wclprice willr"""
)
#: Columns that are never null, so that a window of TA-Lib begins with a number wherever it begins.
BARS = _names("open high low close volume")

_WHOLE_COLUMN = _names("Quantile Mode ArgMax ArgMin Skew Kurtosis Entropy NUnique Unique UniqueCounts ValueCounts")
_KNOWN_AS = {
    "Len": "len() counts all rows",
    "Over": "over() sees whole groups of rows",
    "Rank": "rank() compares a bar with all others",
    "Gather": "gather() picks bars by their number",
    "SortBy": "sort_by() brings bars into another order",
    "Sort": "sort() brings bars into another order",
    "Explode": "explode() makes new rows",
    "Filter": "filter() leaves out rows",
    "Slice": "slice() leaves out rows",
}


def described(name: str, inner: str) -> str:
    """The reason why an operation is not proven, with its name in the Polars API.

    Args:
        name: of the operation; inner: of its variant, if it has any.
    """
    if name in _KNOWN_AS:
        return _KNOWN_AS[name]
    if name == "Agg" or name in _WHOLE_COLUMN:
        return f"{method(inner if name == 'Agg' else name)}() is a figure of the whole column"
    variants = ("Boolean", "TemporalExpr", "ListExpr", "ArrayExpr", "StringExpr", "StructExpr", "BinaryExpr")
    said = method(inner if name in variants and inner else name) or "an operation"
    return f"{said}() is not on the list of what is proven"


def method(name: str) -> str:
    """CumSum → cum_sum."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def is_ta_lib(library: str) -> bool:
    """Whether a plug-in's library is that of the installed polars-talib."""
    found = find_spec("polars_talib")
    homes = (found and found.submodule_search_locations) or ()
    # Polars writes a path below the environment relative to it.
    return Path(sys.prefix, library).resolve().parent in [Path(home).resolve() for home in homes]
