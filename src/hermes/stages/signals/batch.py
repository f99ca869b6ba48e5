"""What many strategies, or one with many parameters, ask for on the same bars."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hermes.strategies.base import Strategy

#: The rows with exactly one signal, ascending, and whether it is a buy.
Events = tuple[NDArray[np.intp], NDArray[np.bool_]]


def many_signals(bars: pl.DataFrame, strategies: Sequence[Strategy], first: int = 0) -> Iterator[Events]:
    """The signals of each strategy, as `plan.signals` makes them, one strategy at a time.

    Args:
        bars: the columns of `plan.input_schema` of every strategy, in time order.
        strategies: whose rules to apply; a condition that several of them share is computed once.
        first: the first row that is asked about; rows before it are only looked back at.

    Yields:
        For each strategy its events, rows counted from `first`.
    """
    rules: dict[bytes | int, pl.Expr] = {}
    keyed: list[dict[str, bytes | int]] = []
    for strategy in strategies:
        conditions = strategy.conditions()
        keys = {name: _key(rule) for name, rule in conditions.items()}
        rules.update((keys[name], rule) for name, rule in conditions.items())
        keyed.append(keys)
    places = {key: str(number) for number, key in enumerate(rules)}
    computed = bars.with_columns(rule.fill_null(value=False).alias(places[key]) for key, rule in rules.items())
    judged, later = computed.slice(first), bars.slice(first)
    for strategy, keys in zip(strategies, keyed, strict=True):
        known = {name: judged[places[key]].alias(name) for name, key in keys.items()}
        buy, sell = strategy.buy().fill_null(value=False), strategy.sell().fill_null(value=False)
        read = dict.fromkeys((*buy.meta.root_names(), *sell.meta.root_names(), "datetime"))
        found = pl.DataFrame([known[name] if name in known else later[name] for name in read])
        found = found.with_columns(buy=buy, sell=sell)
        bought, sold = found["buy"].to_numpy(), found["sell"].to_numpy()
        rows = np.flatnonzero(bought != sold)
        yield rows, bought[rows]


def _key(rule: pl.Expr) -> bytes | int:
    """Equal for equal rules, where they can be written down."""
    try:
        return rule.meta.serialize()
    except pl.exceptions.PolarsError:
        return id(rule)
