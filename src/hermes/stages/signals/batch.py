"""The signals of many strategies, or of one with many parameters, on the same bars."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hermes.strategies.base import Strategy
from hermes.strategies.columns import signal_rules

#: The signals of every row: to buy, to sell, and where the strategy has rules for shorts, to sell short and to cover.
Signals = tuple[NDArray[np.bool_], ...]


def many_signals(bars: pl.DataFrame, strategies: Sequence[Strategy], first: int = 0) -> Iterator[Signals]:
    """The signals of each strategy, as `plan.signals` makes them, one strategy at a time.

    Args:
        bars: the columns of `plan.input_schema` of every strategy, in time order.
        strategies: whose rules to apply; a condition that several of them share is computed once.
        first: the first row to compute signals for; earlier rows are context.

    Yields:
        For each strategy its signals from row `first` on.
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
        signals = {name: rule.fill_null(value=False) for name, rule in signal_rules(strategy).items()}
        read = dict.fromkeys((*(name for rule in signals.values() for name in rule.meta.root_names()), "datetime"))
        found = pl.DataFrame([known[name] if name in known else later[name] for name in read]).with_columns(**signals)
        yield tuple(found[name].to_numpy() for name in signals)


def _key(rule: pl.Expr) -> bytes | int:
    """A key that is equal for equal rules, if they can be serialized."""
    try:
        return rule.meta.serialize()
    except pl.exceptions.PolarsError:
        return id(rule)
