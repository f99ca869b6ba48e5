"""Donchian breakout: out of the range of the last weeks, upwards.

Source: Richard Donchian's four-week rule, in the form of System 1 of the Turtles: Curtis Faith, "The Original Turtle
Trading Rules", 2003 (enter beyond the 20-day extreme, leave beyond the 10-day one). Judged at the bar's close here,
long only, without the Turtles' position sizes and without their filter of the last trade.
"""

from collections.abc import Mapping

import polars as pl
from pydantic import Field

from hermes.strategies import base


class Parameters(base.Parameters):
    """Lengths of the channels in bars: the one to break out of, and the one that ends the trade."""

    entry: int = Field(default=20, ge=2, le=10_000)
    exit: int = Field(default=10, ge=2, le=10_000)


class DonchianBreakout(base.Strategy):
    """Buy on a close above the highest high of the `entry` bars before; sell below the lowest low of the `exit` before.

    The channel is that of the bars before: no bar's close can be above a channel that holds its own high.
    """

    name = "donchian_breakout"
    parameters_type = Parameters
    parameters: Parameters

    @property
    def columns(self) -> tuple[str, ...]:
        """The upper edge of one channel and the lower edge of the other, each including its own bar."""
        return (f"donchian_high_{self.parameters.entry}", f"donchian_low_{self.parameters.exit}")

    @property
    def look_back(self) -> int:
        """The channel of the bar before."""
        return 1

    def conditions(self) -> Mapping[str, pl.Expr]:
        """Beyond either edge, as it stood on the bar before."""
        high, low = (pl.col(name).shift(1) for name in self.columns)
        return {"above_channel": pl.col("close") > high, "below_channel": pl.col("close") < low}

    def buy(self) -> pl.Expr:
        """Broke out upwards."""
        return pl.col("above_channel")

    def sell(self) -> pl.Expr:
        """Fell out of the shorter channel."""
        return pl.col("below_channel")
