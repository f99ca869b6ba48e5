"""The columns of a strategy: its inputs, its decisions, and the schema of the signals table."""

import polars as pl

from hermes.schemas import DATETIME, Schema
from hermes.strategies.base import Strategy

BARS: Schema = {
    "datetime": DATETIME,
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
}
_SIGNALS: Schema = {"buy_signal": pl.Boolean(), "sell_signal": pl.Boolean()}
SHORTS: Schema = {"short_signal": pl.Boolean(), "cover_signal": pl.Boolean()}
_STAMPS: Schema = {
    "strategy": pl.String(),
    "generated_at": pl.String(),
    "year": pl.Int32(),
    "month": pl.Int8(),
    "layer": pl.String(),
    "data_type": pl.String(),
    "validated_return_pct": pl.Float64(),
    "validated_sharpe_ratio": pl.Float64(),
    "validated_max_drawdown_pct": pl.Float64(),
    "position": pl.Int8(),
}
#: Columns that every signals table has; a strategy's own columns and conditions have other names.
RESERVED = frozenset({"symbol", *BARS, *_SIGNALS, *_STAMPS, *SHORTS})
LAYER = "gold"
DATA_TYPE = "trading_signals"


def input_schema(strategy: Strategy) -> dict[str, pl.DataType]:
    """The input columns of a strategy, with the types they are cast to."""
    indicators = {name: pl.Int8() if "_dir_" in name else pl.Float64() for name in strategy.columns}
    return {**BARS, **indicators}


def signal_rules(strategy: Strategy) -> dict[str, pl.Expr]:
    """The rules by the names of their columns: buy, sell, and if the strategy has them, those for shorts."""
    rules = {"buy_signal": strategy.buy(), "sell_signal": strategy.sell()}
    short, cover = strategy.short(), strategy.cover()
    if short is not None and cover is not None:
        rules |= {"short_signal": short, "cover_signal": cover}
    return rules


def rule_columns(strategy: Strategy) -> list[str]:
    """The columns of `input_schema` that the rules use."""
    rules = (*strategy.conditions().values(), *signal_rules(strategy).values())
    read = {name for rule in rules for name in rule.meta.root_names()}
    return [name for name in input_schema(strategy) if name in read]


def decided_columns(strategy: Strategy) -> list[str]:
    """The signals and conditions, all Boolean."""
    rules = signal_rules(strategy)
    return [*_SIGNALS, *strategy.conditions(), *(name for name in SHORTS if name in rules)]


def output_schema(strategy: Strategy) -> dict[str, pl.DataType]:
    """The schema of the signals table: every column in order."""
    given = input_schema(strategy)
    prices = {name: dtype for name, dtype in BARS.items() if name != "datetime"}
    return {
        "datetime": DATETIME,
        "symbol": pl.String(),
        **prices,
        **dict.fromkeys((name for name in decided_columns(strategy) if name not in SHORTS), pl.Boolean()),
        **{name: given[name] for name in strategy.columns},
        **_STAMPS,
        **{name: dtype for name, dtype in SHORTS.items() if name in signal_rules(strategy)},
    }
