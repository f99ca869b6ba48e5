"""Strategies: the ones that Hermes ships, and the way to load others."""

from hermes.strategies.registry import STRATEGIES, find_strategy, make_strategy, strategy_name

__all__ = ["STRATEGIES", "find_strategy", "make_strategy", "strategy_name"]
