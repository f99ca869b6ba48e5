"""MACD trend: the signal-line cross, taken only in a rising trend.

Source: Gerald Appel, "Technical Analysis: Power Tools for Active Investors", FT Prentice Hall, 2005: the MACD, its
signal line with lengths 12, 26 and 9, and the advice to buy its crosses in the direction of the trend.
"""

from collections.abc import Mapping
from typing import Self

import polars as pl
from pydantic import Field, model_validator

from hermes.strategies import base


class Parameters(base.Parameters):
    """Lengths in bars: both EMAs of the MACD, and the EMA of the MACD that is its signal line."""

    fast: int = Field(default=12, ge=2, le=10_000)
    slow: int = Field(default=26, ge=3, le=10_000)
    signal: int = Field(default=9, ge=1, le=10_000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"expected fast ({self.fast}) below slow ({self.slow})")
        return self


class MacdTrend(base.Strategy):
    """Buy where the MACD crosses above its signal line while it is above zero; sell where it crosses below.

    Above zero means that the fast EMA is above the slow one: the trend is up.
    """

    name = "macd_trend"
    parameters_type = Parameters
    parameters: Parameters

    @property
    def columns(self) -> tuple[str, ...]:
        """The MACD and its signal line."""
        lengths = f"{self.parameters.fast}_{self.parameters.slow}_{self.parameters.signal}"
        return (f"macd_{lengths}", f"macd_signal_{lengths}")

    @property
    def look_back(self) -> int:
        """A cross compares a bar with the one before."""
        return 1

    def conditions(self) -> Mapping[str, pl.Expr]:
        """Both crosses, and the trend."""
        macd, signal = (pl.col(name) for name in self.columns)
        return {
            "macd_cross_up": (macd > signal) & (macd.shift(1) <= signal.shift(1)),
            "macd_above_zero": macd > 0,
            "macd_cross_down": (macd < signal) & (macd.shift(1) >= signal.shift(1)),
        }

    def buy(self) -> pl.Expr:
        """Crossed above, in a rising trend."""
        return pl.col("macd_cross_up") & pl.col("macd_above_zero")

    def sell(self) -> pl.Expr:
        """Crossed below, whatever the trend."""
        return pl.col("macd_cross_down")
