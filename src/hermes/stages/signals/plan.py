"""Bars and indicators + a strategy → signals and the position held, for one window of rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hermes.errors import StrategyError
from hermes.strategies.base import Strategy
from hermes.strategies.columns import DATA_TYPE, LAYER, signal_rules

_AS_WRITTEN = pl.QueryOptFlags.none()  # to optimize so short a plan takes longer than to run it


def signals(window: pl.DataFrame | pl.LazyFrame, strategy: Strategy, context: int, position: int) -> pl.DataFrame:
    """Signals of the rows of `window` after its first `context` rows.

    Args:
        window: rows of `input_schema`, in time order: `context` rows that were seen before, then the new ones. A plan
            is computed together with the rules, which takes half of the time where there are few rows.
        strategy: its rules are applied.
        context: number of leading rows that are only context.
        position: 1 if the strategy is long before the first new row, -1 if it is short, else 0.

    Returns:
        The new rows with `buy_signal`, `sell_signal`, the conditions and `position` (1 while long after the bar), and
        where the strategy has rules for shorts `short_signal` and `cover_signal` (`position` is -1 while short).
        A row that signals both entry and exit of the same side changes nothing.
    """
    conditions = {name: rule.fill_null(value=False) for name, rule in strategy.conditions().items()}
    rules = {name: rule.fill_null(value=False) for name, rule in signal_rules(strategy).items()}
    # Over the context, too: buy and sell may look back at the conditions.
    plan = window.lazy().with_columns(**conditions).with_columns(**rules).slice(context)
    try:
        judged = plan.collect(engine="in-memory", optimizations=_AS_WRITTEN)
    except Exception:
        rows = window.lazy().collect(engine="in-memory")
        judged = _with_rules(_with_rules(rows, conditions, strategy), rules, strategy).slice(context)
    _check_types(judged, [*conditions, *rules], strategy)
    if "short_signal" in rules:
        return judged.with_columns(_both_sides([judged[name] for name in rules], position))
    return judged.with_columns(_positions(judged["buy_signal"], judged["sell_signal"], position))


def _positions(buy: pl.Series, sell: pl.Series, before: int) -> pl.Series:
    """The position after each bar; `before` is the position before the first."""
    buys = buy.to_numpy()
    turns = np.flatnonzero(buys != sell.to_numpy())
    held = np.concatenate([[before], buys[turns]]).astype(np.int8)
    # Repeated from turn to turn: signals are rare, and to fill forward bar by bar takes half of the judging's time.
    return pl.Series("position", np.repeat(held, np.diff(turns, prepend=0, append=len(buy))))


def _both_sides(signals: Sequence[pl.Series], before: int) -> pl.Series:
    """As `_positions`, with separate rules for shorts; a row that signals a long and a short enters neither."""
    buy, sell, short, cover = signals
    longs, shorts = buy != sell, short != cover
    turns = (longs | shorts).arg_true()
    asks = ((longs & buy), (longs & sell), (shorts & short), (shorts & cover))
    held = [before]
    for enter_long, leave_long, enter_short, leave_short in zip(*(each.gather(turns) for each in asks), strict=True):
        now = held[-1]
        if enter_long != enter_short:
            now = 1 if enter_long else -1
        elif (now == 1 and leave_long) or (now == -1 and leave_short):
            now = 0
        held.append(now)
    lengths = np.diff(turns.to_numpy(), prepend=0, append=len(buy))
    return pl.Series("position", np.repeat(np.array(held, np.int8), lengths))


def _with_rules(window: pl.DataFrame, rules: Mapping[str, pl.Expr], strategy: Strategy) -> pl.DataFrame:
    """`window` with the rules computed; an error names the rule and the rows on which it fails."""
    try:
        made = window.with_columns(**rules)
    except Exception as error:
        name = next((name for name, rule in rules.items() if _fails(window, rule)), " or ".join(rules))
        rows = f"the bars {window['datetime'][0]} to {window['datetime'][-1]}"
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise StrategyError(f"{strategy.name}: {name} fails on {rows}: {reason}", "correct the rule") from error
    _check_types(made, rules, strategy)
    return made


def _check_types(rows: pl.DataFrame, rules: Iterable[str], strategy: Strategy) -> None:
    schema = rows.schema
    if wrong := [name for name in rules if schema[name] != pl.Boolean]:
        raise StrategyError(f"{strategy.name}: {wrong[0]} gives {schema[wrong[0]]}", "expected a Boolean")


def _fails(window: pl.DataFrame, rule: pl.Expr) -> bool:
    try:
        window.with_columns(rule=rule)
    except Exception:
        return True
    return False


def constants(strategy: Strategy, symbol: str, generated_at: str, metrics: Mapping[str, Any]) -> pl.DataFrame:
    """One row with the columns that are the same on every row of an execution.

    The measures are those of exactly the rows of this execution; null if undefined. Texts are
    enums of one value: Parquet holds the same bytes for them as for strings, at a sixth of the time.
    """
    texts = {
        "symbol": symbol,
        "strategy": strategy.name,
        "generated_at": generated_at,
        "layer": LAYER,
        "data_type": DATA_TYPE,
    }
    figures = {
        "validated_return_pct": metrics["total_return_pct"],
        "validated_sharpe_ratio": metrics["sharpe"],
        "validated_max_drawdown_pct": metrics["max_drawdown_pct"],
    }
    return pl.DataFrame(
        [
            *(pl.Series(name, [text], pl.Enum([text])) for name, text in texts.items()),
            *(pl.Series(name, [figure], pl.Float64) for name, figure in figures.items()),
        ]
    )


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
