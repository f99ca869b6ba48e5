"""Three proofs on the user's own data: continuity, absence of look-ahead, and warm-up; the verdict is kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Any

import polars as pl

from hermes.lake.store import Lake
from hermes.lake.tables import open_table
from hermes.progress import SILENT, Progress
from hermes.schemas import FEATURES, INDICATORS
from hermes.settings import Settings
from hermes.stages.audit.continuity import continuity
from hermes.stages.audit.difference import Difference, first_difference
from hermes.stages.audit.lookahead import look_ahead
from hermes.stages.audit.warm_up import warm_up
from hermes.stages.gold.features import features
from hermes.stages.gold.indicators import indicator
from hermes.stages.signals.generate import signal_chunks
from hermes.stages.signals.plan import signals
from hermes.steps.lineage import keep_verdict
from hermes.steps.selection import Selection, select
from hermes.steps.step import logged
from hermes.strategies import strategy_name
from hermes.strategies.base import Strategy

FULL_CUTS = 200
QUICK_CUTS = 20
STARTS = 5
SEED = 20170901  # the same cuts on every run, so that a fault is found again
#: The bars that are audited, the latest ones: every cut computes everything again.
AUDITED_ROWS = 50_000
_BARS = tuple(name for name in FEATURES if name not in INDICATORS)


@dataclass(frozen=True, slots=True, repr=False)
class Audited:
    """What the proofs found on one dataset with one strategy; None where a proof holds.

    Attributes:
        bars: audited bars; of: bars of the table.
        stored: whether the gold features are what the bars give.
        warm_up: bars that each column needs, see `audit.warm_up`; empty in a quick audit.
    """

    settings: Settings
    bars: int
    of: int
    cuts: int
    continuity: Difference | None
    look_ahead: Difference | None
    stored: Difference | None
    warm_up: pl.DataFrame
    seconds: float

    @property
    def strategy(self) -> str:
        """The strategy's own name."""
        return strategy_name(self.settings.signals.strategy)

    @property
    def faults(self) -> list[str]:
        """One line for each proof that failed."""
        proofs = {
            "continuity": self.continuity,
            "look-ahead": self.look_ahead,
            "gold features": self.stored,
        }
        return [f"{name}: {difference}" for name, difference in proofs.items() if difference]

    def as_json(self) -> dict[str, Any]:
        """The verdict, its faults, and how much was looked at."""
        return {
            "symbol": self.settings.dataset.symbol,
            "interval": self.settings.dataset.interval,
            "strategy": self.strategy,
            "verdict": "fault" if self.faults else "passed",
            "faults": self.faults,
            "bars": self.bars,
            "of_bars": self.of,
            "cuts": self.cuts,
            "warm_up": dict(self.warm_up.iter_rows()),
            "seconds": round(self.seconds, 6),
        }

    def __repr__(self) -> str:
        """The verdict, and each proof in words."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.verdict_text(self.as_json())

    def _repr_html_(self) -> str:
        """The verdict as a notebook shows it."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.verdict(self.as_json())


@logged
def audit(settings: Settings, lake: Lake, *, cuts: int = FULL_CUTS, progress: Progress = SILENT) -> Audited:
    """Prove the signals of one dataset, and keep the verdict for the lineage of the next execution.

    Args:
        cuts: how many random bars the data is cut at; `QUICK_CUTS` leaves out the warm-up table.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `select`.
    """
    started = perf_counter()
    selection = select(settings, lake)
    table = selection.table
    bars, stored = _latest(selection, lake)
    random = Random(SEED)
    compute = _computed(selection.strategy)
    everything = compute(bars)
    quick = cuts <= QUICK_CUTS

    with progress.task(f"audit {settings.dataset}", 3, "proofs") as advance:
        broken = continuity(
            everything,
            everything,
            _in_chunks(settings, selection.strategy),
            sizes := [1_009] if quick else [7, 1_000, random.randrange(2, bars.height + 2)],
            [[random.randrange(bars.height) for _ in range(9)] for _ in sizes],
        )
        advance(1, "continuity")
        peeks = look_ahead(bars, compute, [random.randrange(1, bars.height + 1) for _ in range(cuts)])
        advance(1, "look-ahead")
        needed = pl.DataFrame(schema={"column": pl.String, "bars": pl.Int64})
        if not quick:
            needed = warm_up(bars, compute, [random.randrange(bars.height // 2 + 1) for _ in range(STARTS)])
        advance(1, "warm-up")

    if table.rows > bars.height:  # values depend on all bars before them: those of a part are others
        stored = None
    made = Audited(
        settings=settings,
        bars=bars.height,
        of=table.rows,
        cuts=cuts,
        continuity=broken,
        look_ahead=peeks,
        stored=None if stored is None else first_difference(everything.select(stored.columns), stored),
        warm_up=needed,
        seconds=perf_counter() - started,
    )
    keep_verdict(made.as_json(), selection, lake)
    return made


def _computed(strategy: Strategy) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Bars → features, the strategy's own columns, conditions, signals and position: all that Hermes says of them."""

    def compute(bars: pl.DataFrame) -> pl.DataFrame:
        table = features(bars.lazy()).collect()
        missing = [name for name in strategy.columns if name not in table.columns]
        table = table.with_columns(indicator(name).alias(name) for name in missing)
        return signals(table, strategy, context=0, position=0)

    return compute


def _in_chunks(settings: Settings, strategy: Strategy) -> Callable[[pl.LazyFrame, int], Iterator[pl.DataFrame]]:
    """The rules chunk by chunk, as an execution runs them."""

    def judge(rows: pl.LazyFrame, chunk_rows: int) -> Iterator[pl.DataFrame]:
        made = [*strategy.conditions(), "buy_signal", "sell_signal", "position"]
        context_rows = settings.signals.context_rows
        return signal_chunks(rows.drop(made), strategy, chunk_rows=chunk_rows, context_rows=context_rows)

    return judge


def _latest(selection: Selection, lake: Lake) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The latest bars of the feature table and, where Hermes made all of it, the indicators stored with them."""
    files = selection.table.files
    own = all(lake.gold.footers(files))
    wanted = FEATURES if own else {name: FEATURES[name] for name in _BARS if name != "timeframe"}
    symbol = selection.settings.dataset.symbol
    with lake.gold.errors():
        rows = open_table(lake.gold, files, wanted, symbol).plan.tail(AUDITED_ROWS).collect()
    if not own:
        rows = rows.with_columns(timeframe=pl.lit(selection.settings.dataset.interval))
    return rows.select(_BARS), rows if own else None
