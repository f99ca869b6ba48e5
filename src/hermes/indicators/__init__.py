"""Indicators: how they are defined, the shipped ones, and the mapping from column names to expressions."""

from hermes.indicators.columns import column, look_back
from hermes.indicators.definition import indicator

__all__ = ["column", "indicator", "look_back"]
