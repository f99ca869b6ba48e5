"""The strategies that Hermes ships, by name."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from hermes.errors import StrategyError
from hermes.strategies.base import Strategy
from hermes.strategies.smart_momentum import SmartMomentum

STRATEGIES: dict[str, type[Strategy]] = {strategy.name: strategy for strategy in (SmartMomentum,)}


def make_strategy(name: str, values: Mapping[str, Any]) -> Strategy:
    """The strategy called `name` with these parameters.

    Raises:
        StrategyError: an unknown strategy, or a parameter that it does not have or cannot take.
    """
    if name not in STRATEGIES:
        near = get_close_matches(name, STRATEGIES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {' '.join(STRATEGIES)}"
        raise StrategyError(f"strategy {name!r} is not known", hint)
    return STRATEGIES[name](**values)
