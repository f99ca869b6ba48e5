"""Checks that a strategy keeps its contract, once, before any row is read."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from hermes.errors import StrategyError, first_line
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS, RESERVED, input_schema

_LOOPS = (b"map_elements", b"rolling_map")  # what Polars calls a Python function with, value by value


def check_strategy(strategy: Strategy) -> None:
    """Refuse a strategy whose columns, look-back, conditions or rules are invalid.

    The rules run on an empty table, so that wrong types, names and shapes are found before any data is read.

    Raises:
        StrategyError: one line that names the part and what was expected.
    """
    columns = _asked(strategy, "columns", lambda: strategy.columns)
    if not isinstance(columns, tuple | list) or not all(isinstance(name, str) for name in columns):
        raise _wrong(strategy, "columns", columns, 'a tuple of names like ("ema_9", "rsi_14"), as a property')
    bars = _asked(strategy, "look_back", lambda: strategy.look_back)
    if not isinstance(bars, int) or isinstance(bars, bool) or bars < 0:
        raise _wrong(strategy, "look_back", bars, "a whole number of bars, 0 or more, as a property")
    conditions = _asked(strategy, "conditions", strategy.conditions)
    if not isinstance(conditions, Mapping) or not all(isinstance(name, str) for name in conditions):
        raise _wrong(strategy, "conditions", conditions, 'a dict like {"cross_up": pl.col("close") > pl.col("ema_9")}')
    _check_names(strategy, columns, conditions)

    given = {*BARS, *columns}
    schema: dict[str, pl.DataType] = input_schema(strategy)
    for name, rule in conditions.items():
        _check_rule(strategy, f"condition {name!r}", rule, given, schema)
    schema.update(dict.fromkeys(conditions, pl.Boolean()))
    for part, method in (("buy", strategy.buy), ("sell", strategy.sell)):
        _check_rule(strategy, f"{part}()", _asked(strategy, part, method), {*given, *conditions}, schema)
    shorts = {part: _asked(strategy, part, getattr(strategy, part)) for part in ("short", "cover")}
    there = [part for part, rule in shorts.items() if rule is not None]
    if len(there) == 1:
        (lacking,) = shorts.keys() - set(there)
        raise StrategyError(f"{strategy.name} has {there[0]}() and no {lacking}()", "define both, or neither")
    for part in there:
        _check_rule(strategy, f"{part}()", shorts[part], {*given, *conditions}, schema)
    ranks = _asked(strategy, "ranks", strategy.ranks)
    if not isinstance(ranks, Mapping) or not all(isinstance(name, str) for name in ranks):
        raise _wrong(strategy, "ranks", ranks, 'a dict like {"momentum": pl.col("close") / pl.col("ema_20")}')
    for name, rank in ranks.items():
        dtype = _type_of(strategy, f"rank {name!r}", rank, given, schema)
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            raise StrategyError(f"{strategy.name}: rank {name!r} gives {dtype}", "expected a number for each row")


def _asked(strategy: Strategy, part: str, ask: Callable[[], Any]) -> Any:
    """The result of a strategy's method; its exceptions become StrategyError."""
    try:
        return ask()
    except Exception as error:
        raise StrategyError(
            f"{strategy.name}: {part} raised {type(error).__name__}: {first_line(str(error))}", "correct it"
        ) from error


def _check_names(strategy: Strategy, columns: Iterable[str], conditions: Iterable[str]) -> None:
    """Refuse a name that two columns of the signals table would have."""
    if clash := [name for name in columns if name in RESERVED]:
        raise StrategyError(
            f"{strategy.name}: columns lists {', '.join(clash)}, which every signals table has already",
            "leave it out: the bars are always there, and what Hermes makes cannot be read",
        )
    if clash := [name for name in conditions if name in RESERVED or name in columns]:
        raise StrategyError(
            f"{strategy.name}: condition {', '.join(clash)} has the name of another column of the signals table",
            "give it a name of its own",
        )


def _check_rule(strategy: Strategy, part: str, rule: Any, known: set[str], schema: Mapping[str, pl.DataType]) -> None:
    """One rule: an expression over known columns that gives a Boolean for each row."""
    dtype = _type_of(strategy, part, rule, known, schema)
    if dtype not in (pl.Boolean, pl.Null):
        raise StrategyError(f"{strategy.name}: {part} gives {dtype}", "expected a Boolean for each row: compare it")


def _type_of(
    strategy: Strategy, part: str, rule: Any, known: set[str], schema: Mapping[str, pl.DataType]
) -> pl.DataType:
    """The type of what one expression over known columns gives for each row."""
    if not isinstance(rule, pl.Expr):
        raise _wrong(strategy, part, rule, 'a Polars expression, like pl.col("close") > 0')
    if rule.meta.has_multiple_outputs():
        raise StrategyError(f"{strategy.name}: {part} selects columns by a pattern", "name each column with pl.col")
    if unknown := [name for name in dict.fromkeys(rule.meta.root_names()) if name not in known]:
        raise StrategyError(
            f"{strategy.name}: {part} uses {', '.join(unknown)}, which is not declared",
            f"add it to columns, or use one of {', '.join(sorted(known))}",
        )
    if any(loop in _serialized(rule) for loop in _LOOPS):
        raise StrategyError(
            f"{strategy.name}: {part} calls a Python function for every row", "write it as a Polars expression"
        )
    if _changes_rows(rule):
        raise StrategyError(
            f"{strategy.name}: {part} changes the number of rows",
            "a rule gives one value for each row: no filter, no head",
        )
    try:
        return pl.LazyFrame(schema=schema).select(rule=rule).collect_schema()["rule"]
    except Exception as error:
        raise StrategyError(
            f"{strategy.name}: {part} cannot be computed: {first_line(str(error))}", "correct it"
        ) from error


def _changes_rows(rule: pl.Expr) -> bool:
    """Whether the rule changes the number of rows, as far as an empty table shows it."""
    try:
        return not (rule.meta.is_length_preserving() or rule.meta.is_scalar())
    except Exception:
        return False


def _serialized(rule: pl.Expr) -> bytes:
    """The serialized expression; empty if a Python function in it cannot be pickled."""
    try:
        return rule.meta.serialize()
    except Exception:
        return b""


def _wrong(strategy: Strategy, part: str, found: Any, expected: str) -> StrategyError:
    """The error that `found` has the wrong type."""
    shown = repr(found)
    if len(shown) > 60 or "\n" in shown:
        shown = type(found).__name__
    return StrategyError(f"{strategy.name}: {part} gives {shown}", f"expected {expected}")
