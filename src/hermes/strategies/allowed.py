"""The allow-list of `strategies.syntax`: what the source of a strategy may use and still be proven."""

import ast
import types
from abc import ABCMeta
from collections.abc import Mapping
from itertools import chain

import polars as pl
from pydantic import BaseModel
from pydantic.fields import FieldInfo

MOST_VALUES = 100  # of one literal in the source: more could be dates, or the answers themselves


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHIPPED = {
    "smart_momentum": "SmartMomentum",
    "ma_cross": "MovingAverageCross",
    "macd_trend": "MacdTrend",
    "donchian_breakout": "DonchianBreakout",
    "bollinger_reversion": "BollingerReversion",
}
#: What may be used of each module. None of it reads, remembers or runs anything.
MODULES: Mapping[str, frozenset[str]] = {
    "polars": _names(
        """col lit when all_horizontal any_horizontal max_horizontal min_horizontal sum_horizontal mean_horizontal
        coalesce arctan2 Expr DataType Boolean Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float32 Float64"""
    ),
    "polars_talib": _names(  # those of `stages.audit.operations.TA_LIB`: the expression is judged there
        """atr bbands cci donchian ema kama linearreg macd mfi mom natr obv roc rsi sar sma stddev stoch supertrend
        tema trange trima trix willr wma"""
    ),
    "pydantic": _names(
        """AfterValidator BaseModel ConfigDict Field NonNegativeFloat NonNegativeInt PositiveFloat PositiveInt
        ValidationInfo field_validator model_validator"""
    ),
    "typing": _names("Annotated Any ClassVar Final Literal Optional Self TYPE_CHECKING Union final"),
    "collections.abc": _names("Callable Collection Iterable Iterator Mapping Sequence"),
    "__future__": _names("annotations"),
    "math": _names(
        """ceil comb copysign cos e exp factorial fabs floor fsum gcd hypot inf isclose isfinite isinf isnan isqrt log
        log10 log1p log2 nan pi pow prod sin sqrt tan tanh tau trunc"""
    ),
    "hermes.indicators": _names("column indicator look_back"),
    "hermes.indicators.definition": _names("OPEN HIGH LOW CLOSE VOLUME"),
    "hermes.indicators.shipped": _names(
        "adx atr cci ema keltner_lower keltner_upper mfi obv realized_volatility returns rsi sma vwap zscore"
    ),
    "hermes.strategies.base": _names("Parameters Strategy"),
    "hermes.strategies": _names(f"base {' '.join(_SHIPPED)}"),
    **{f"hermes.strategies.{module}": _names(f"Parameters {name}") for module, name in _SHIPPED.items()},
}
BASES = {"hermes.strategies.base.Strategy", "hermes.strategies.base.Parameters", "pydantic.BaseModel",
          *(f"hermes.strategies.{module}.{name}" for module, name in _SHIPPED.items()),
          *(f"hermes.strategies.{module}.Parameters" for module in _SHIPPED)}  # fmt: skip
BUILTINS = _names(
    """abs all any bool classmethod dict divmod enumerate filter float frozenset int isinstance len list map max min
    pow print property range repr reversed round set sorted staticmethod str sum super tuple zip True False None
    ArithmeticError AssertionError Exception IndexError KeyError NotImplementedError TypeError ValueError
    ZeroDivisionError __name__"""
)
#: Methods and attributes of expressions, of plain values, and of a strategy itself.
ATTRIBUTES = _names(
    """abs add alias and_ backward_fill cast ceil clip cum_count cum_max cum_min cum_prod cum_sum diff eq eq_missing
    ewm_mean ewm_std ewm_var exp fill_nan fill_null floor floordiv forward_fill ge gt interpolate is_between is_close
    is_finite is_infinite is_nan is_not_nan is_not_null is_null le log log10 log1p lt mod mul ne ne_missing neg not_
    or_ otherwise pct_change peak_max peak_min pow reverse rolling_kurtosis rolling_max rolling_mean rolling_median
    rolling_min rolling_quantile rolling_skew rolling_std rolling_sum rolling_var round round_sig_figs shift sign sin
    cos tan sqrt struct field sub then truediv when xor truncate
    buy columns conditions cover look_back name parameters parameters_type sell short
    append endswith extend get items join keys lower removeprefix removesuffix replace setdefault split startswith strip
    update upper values"""
)
#: What these have is never taken for something that the source defines itself.
FOREIGN = frozenset(
    chain.from_iterable(
        dir(kind)
        for kind in (
            pl.Expr, pl.Series, pl.DataFrame, pl.LazyFrame, pl.DataType, BaseModel, FieldInfo, type(BaseModel), ABCMeta,
            str, bytes, int, float,
            dict, list, set, tuple, type, property, slice, BaseException, SystemExit, OSError, types.FunctionType,
            types.MethodType, types.BuiltinFunctionType, types.ModuleType, types.CodeType, types.FrameType,
            types.TracebackType, types.GeneratorType,
        )
    )
)  # fmt: skip
TYPES = _names("bool dict float frozenset int list set str tuple")
FORMS = (
    ast.Module, ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.FunctionDef, ast.arguments, ast.arg, ast.Return,
    ast.ClassDef, ast.If, ast.For, ast.Pass, ast.Raise, ast.Assert, ast.Break, ast.Continue, ast.Import, ast.ImportFrom,
    ast.alias, ast.BoolOp, ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Compare, ast.Call, ast.keyword,
    ast.FormattedValue, ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List,
    ast.Tuple, ast.Slice, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context,
)  # fmt: skip
