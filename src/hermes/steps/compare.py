"""Compare two parametrizations, strategies or feature sets on the same bars, and test the difference for luck."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hermes.errors import TableRefused, UsageError
from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.backtest.paired import Difference, difference
from hermes.steps.account import accounts
from hermes.steps.backtest import Backtested, backtest
from hermes.steps.feature_set import set_version
from hermes.steps.results import StepResult
from hermes.steps.step import step
from hermes.strategies import strategy_name

_FEATURE_SET = "feature_set"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two variants: its name, its measures, and the version of the feature set that it read."""

    name: str
    made: Backtested
    features_version: str | None = None

    def as_json(self) -> dict[str, Any]:
        """By name."""
        chosen = self.made.settings
        strategy = self.made.strategy
        return {
            "name": self.name,
            "strategy": strategy,
            "parameters": chosen.strategy.get(strategy, {}),
            "feature_set": chosen.features.feature_set or None,
            "features_version": self.features_version,
            "metrics": self.made.metrics,
        }


@dataclass(frozen=True, slots=True)
class Compared(StepResult):
    """The comparison of two variants on the same bars.

    Attributes:
        difference: the first minus the second; None if the two never differ or there are too few bars.
        curve: `datetime, first, second`: equity bar by bar.
    """

    first: Side
    second: Side
    difference: Difference | None
    curve: pl.DataFrame

    @property
    def warnings(self) -> list[str]:
        """Warnings about what the figures of the two variants leave out, each once."""
        return list(dict.fromkeys(each for side in (self.first, self.second) for each in side.made.measured.remarks))

    @property
    def verdict(self) -> str:
        """In one sentence."""
        found = self.difference
        if found is None:
            return "The two never differ on these bars: there is nothing to compare."
        better, worse = (self.first, self.second) if found.log_growth > 0 else (self.second, self.first)
        if found.is_luck:
            return (
                f"{better.name} earned more than {worse.name}, but chance alone explains as much "
                f"(p = {found.growth_p:.3f}): these bars do not show which is better."
            )
        return f"{better.name} earned more than {worse.name}, more than chance explains (p = {found.growth_p:.3f})."

    def as_json(self) -> dict[str, Any]:
        """By name."""
        dataset = self.settings.dataset
        return {
            "symbol": dataset.symbol,
            "interval": dataset.interval,
            "first": self.first.as_json(),
            "second": self.second.as_json(),
            "difference": self.difference and self.difference.as_dict(),
            "verdict": self.verdict,
            "warnings": self.warnings,
        }


@step()
def compare(
    settings: Settings, lake: Lake, *, first: str, second: str, seed: int = 0, progress: Progress = SILENT
) -> Compared:
    """Measure two variants on the same bars with the same account, and test their difference by the paired bootstrap.

    Args:
        settings: the dataset, the span, the account, and defaults for both variants.
        first, second: variants: `STRATEGY,name=value,…`, like `smart_momentum,ema_fast=8`; without a strategy that of
            the settings. `feature_set=test` reads that feature set; other names are parameters of the strategy.
        seed: of the resamples.

    Raises:
        UsageError: a variant that cannot be read.
        TableRefused: the two do not have the same bars.
        MissingTable, StrategyError: see `select`.
    """
    sides = [_side(settings, spec, lake, progress) for spec in (first, second)]
    curves = [each.made.equity for each in sides]
    if not curves[0]["datetime"].equals(curves[1]["datetime"]):
        raise TableRefused(f"{first} and {second} were not measured on the same bars", "run the comparison again")
    account = accounts(settings)[settings.backtest.fill]
    returns = [_returns(each["equity"], account.initial_cash) for each in curves]
    found = difference(returns[0], returns[1], sides[0].made.result.metrics.periods_per_year, seed)
    curve = curves[0].select("datetime", first="equity").with_columns(second=curves[1]["equity"])
    return Compared(settings, sides[0], sides[1], found, curve)


def _side(settings: Settings, spec: str, lake: Lake, progress: Progress) -> Side:
    chosen = variant(settings, spec)
    return Side(spec, backtest(chosen, lake, progress=progress), set_version(chosen, lake))


def variant(settings: Settings, spec: str) -> Settings:
    """The settings for a variant like `smart_momentum,ema_fast=8,feature_set=test`.

    Raises:
        UsageError: it cannot be read.
    """
    name, own = "", {}
    for number, part in enumerate(spec.split(",")):
        key, equals, value = part.strip().partition("=")
        if not equals and number == 0:
            name = key
        elif not equals or not key.isidentifier() or not value:
            raise UsageError(f"variant {spec!r}: {part!r} is not NAME=VALUE", "write smart_momentum,ema_fast=8")
        else:
            own[key] = value
    signals = settings.signals.model_copy(update={"strategy": name} if name else {})
    features = settings.features
    if _FEATURE_SET in own:
        features = type(features)(**{**features.model_dump(), _FEATURE_SET: own.pop(_FEATURE_SET)})
    strategy = strategy_name(signals.strategy)
    given: Mapping[str, Mapping[str, Any]] = {
        **settings.strategy, strategy: {**settings.strategy.get(strategy, {}), **own}
    }  # fmt: skip
    return settings.model_copy(update={"signals": signals, "features": features, "strategy": given})


def _returns(equity: pl.Series, cash: float) -> NDArray[np.float64]:
    """Per-bar returns as fractions; before the first bar the account holds its cash."""
    worth = equity.to_numpy()
    return np.asarray(worth / np.concatenate([[cash], worth[:-1]]) - 1)
