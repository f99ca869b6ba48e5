"""Moving-average cross: the variable-length moving-average rule.

Source: W. Brock, J. Lakonishok and B. LeBaron, "Simple Technical Trading Rules and the Stochastic Properties of Stock
Returns", The Journal of Finance 47 (1992), pages 1731-1764. The lengths 50 and 200 are the well-known "golden cross".
"""

from collections.abc import Mapping
from typing import Literal, Self

import polars as pl
from pydantic import Field, model_validator

from hermes.strategies import base


class Parameters(base.Parameters):
    """Lengths of both averages in bars, and their kind: simple or exponential."""

    kind: Literal["sma", "ema"] = "sma"
    fast: int = Field(default=50, ge=1, le=10_000)
    slow: int = Field(default=200, ge=2, le=10_000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"expected fast ({self.fast}) below slow ({self.slow})")
        return self


class MovingAverageCross(base.Strategy):
    """Buy where the fast average crosses above the slow one, sell where it crosses below.

    A cross up is a bar on which fast > slow, after one on which fast <= slow; a cross down is its mirror image.
    """

    name = "ma_cross"
    parameters_type = Parameters
    parameters: Parameters

    @property
    def columns(self) -> tuple[str, ...]:
        """The fast and the slow average."""
        kind = self.parameters.kind
        return (f"{kind}_{self.parameters.fast}", f"{kind}_{self.parameters.slow}")

    @property
    def look_back(self) -> int:
        """A cross compares a bar with the one before."""
        return 1

    def conditions(self) -> Mapping[str, pl.Expr]:
        """Both crosses."""
        fast, slow = (pl.col(name) for name in self.columns)
        return {
            "cross_up": (fast > slow) & (fast.shift(1) <= slow.shift(1)),
            "cross_down": (fast < slow) & (fast.shift(1) >= slow.shift(1)),
        }

    def buy(self) -> pl.Expr:
        """The fast average crossed above."""
        return pl.col("cross_up")

    def sell(self) -> pl.Expr:
        """The fast average crossed below."""
        return pl.col("cross_down")
