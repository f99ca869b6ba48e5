"""Indicators: definitions, the shipped ones, and how a column's name becomes an expression."""

from hermes.indicators.columns import column, look_back
from hermes.indicators.definition import indicator

__all__ = ["column", "indicator", "look_back"]
