"""gold features → measures: what the strategy would have earned, without writing anything."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.steps.measure import Measured, measure, select


@dataclass(frozen=True, slots=True)
class Backtested:
    """What was measured, with which settings."""

    settings: Settings
    strategy: str
    measured: Measured
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Counts, the measures with the configured fill, and with each fill."""
        fills = {fill: result.metrics.as_dict() for fill, result in self.measured.results.items()}
        return {
            "symbol": self.settings.dataset.symbol,
            "interval": self.settings.dataset.interval,
            "strategy": self.strategy,
            **self.measured.tally.as_json(),
            "seconds": round(self.seconds, 6),
            "metrics": fills[self.settings.backtest.fill],
            "fills": fills,
        }


def backtest(settings: Settings, lake: Lake, progress: Progress = SILENT) -> Backtested:
    """Measure the settings' strategy on the rows from start to end, with both fills.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `select`.
    """
    started = perf_counter()
    selection = select(settings, lake)
    measured = measure(selection, progress)
    return Backtested(settings, selection.strategy.name, measured, perf_counter() - started)
