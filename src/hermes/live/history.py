"""The history of one dataset in silver, which a live process loads at its start, and compares with later."""

from datetime import datetime

import polars as pl

from hermes.errors import MissingTable
from hermes.indicators.registry import known_indicators
from hermes.lake.store import Lake
from hermes.schemas import silver_schema
from hermes.settings import Settings
from hermes.stages.gold.blocks import Compute, Read, proven_lead
from hermes.stages.gold.features import adjusted, prepared
from hermes.stages.signals.plan import signals
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS, signal_rules

WHOLE_BARS = 100_000  # a series of so many is computed from its first bar on, bit for bit; a longer one from its tail
_BAR = list(BARS)


def silver_reader(settings: Settings, lake: Lake) -> tuple[Read, int]:
    """A function that reads bars of silver by row number, adjusted for known splits, and the number of bars.

    Raises:
        MissingTable: there is none.
    """
    dataset = settings.dataset
    files = lake.silver.files(dataset.silver_folder)
    if not files:
        raise MissingTable(f"silver has no rows of {dataset}", "run `hermes refine` first")
    bars = lake.silver.scan(files, schema=silver_schema(dataset.market)).select(_BAR)
    plan = adjusted(bars, settings.quality.of(dataset.symbol))
    rows = sum(about["rows"] for about in lake.silver.footers(files, "rows"))

    def read(begin: int, end: int) -> pl.DataFrame:
        with lake.silver.errors():
            return plan.slice(begin, end - begin).collect(engine="streaming")

    return read, rows


def position_before(read: Read, end: int, compute: Compute, strategy: Strategy, start: datetime | None) -> int:
    """The position before row `end`, found block by block, backwards, until earlier positions no longer matter.

    Args:
        start: signals begin there, flat.
    """
    sides = (-1, 0, 1) if "short_signal" in signal_rules(strategy) else (0, 1)
    ends = {side: side for side in sides}  # by what is held before the block: what is held before row `end`
    until = end
    while until > 0:
        begin = max(0, until - WHOLE_BARS)
        before = proven_lead(read, begin, compute, strategy.columns)
        table = compute(read(begin - before, until))
        first = int(table["datetime"].search_sorted(start)) if start else 0
        if first >= table.height:
            return ends[0]
        flat = first > before or begin == 0
        context = min(max(first, before), max(1, strategy.look_back))
        window = table.slice(max(first, before) - context)
        ends = {
            side: ends[int(signals(window, strategy, context, side)["position"][-1])]
            for side in ((0,) if flat else sides)
        }
        if len(set(ends.values())) == 1:
            return next(iter(ends.values()))
        until = begin
    return 0


class Computed:
    """A function that adds the strategy's columns to bars, as if they were the whole series."""

    def __init__(self, settings: Settings, strategy: Strategy) -> None:
        families = known_indicators(settings.features.indicators).families
        self._prepared = prepared(strategy.columns, settings.dataset.interval, families)

    def __call__(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The bars with the columns beside them."""
        # The streaming engine takes three times as long for 20,000 bars.
        return self.plan(bars).collect(engine="in-memory")

    def plan(self, bars: pl.DataFrame) -> pl.LazyFrame:
        """The same, not computed yet."""
        return self._prepared(bars.lazy())
