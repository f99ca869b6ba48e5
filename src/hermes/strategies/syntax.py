"""What the source of a strategy does outside Polars expressions, read off its syntax tree before it runs.

An expression tells what it looks at, but not where its constants come from: a file that was read, a clock, the command
line. Source made of nothing but what is named here cannot reach any of these: it builds expressions from parameters and
from numbers that stand in it. Everything else is named with its line; it may be honest, but that is not proven.
"""

import ast
import builtins
import re
import symtable
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import decode_source
from itertools import chain
from typing import NamedTuple

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
        ValidationInfo computed_field field_validator model_validator"""
    ),
    "typing": _names("Annotated Any ClassVar Final Literal NamedTuple Optional Self TYPE_CHECKING Union cast final"),
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
_BASES = {"hermes.strategies.base.Strategy", "hermes.strategies.base.Parameters", "pydantic.BaseModel",
          "typing.NamedTuple", *(f"hermes.strategies.{module}.{name}" for module, name in _SHIPPED.items()),
          *(f"hermes.strategies.{module}.Parameters" for module in _SHIPPED)}  # fmt: skip
_BUILTINS = _names(
    """abs all any bool classmethod dict divmod enumerate filter float frozenset int isinstance len list map max min
    pow print property range repr reversed round set sorted staticmethod str sum super tuple zip True False None
    ArithmeticError AssertionError Exception IndexError KeyError NotImplementedError TypeError ValueError
    ZeroDivisionError __name__"""
)
#: Methods and attributes of expressions, of plain values, and of a strategy itself.
_ATTRIBUTES = _names(
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
_FOREIGN = frozenset(
    chain.from_iterable(
        dir(kind)
        for kind in (
            pl.Expr, pl.Series, pl.DataFrame, pl.LazyFrame, pl.DataType, BaseModel, FieldInfo, str, bytes, int, float,
            dict, list, set, tuple, type, property, slice, BaseException, SystemExit, OSError, types.FunctionType,
            types.MethodType, types.BuiltinFunctionType, types.ModuleType, types.CodeType, types.FrameType,
            types.TracebackType, types.GeneratorType,
        )
    )
)  # fmt: skip
_PLAIN = re.compile(r"[\w.\[\], |]+")
_FORMS = (
    ast.Module, ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.FunctionDef, ast.arguments, ast.arg, ast.Return,
    ast.ClassDef, ast.If, ast.For, ast.Pass, ast.Raise, ast.Assert, ast.Break, ast.Continue, ast.Import, ast.ImportFrom,
    ast.alias, ast.BoolOp, ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Compare, ast.Call, ast.keyword,
    ast.FormattedValue, ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List,
    ast.Tuple, ast.Slice, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context,
)  # fmt: skip


def outside(source: str | bytes) -> tuple[str, ...]:
    """What a strategy's source uses that is neither a Polars expression nor plain arithmetic, with its line.

    Args:
        source: of a Python module.

    Returns:
        One clause for each, in the order of the lines; empty where it uses nothing else.
    """
    text = decode_source(source) if isinstance(source, bytes) else source
    try:
        tree = ast.parse(text)
        found = _Source(tree, symtable.symtable(text, "strategy", "exec"))
    except (SyntaxError, RecursionError, ValueError):
        return ("its source cannot be read",)
    said = dict.fromkeys(sorted(found.said(), key=lambda each: each[0]))
    return tuple(dict.fromkeys(f"{what} (line {line})" for line, what in said))


_Said = Iterator[tuple[int, str]]


class _Scope(NamedTuple):
    """Where a node stands: in `__init__`, which sets what is the strategy's own; names of the strategy's parameters."""

    initial: bool
    parameters: frozenset[str]


class _Source:
    """One module: its tree, and what its names stand for."""

    def __init__(self, tree: ast.Module, table: symtable.SymbolTable) -> None:
        self.tree, self.table = tree, table
        self.imported = dict(_imported(tree))  # local name → what it stands for, dots in it
        self.classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        self.own = {name for name in _defined(tree) if name not in _FOREIGN}
        self.inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    def said(self) -> _Said:
        """Everything that is not on the lists."""
        yield from self._globals(self.table)
        yield from self._nodes(self.tree, _Scope(initial=False, parameters=frozenset()))

    def _globals(self, table: symtable.SymbolTable) -> _Said:
        """Names that may stand for a builtin: only a function's own names surely do not."""
        for symbol in table.get_symbols():
            name = symbol.get_name()
            local = table.get_type() == "function" and (symbol.is_local() or symbol.is_free())
            if local or not symbol.is_referenced() or name in _BUILTINS:
                continue
            if hasattr(builtins, name) or name.startswith("__"):
                yield self._line_of(name), f"it uses {name}"
        for child in table.get_children():
            yield from self._globals(child)

    def _line_of(self, name: str) -> int:
        lines = (node.lineno for node in ast.walk(self.tree) if isinstance(node, ast.Name) and node.id == name)
        return min(lines, default=1)

    def _nodes(self, node: ast.AST, scope: _Scope) -> _Said:
        """A node within a function, or the module, and all below it."""
        line = getattr(node, "lineno", 1)
        if not isinstance(node, _FORMS):
            yield line, f"it uses {_form(node)}"
        yield from ((line, what) for what in self._node(node, scope))
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            scope = _Scope(getattr(node, "name", "") == "__init__", _parameter_names(node))
        for child in ast.iter_child_nodes(node):
            yield from self._nodes(child, scope)

    def _node(self, node: ast.AST, scope: _Scope) -> Iterator[str]:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from (f"it imports {name}" for name in _foreign_imports(node))
            case ast.Attribute(ctx=ast.Load()):
                if not self._is_known(node, scope):
                    dotted = self._dotted(node.value)
                    yield f"it uses {ast.unparse(node)}" if dotted else f"it uses .{node.attr}"
            case ast.Attribute():
                if not (scope.initial and ast.unparse(node.value) == "self" and node.attr in self.own):
                    yield f"it sets {ast.unparse(node)}"
            case ast.Name(id=name) if name in self.imported:
                yield from self._import_used(node)
            case ast.arg(arg=name) | ast.ClassDef(name=name) | ast.FunctionDef(name=name) if name in self.imported:
                yield f"it gives {name} another meaning"
            case ast.ClassDef():
                yield from self._class(node)
            case ast.FunctionDef(name=name) if name.startswith("__") and name != "__init__":
                yield f"it defines {name}"
            case ast.AnnAssign(annotation=ast.expr() as said) | ast.arg(annotation=ast.expr() as said) if (
                text := _hidden(said)
            ):
                yield f"it has the annotation {text!r}"
            case ast.FunctionDef(returns=ast.expr() as said) if text := _hidden(said):
                yield f"it has the annotation {text!r}"
            case ast.Constant() | ast.List() | ast.Tuple() | ast.Set() | ast.Dict() if _size(node) > MOST_VALUES:
                yield f"it holds a literal of {_size(node):,} values"

    def _import_used(self, node: ast.Name) -> Iterator[str]:
        """A module must be used by its members alone, and no import may be given another meaning."""
        if not isinstance(node.ctx, ast.Load):
            yield f"it gives {node.id} another meaning"
        elif id(node) not in self.inner and _is_package(self.imported[node.id]):
            yield f"it passes the module {node.id} on"

    def _class(self, node: ast.ClassDef) -> Iterator[str]:
        if node.keywords:
            yield f"the class {node.name} has {node.keywords[0].arg or 'keywords'}"
        for base in node.bases:
            stands_for = self._dotted(base)
            if stands_for not in _BASES and not (isinstance(base, ast.Name) and base.id in self.classes):
                yield f"the class {node.name} is made from {ast.unparse(base)}"

    def _dotted(self, node: ast.AST) -> str:
        """`pl.col` → `polars.col`; empty for what does not begin with an import."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id, "")
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        return ""

    def _is_known(self, node: ast.Attribute, scope: _Scope) -> bool:
        """Whether what is read is a member of a module that is on the list, or of a value that such members make."""
        name, base = node.attr, node.value
        before = self._dotted(base)
        if before and _is_package(before):
            return name in MODULES.get(before, ()) or _is_package(f"{before}.{name}")
        if name.startswith("__"):
            return name == "__init__" and isinstance(base, ast.Call) and ast.unparse(base) == "super()"
        if name in _ATTRIBUTES or name in self.own:
            return True
        of_parameters = _is_parameters(base) or (isinstance(base, ast.Name) and base.id in scope.parameters)
        return of_parameters and not name.startswith("_") and not hasattr(BaseModel, name)


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield (each.asname, each.name) if each.asname else (each.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                yield each.asname or each.name, f"{node.module}.{each.name}"


def _foreign_imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names if each.name not in MODULES)
    elif node.level or not node.module or node.module not in MODULES:
        yield "." * node.level + (node.module or "")
    else:
        yield from (f"{node.module}.{each.name}" for each in node.names if each.name not in MODULES[node.module])


def _is_package(dotted: str) -> bool:
    """Whether it is a module on the list, or a package with one."""
    return any(each == dotted or each.startswith(f"{dotted}.") for each in MODULES)


def _defined(tree: ast.AST) -> Iterator[str]:
    """Names that can be attributes of what the source defines: methods, fields, what `__init__` sets."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ClassDef():
                pass
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def _is_parameters(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "parameters" and ast.unparse(node.value) == "self"


def _parameter_names(function: ast.AST) -> frozenset[str]:
    """Names that stand for nothing but the strategy's parameters in a function."""
    nodes = list(ast.walk(function))
    stored = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    stored.update(node.arg for node in nodes if isinstance(node, ast.arg))
    given = Counter(
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _is_parameters(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    )
    return frozenset(name for name, times in given.items() if times == stored[name])


def _hidden(annotation: ast.expr) -> str:
    """A text in an annotation that is more than a type's name: pydantic runs it. Those of a `Literal` are values."""
    literals = {
        id(below)
        for node in ast.walk(annotation)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).split(".")[-1] == "Literal"
        for below in ast.walk(node.slice)
    }
    texts = (
        node.value
        for node in ast.walk(annotation)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in literals
    )
    return next((text for text in texts if "__" in text or not _PLAIN.fullmatch(text)), "")


def _size(node: ast.AST) -> int:
    """Values that a literal holds; of a number the digits beyond the usual, of a text none where it stands alone."""
    match node:
        case ast.Constant(value=int() as value) if value.bit_length() > 64:
            return value.bit_length()
        case ast.Constant(value=bytes() as value):
            return len(value)
        case ast.List(elts=held) | ast.Tuple(elts=held) | ast.Set(elts=held):
            return len(held)
        case ast.Dict(keys=keys):
            return len(keys)
    return 0


def _form(node: ast.AST) -> str:
    """AsyncFunctionDef → async function def."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(node).__name__).strip()
