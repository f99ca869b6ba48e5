"""Smart Momentum, the strategy of the original notebook."""

from collections.abc import Mapping
from typing import Self

import polars as pl
from pydantic import Field, model_validator

from hermes.strategies import base

RSI = "rsi_14"


class Parameters(base.Parameters):
    """EMA periods in bars; the RSI's neutral band, both ends included; SuperTrend's period and its multiple of ATR."""

    ema_fast: int = Field(default=12, ge=2, le=10_000)
    ema_slow: int = Field(default=26, ge=2, le=10_000)
    rsi_low: float = Field(default=45, ge=0, le=100)
    rsi_high: float = Field(default=55, ge=0, le=100)
    st_period: int = Field(default=10, ge=2, le=10_000)
    st_multiplier: float = Field(default=3.0, ge=0.01, le=1000, multiple_of=0.01)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ema_fast >= self.ema_slow:
            raise ValueError(f"expected ema_fast ({self.ema_fast}) below ema_slow ({self.ema_slow})")
        if self.rsi_low > self.rsi_high:
            raise ValueError(f"expected rsi_low ({self.rsi_low}) not above rsi_high ({self.rsi_high})")
        return self


class SmartMomentum(base.Strategy):
    """Buy where the fast EMA crosses above the slow one while RSI is neutral and SuperTrend bullish.

    Sell where SuperTrend turns bearish.
    """

    name = "smart_momentum"
    parameters_type = Parameters
    parameters: Parameters

    @property
    def columns(self) -> tuple[str, ...]:
        """Both EMAs, the RSI and the SuperTrend's direction."""
        chosen = self.parameters
        supertrend = f"supertrend_dir_{chosen.st_period}_{chosen.st_multiplier}"
        return (f"ema_{chosen.ema_fast}", f"ema_{chosen.ema_slow}", RSI, supertrend)

    @property
    def look_back(self) -> int:
        """A cross and a flip compare a bar with the one before."""
        return 1

    def conditions(self) -> Mapping[str, pl.Expr]:
        """The three conditions to buy and the one to sell."""
        fast, slow, rsi, direction = (pl.col(name) for name in self.columns)
        return {
            "ema_cross": (fast > slow) & (fast.shift(1) <= slow.shift(1)),
            "rsi_neutral": rsi.is_between(self.parameters.rsi_low, self.parameters.rsi_high),
            "st_bullish": direction == 1,
            "st_exit": (direction == -1) & (direction.shift(1) == 1),
        }

    def buy(self) -> pl.Expr:
        """All three conditions on one bar."""
        return pl.col("ema_cross") & pl.col("rsi_neutral") & pl.col("st_bullish")

    def sell(self) -> pl.Expr:
        """SuperTrend turned bearish."""
        return pl.col("st_exit")
