"""Bars and indicators + a strategy → signals and the position held, for one window of rows."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from hermes.errors import StrategyError
from hermes.schemas import DATETIME, Schema
from hermes.strategies.base import Strategy

BARS: Schema = {
    "datetime": DATETIME,
    "symbol": pl.String(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
}
LAYER = "gold"
DATA_TYPE = "trading_signals"


def input_schema(strategy: Strategy) -> dict[str, pl.DataType]:
    """The feature columns that a strategy's signals are made from, with the types they are brought to."""
    indicators = {name: pl.Int8() if "_dir_" in name else pl.Float64() for name in strategy.columns}
    return {**BARS, **indicators}


def output_schema(strategy: Strategy) -> dict[str, pl.DataType]:
    """The signal table's contract: every column in order."""
    given = input_schema(strategy)
    return {
        **BARS,
        "buy_signal": pl.Boolean(),
        "sell_signal": pl.Boolean(),
        **dict.fromkeys(strategy.conditions(), pl.Boolean()),
        **{name: given[name] for name in strategy.columns},
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


def signals(window: pl.DataFrame, strategy: Strategy, context: int, position: int) -> pl.DataFrame:
    """Signals of the rows of `window` after its first `context` rows.

    Args:
        window: rows of `input_schema`, in time order: `context` rows that were seen before, then the new ones.
        strategy: whose rules to apply.
        context: how many leading rows are there only to be looked back at.
        position: 1 if the strategy is long before the first new row, else 0.

    Returns:
        The new rows with `buy_signal`, `sell_signal`, the conditions and `position` (1 while long after the bar).
        A row with both signals changes nothing: the position stays as it was.
    """
    conditions = {name: rule.fill_null(value=False) for name, rule in strategy.conditions().items()}
    judged = window.with_columns(**conditions).slice(context)
    judged = judged.with_columns(
        buy_signal=strategy.buy().fill_null(value=False), sell_signal=strategy.sell().fill_null(value=False)
    )
    if judged.height != window.height - context:
        raise StrategyError(f"{strategy.name} changed the number of rows", "its rules must give one value per row")
    buy, sell = pl.col("buy_signal"), pl.col("sell_signal")
    change = pl.when(buy & ~sell).then(pl.lit(1, pl.Int8)).when(sell & ~buy).then(pl.lit(0, pl.Int8))
    return judged.with_columns(position=change.forward_fill().fill_null(pl.lit(position, pl.Int8)))


def stamped(judged: pl.DataFrame, strategy: Strategy, generated_at: str, metrics: Mapping[str, Any]) -> pl.DataFrame:
    """`judged` with the constant columns of the contract, all columns in the contract's order.

    The figures are those measured on exactly the rows of this execution; null where they are undefined.
    """
    schema = output_schema(strategy)
    constants = {
        "strategy": strategy.name,
        "generated_at": generated_at,
        "layer": LAYER,
        "data_type": DATA_TYPE,
        "validated_return_pct": metrics.get("total_return_pct"),
        "validated_sharpe_ratio": metrics.get("sharpe"),
        "validated_max_drawdown_pct": metrics.get("max_drawdown_pct"),
    }
    return judged.with_columns(
        year=pl.col("datetime").dt.year(),
        month=pl.col("datetime").dt.month(),
        **{name: pl.lit(value, schema[name]) for name, value in constants.items()},
    ).select(list(schema))
