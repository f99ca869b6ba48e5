"""The subject of an audit: a strategy, its table, and the same columns and rules recomputed from the bars."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from hermes.errors import UnknownIndicator
from hermes.indicators.registry import known_indicators
from hermes.lake.store import Lake
from hermes.lake.tables import Table
from hermes.schemas import silver_schema
from hermes.settings import Settings
from hermes.stages.audit.causality import Rules, judge_rules
from hermes.stages.audit.checks import Check
from hermes.stages.audit.columns import Compared, compare_columns
from hermes.stages.gold.features import adjusted, prepared, with_indicators
from hermes.stages.gold.timeframes import compare_longer, split
from hermes.stages.signals.generate import signal_chunks
from hermes.stages.signals.plan import signals
from hermes.steps.indicators import doubts
from hermes.steps.selection import Selection
from hermes.strategies.columns import BARS, decided_columns, signal_rules
from hermes.text import counted

#: The bars that are cut and chunked, the latest ones: every cut computes everything again.
AUDITED_ROWS = 50_000


class Subject:
    """A strategy, its table, and which of the stored columns can be recomputed from the bars."""

    def __init__(self, selection: Selection, lake: Lake) -> None:
        self.settings, self.strategy, self.lake = selection.settings, selection.strategy, lake
        self.table: Table = selection.table
        self.plan = selection.table.plan if selection.trial is None else selection.trial.joined(selection.table.plan)
        self.derived = frozenset(selection.derived)
        self.computed: list[str] = []
        known = known_indicators(self.settings.features.indicators)
        self.families = known.families
        self.foreign: list[str] = []
        for name in self.strategy.columns:
            try:
                self.with_columns(pl.LazyFrame(schema=BARS), [name])
                self.computed.append(name)
            except UnknownIndicator:
                self.foreign.append(name)
        self.doubts = doubts(self.computed, known)
        self._columns = prepared(self.computed, self.settings.dataset.interval, self.families)  # for every cut

    def with_columns(self, bars: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
        """The bars with these columns; raises UnknownIndicator."""
        return with_indicators(bars, names, self.settings.dataset.interval, self.families)

    def latest(self) -> pl.DataFrame:
        """The latest bars, and the stored columns that cannot be computed from them."""
        with self.lake.gold.errors():
            return self.plan.select(*BARS, *self.foreign).tail(AUDITED_ROWS).collect()

    def compute(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Bars → columns, conditions, signals, position and ranks."""
        made = signals(self._columns(bars.lazy()), self.strategy, context=0, position=0)
        ranks = {f"rank {name}": rank for name, rank in self.strategy.ranks().items()}
        return made.with_columns(**ranks) if ranks else made

    def in_chunks(self, rows: pl.LazyFrame, chunk_rows: int) -> Iterator[pl.DataFrame]:
        """The rules chunk by chunk, as an execution runs them."""
        made = [*decided_columns(self.strategy), "position"]
        context_rows = self.settings.signals.context_rows
        return signal_chunks(rows.drop(made), self.strategy, chunk_rows=chunk_rows, context_rows=context_rows)

    def judged(self) -> Rules:
        """The judgement of the rules and ranks by construction."""
        strategy = self.strategy
        return judge_rules(strategy.conditions(), signal_rules(strategy), strategy.look_back, strategy.ranks())

    @property
    def stored(self) -> list[str]:
        """Stored columns that can be recomputed from the bars."""
        return [name for name in self.computed if name not in self.derived]

    def compared(self) -> Compared | None:
        """The stored columns compared with recomputed ones, over the whole table; None without such columns."""
        names = self.stored
        if not names:
            return None
        states = {name: f"supertrend_dir_{name.removeprefix('supertrend_').removeprefix('dir_')}"
                  for name in names if name.startswith("supertrend_")}  # fmt: skip
        wanted = list(dict.fromkeys([*names, *states.values()]))
        plan = self.plan.select(*BARS, *names)

        def read(begin: int, end: int) -> pl.DataFrame:
            with self.lake.gold.errors():
                return plan.slice(begin, end - begin).collect(engine="streaming")

        def compute(bars: pl.DataFrame) -> pl.DataFrame:
            return self.with_columns(bars.select(BARS.keys()).lazy(), wanted).select(wanted).collect()

        return compare_columns(read, self.table.rows, names, compute, states)

    def columns_check(self, compared: Compared | None) -> Check:
        """The result of the check of the columns."""
        if compared and compared.difference:
            return Check("fault", f"{compared.difference}, which is what the bars give")
        said, unknown = [], [f"{name} is in the table, and no indicator that Hermes computes" for name in self.foreign]
        if compared:
            rows = self.table.rows
            left_out = {*compared.begins, *compared.late, *compared.empty}
            if full := [name for name in self.stored if name not in left_out]:
                said.append(f"{first_of(full)} on all {counted(rows, 'bar')}: stored is what the bars give")
            said += [f"{name} from bar {bars + 1:,} on, as it has values before the bars give any: the table may begin "
                     "amid its history" for name, bars in compared.begins.items() if bars < rows]  # fmt: skip
            said += [f"{name} from bar {bars + 1:,} on, before which it has no value"
                     for name, bars in compared.late.items()]  # fmt: skip
            unknown += [f"{name} has values before the bars give any, and depends on all bars before"
                        for name, bars in compared.begins.items() if bars >= rows]  # fmt: skip
            unknown += [f"{name} has no value" for name in compared.empty]
            unknown += [
                f"{counted(bars, 'bar')} of {name} depend on too many before" for name, bars in compared.open.items()
            ]
        if self.derived:
            said.append(f"{first_of(sorted(self.derived))} computed from the bars")
        said += beside_archive(self.settings, self.lake, self.plan, self.computed)
        if unknown:
            return Check("not_checked", "; ".join([*unknown, *said]))
        if compared or self.doubts:
            return Check("tested", "; ".join([*said, *(f"not proven: {doubt}" for doubt in self.doubts)]))
        return Check("proven", "; ".join(said) or "the rules read nothing but the bars")


def first_of(said: Sequence[str], mark: str = ", ", most: int = 8) -> str:
    """The first few of the items, and how many more there are."""
    more = f"{mark}and {len(said) - most:,} more" if len(said) > most else ""
    return mark.join(said[:most]) + more


def beside_archive(settings: Settings, lake: Lake, bars: pl.LazyFrame, columns: Sequence[str]) -> list[str]:
    """The findings, one clause for each longer interval that silver has bars of.

    Args:
        bars: of the settings' dataset, the whole series.

    Raises:
        StoreError: the bars of the longer interval cannot be read.
    """
    dataset, found = settings.dataset, []
    for longer in dict.fromkeys(interval for name in columns if (interval := split(name)[1])):
        files = lake.silver.files(replace(dataset, interval=longer).silver_folder)
        if not files:
            continue
        with lake.silver.errors():
            archive = lake.silver.scan(files, schema=silver_schema(dataset.market)).select(BARS.keys())
            archive = adjusted(archive, settings.quality.of(dataset.symbol))
            count, differing = compare_longer(bars.select(BARS.keys()), dataset.interval, longer, archive)
        what = f"{count:,} bars of {longer} made of {dataset.interval}"
        if differing.is_empty():
            found.append(f"{what} are those of the archive's own {longer}")
            continue
        at, column, built, archived = differing.row(0)
        found.append(
            f"{differing['datetime'].n_unique():,} of {what} differ from the archive's own {longer}, "
            f"first the {column} of {at}: {built} made, {archived} there"
        )
    return found
