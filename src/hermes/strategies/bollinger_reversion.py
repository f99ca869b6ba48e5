"""Bollinger reversion: back into the bands from below, out at the middle.

Source: John Bollinger, "Bollinger on Bollinger Bands", McGraw-Hill, 2001, for the bands (20 bars, 2 standard
deviations). Buying the return from below the lower band is the best-known use of them; Bollinger himself warns that a
tag of a band is no signal of its own.
"""

from collections.abc import Mapping

import polars as pl
from pydantic import Field

from hermes.strategies import base


class Parameters(base.Parameters):
    """Length of the bands in bars, and their distance from the middle in standard deviations (steps of 0.01)."""

    window: int = Field(default=20, ge=2, le=10_000)
    width: float = Field(default=2.0, ge=0.1, le=10, multiple_of=0.01)


class BollingerReversion(base.Strategy):
    """Buy where the close comes back above the lower band, sell where it reaches the middle from below.

    Coming back is a bar with close > lower band, after one with close <= lower band; reaching the middle is one with
    close >= middle, after one with close < middle. A bar that does both changes nothing.
    """

    name = "bollinger_reversion"
    parameters_type = Parameters
    parameters: Parameters

    @property
    def columns(self) -> tuple[str, ...]:
        """The middle and the lower band."""
        bands = f"{self.parameters.window}_{self.parameters.width:g}"
        return (f"bb_middle_{bands}", f"bb_lower_{bands}")

    @property
    def look_back(self) -> int:
        """Both conditions compare a bar with the one before."""
        return 1

    def conditions(self) -> Mapping[str, pl.Expr]:
        """Back above the lower band; up to the middle."""
        close = pl.col("close")
        middle, lower = (pl.col(name) for name in self.columns)
        return {
            "back_in_bands": (close > lower) & (close.shift(1) <= lower.shift(1)),
            "at_middle": (close >= middle) & (close.shift(1) < middle.shift(1)),
        }

    def buy(self) -> pl.Expr:
        """Back in the bands from below."""
        return pl.col("back_in_bands")

    def sell(self) -> pl.Expr:
        """At the middle."""
        return pl.col("at_middle")
