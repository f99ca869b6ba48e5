"""Indicators: functions from parameters to a Polars expression over the bars, with a look-back."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import getdoc, signature
from typing import Any, get_type_hints

import polars as pl

from hermes.errors import IndicatorError, first_line

MOST = 100_000  # TA-Lib's limit of every period

NUMBER = r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,6})?"
_FAMILY = re.compile(r"[a-z]+(?:_[a-z]+)*")

#: The bars that an indicator may read. TA-Lib compares its way past a NaN and answers a number; a null stays a null.
OPEN, HIGH, LOW, CLOSE, VOLUME = (pl.col(name).fill_nan(None) for name in ("open", "high", "low", "close", "volume"))

Expression = Callable[..., pl.Expr]
LookBack = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number in a column's name: a period in bars (`whole`) or a factor, and its least value."""

    name: str
    whole: bool
    least: float

    def read(self, text: str) -> float | None:
        """The value that `text` stands for; None where its kind or range is wrong."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return None
        return value if self.least <= value <= MOST else None

    def __str__(self) -> str:
        return f"{self.name.upper()} from {self.least:g} to {MOST}{' (whole)' if self.whole else ''}"


_FLOAT = pl.Float64()


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of indicator; with parameters it is a column.

    Attributes:
        name: what its columns are called, without the parameters: `ema`.
        parameters: in the order in which they stand in a column's name.
        expression: parameters → expression over `open high low close volume`; a struct where `field` is given.
        look_back: parameters → bars before the first valid value, not counting those of indicators that it calls.
        formula: in one line.
        source: where the definition comes from.
        field: which output of the struct; calls of equal `expression` and parameters are computed once.
        dtype: of the column.
    """

    name: str
    parameters: tuple[Parameter, ...]
    expression: Expression
    look_back: LookBack
    formula: str
    source: str
    field: str | None = None
    dtype: pl.DataType = _FLOAT

    @property
    def usage(self) -> str:
        """How a column's name is written, parameters in capitals: `ema_N`."""
        return "_".join([self.name, *(each.name.upper() for each in self.parameters)])

    def __call__(self, *values: float) -> pl.Expr:
        """The expression with these parameters, for an indicator that is built on this one."""
        column, look_back = self.compute(*values)
        if (used := _used.get()) is not None:
            used.append(look_back)
        return column if self.field is None else column.struct.field(self.field)

    def compute(self, *values: float) -> tuple[pl.Expr, int]:
        """The expression, and its look-back in bars together with those of the indicators that it calls."""
        with _collected() as used:
            made = self.expression(*values)
        return made, self.look_back(*values) + max(used, default=0)


#: Look-backs of the indicators that the one being made calls.
_used: ContextVar[list[int] | None] = ContextVar("used", default=None)


@contextmanager
def _collected() -> Iterator[list[int]]:
    used: list[int] = []
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)


def indicator(*, look_back: LookBack, source: str) -> Callable[[Expression], Family]:
    """Make a function an indicator: its name is the column's, its parameters stand in the column's name.

    The function takes whole numbers (`int`: periods in bars) or factors (`float`), each with its least value as
    `Annotated[int, Field(ge=2)]`, and returns a Polars expression over `open high low close volume` that looks at a
    bar and those before it, never ahead. It may call other indicators. The first line of its docstring is the formula.

    Args:
        look_back: the same parameters → bars before the first valid value, without those of indicators that it calls.
        source: where the definition comes from.

    Raises:
        IndicatorError: the function's name, parameters or docstring do not fit.
    """

    def define(function: Expression) -> Family:
        name = check_indicator_name(function.__name__)
        formula = first_line(getdoc(function) or "")
        if not formula:
            raise IndicatorError(f"indicator {name} has no docstring", "say its formula in the docstring's first line")
        hints = get_type_hints(function, include_extras=True)
        parameters = tuple(_parameter(name, each, hints.get(each)) for each in signature(function).parameters)
        return Family(name, parameters, function, look_back, formula, source)

    return define


def check_indicator_name(name: str) -> str:
    """`name` itself, if it can stand in a column's name; raises IndicatorError."""
    if not _FAMILY.fullmatch(name) or len(name) > 40:
        raise IndicatorError(
            f"indicator {name[:60]!r} is not lower-case words joined by '_', without digits", "write it like range_high"
        )
    return name


def _parameter(family: str, name: str, hint: Any) -> Parameter:
    kind = getattr(hint, "__origin__", hint)
    if kind not in (int, float):
        raise IndicatorError(
            f"indicator {family}: parameter {name} is not a number",
            f"write {name}: Annotated[int, Field(ge=2)], or float",
        )
    fields = getattr(hint, "__metadata__", ())
    limits = [limit.ge for field in fields for limit in getattr(field, "metadata", ()) if hasattr(limit, "ge")]
    return Parameter(name, kind is int, limits[0] if limits else 1 if kind is int else 0.0)
