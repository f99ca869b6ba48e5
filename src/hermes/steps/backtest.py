"""gold features → measures of the strategy, without writing anything."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import polars as pl

from hermes.errors import SourceChanged
from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.steps.frames import Frame, polars
from hermes.steps.measure import Measured, MeasuredRows, Tally, measure, measure_frame
from hermes.steps.selection import select
from hermes.steps.step import step
from hermes.strategies import strategy_name
from hermes.strategies.columns import input_schema, output_schema


@dataclass(frozen=True, slots=True, repr=False)
class Backtested(MeasuredRows):
    """The measures of a backtest, with its settings.

    Attributes:
        given: the signals passed as a frame, if any.
    """

    settings: Settings
    strategy: str
    measured: Measured
    seconds: float
    given: pl.DataFrame | None = None

    def lazy(self) -> pl.LazyFrame:
        """The measured rows with their signals, recomputed on each call, as nothing was written.

        Raises:
            MissingTable, TableRefused: see `select`.
            SourceChanged: the features have changed since.
        """
        if self.given is not None:
            return self.given.lazy()
        selection = select(self.settings, Lake.open(self.settings))
        frames = list(selection.judged(list(input_schema(selection.strategy))))
        again = Tally()
        for frame in frames:
            again.add(frame)
        if again != self.measured.tally:
            raise SourceChanged(f"features of {self.settings.dataset} have changed since", "measure again")
        columns = [name for name in output_schema(selection.strategy) if name in frames[0].columns]
        return pl.concat(frames).lazy().select(columns)

    def as_json(self) -> dict[str, Any]:
        """Counts, the measures with the configured fill, and with each fill."""
        fills = self.measured.fills
        return {
            "symbol": self.settings.dataset.symbol,
            "interval": self.settings.dataset.interval,
            "strategy": self.strategy,
            **self.measured.tally.as_json(),
            "seconds": round(self.seconds, 6),
            "metrics": fills[self.settings.backtest.fill],
            "fills": fills,
            "warnings": self.warnings,
        }


@step()
def backtest(settings: Settings, lake: Lake, *, frame: Frame | None = None, progress: Progress = SILENT) -> Backtested:
    """Measure the settings' strategy on the rows from start to end, with both fills, without writing anything.

    Args:
        settings: name the dataset, the strategy, the span and the account.
        lake: where the features are stored.
        frame: signals to measure instead, from any source: `datetime, open, close, buy_signal, sell_signal` in time
            order. The lake is not read; `signals.start` and `end` do not cut it.
        progress: told how far the work is.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `select`.
    """
    started = perf_counter()
    if frame is not None:
        rows = polars(frame).collect()
        measured = measure_frame(rows, settings)
        seconds = perf_counter() - started
        return Backtested(settings, strategy_name(settings.signals.strategy), measured, seconds, given=rows)
    selection = select(settings, lake)
    measured = measure(selection, progress)
    return Backtested(settings, selection.strategy.name, measured, perf_counter() - started)
