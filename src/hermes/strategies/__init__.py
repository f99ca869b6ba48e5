"""Strategies: the shipped ones, and how others are loaded."""

from hermes.strategies.registry import STRATEGIES, find_strategy, make_strategy, strategy_name

__all__ = ["STRATEGIES", "find_strategy", "make_strategy", "strategy_name"]
