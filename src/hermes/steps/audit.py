"""What can be proven, and what can only be tried, on the user's own data: five checks, and the verdict is kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from secrets import randbits
from time import perf_counter
from typing import Any

import polars as pl

from hermes.errors import UnknownIndicator
from hermes.indicators.registry import known_indicators
from hermes.lake.store import Lake
from hermes.lake.tables import Table
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.audit.causality import Rules, judge_rules
from hermes.stages.audit.checks import Check, Verdict, worst
from hermes.stages.audit.columns import Compared, compare_columns
from hermes.stages.audit.continuity import continuity
from hermes.stages.audit.cuts import random_cuts, turning_cuts
from hermes.stages.audit.difference import Difference
from hermes.stages.audit.lookahead import look_ahead
from hermes.stages.audit.warm_up import warm_up
from hermes.stages.gold.features import with_indicators
from hermes.stages.signals.generate import signal_chunks
from hermes.stages.signals.plan import signals
from hermes.steps.indicators import doubts
from hermes.steps.lineage import keep_verdict
from hermes.steps.longer_bars import beside_archive
from hermes.steps.selection import Selection, select
from hermes.steps.step import step
from hermes.strategies import strategy_name
from hermes.strategies.columns import BARS, decided_columns, signal_rules
from hermes.text import counted

FULL_CUTS = 200  # at random bars, beside those at turns
QUICK_CUTS = 20
STARTS = 5
#: The bars that are cut and chunked, the latest ones: every cut computes everything again.
AUDITED_ROWS = 50_000


@dataclass(frozen=True, slots=True, repr=False)
class Audited:
    """What an audit found on one dataset with one strategy.

    Attributes:
        bars: bars that were cut and chunked; of: bars of the table.
        cuts: how often the data was cut; seed: of the random bars among them.
        checks: by name, `rules cuts columns warm_up continuity`.
        warm_up: bars that each column needs, see `audit.warm_up`; empty in a quick audit.
    """

    settings: Settings
    bars: int
    of: int
    cuts: int
    seed: int
    checks: Mapping[str, Check]
    warm_up: pl.DataFrame
    seconds: float

    @property
    def strategy(self) -> str:
        """The strategy's own name."""
        return strategy_name(self.settings.signals.strategy)

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks; the warm-up is measured, not judged."""
        return worst([check.verdict for name, check in self.checks.items() if name != "warm_up"])

    @property
    def faults(self) -> list[str]:
        """One line for each check that found a fault."""
        return [f"{name}: {check.detail}" for name, check in self.checks.items() if check.verdict == "fault"]

    def as_json(self) -> dict[str, Any]:
        """The verdict, every check, and how much was looked at."""
        return {
            "symbol": self.settings.dataset.symbol,
            "interval": self.settings.dataset.interval,
            "strategy": self.strategy,
            "verdict": self.verdict,
            "checks": {name: check.as_json() for name, check in self.checks.items()},
            "faults": self.faults,
            "bars": self.bars,
            "of_bars": self.of,
            "cuts": self.cuts,
            "seed": self.seed,
            "warm_up": dict(self.warm_up.iter_rows()),
            "seconds": round(self.seconds, 6),
        }

    def __repr__(self) -> str:
        """The verdict, and each check in words."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.verdict_text(self.as_json())

    def _repr_html_(self) -> str:
        """The verdict as a notebook shows it."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.verdict(self.as_json())


@step()
def audit(
    settings: Settings, lake: Lake, *, cuts: int = FULL_CUTS, seed: int | None = None, progress: Progress = SILENT
) -> Audited:
    """Audit the signals of one dataset, and keep the verdict for the lineage of the next execution.

    Args:
        cuts: at how many random bars the data is cut, beside the bars at which something happened; up to `QUICK_CUTS`
            make a quick audit, which leaves out the warm-up table.
        seed: of the random bars; a new one without it.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `select`.
    """
    started = perf_counter()
    selection = select(settings, lake)
    seed = randbits(32) if seed is None else seed
    random, quick = Random(seed), cuts <= QUICK_CUTS
    subject = _Subject(selection, lake)
    bars = subject.latest()

    with progress.task(f"audit {settings.dataset}", 5, "checks") as advance:
        rules = subject.judged()
        advance(1, "rules")
        everything = subject.compute(bars)
        turning, happened = turning_cuts(everything, decided_columns(selection.strategy), quick=quick)
        chosen = [*turning, *random_cuts(bars.height, cuts, random)]
        peek = look_ahead(bars, subject.compute, chosen, everything)
        advance(1, "cuts")
        compared = subject.compared()
        advance(1, "columns")
        needed = pl.DataFrame(schema={"column": pl.String, "bars": pl.Int64})
        if not quick:
            needed = warm_up(bars, subject.compute, [random.randrange(bars.height // 2 + 1) for _ in range(STARTS)])
        advance(1, "warm-up")
        sizes = [1_009] if quick else [7, 1_000, random.randrange(2, bars.height + 2)]
        splits = [[random.randrange(bars.height) for _ in range(9)] for _ in sizes]
        broken = continuity(everything, everything, subject.in_chunks, sizes, splits)
        advance(1, "continuity")

    span = (
        counted(bars.height, "bar")
        if bars.height == selection.table.rows
        else f"the latest {counted(bars.height, 'bar')}"
    )
    tried = (
        f"{counted(len(chosen), 'cut')} of {span}: {len(turning):,} right after one of the "
        f"{counted(happened, 'bar')} on which the position turned or a rule became true, {cuts:,} at random "
        f"(seed {seed})"
    )
    made = Audited(
        settings=settings,
        bars=bars.height,
        of=selection.table.rows,
        cuts=len(chosen),
        seed=seed,
        checks={
            "rules": _rules(rules, selection.found.outside, peek, len(chosen)),
            "cuts": Check("fault", f"{peek}, once later bars are missing")
            if peek
            else Check("tested", f"{tried}; later bars changed nothing before them"),
            "columns": subject.told(compared),
            "warm_up": _warm_up(needed, quick=quick),
            "continuity": _continuity(rules, broken, sizes, span),
        },
        warm_up=needed,
        seconds=perf_counter() - started,
    )
    keep_verdict(made.as_json(), selection, lake)
    return made


class _Subject:
    """What is audited: a strategy, its table, and which of the stored columns can be computed from the bars."""

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

    def with_columns(self, bars: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
        """The bars with these columns; raises UnknownIndicator."""
        return with_indicators(bars, names, self.settings.dataset.interval, self.families)

    def latest(self) -> pl.DataFrame:
        """The latest bars, and the stored columns that cannot be computed from them."""
        with self.lake.gold.errors():
            return self.plan.select(*BARS, *self.foreign).tail(AUDITED_ROWS).collect()

    def compute(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Bars → the columns, conditions, signals and position: all that Hermes says of them."""
        table = self.with_columns(bars.lazy(), self.computed).collect()
        return signals(table, self.strategy, context=0, position=0)

    def in_chunks(self, rows: pl.LazyFrame, chunk_rows: int) -> Iterator[pl.DataFrame]:
        """The rules chunk by chunk, as an execution runs them."""
        made = [*decided_columns(self.strategy), "position"]
        context_rows = self.settings.signals.context_rows
        return signal_chunks(rows.drop(made), self.strategy, chunk_rows=chunk_rows, context_rows=context_rows)

    def judged(self) -> Rules:
        """What the form of the rules proves."""
        strategy = self.strategy
        return judge_rules(strategy.conditions(), signal_rules(strategy), strategy.look_back)

    @property
    def stored(self) -> list[str]:
        """Columns that are read from the table although the bars give them."""
        return [name for name in self.computed if name not in self.derived]

    def compared(self) -> Compared | None:
        """The stored columns beside what the bars give, over the whole table; None where there is none of these."""
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

    def told(self, compared: Compared | None) -> Check:
        """How the check of the columns ended."""
        if compared and compared.difference:
            return Check("fault", f"{compared.difference}, which is what the bars give")
        said = []
        if compared:
            said.append(
                f"{_listed(self.stored)} on all {counted(self.table.rows, 'bar')}: stored is what the bars give"
            )
            said += [f"{name} from bar {bars + 1:,} on, as the table begins amid its history"
                     for name, bars in compared.begins.items()]  # fmt: skip
        if self.derived:
            said.append(f"{_listed(sorted(self.derived))} computed from the bars")
        said += beside_archive(self.settings, self.lake, self.plan, self.computed)
        unknown = [f"{name} is in the table, and no indicator that Hermes computes" for name in self.foreign]
        if compared:
            unknown += [f"{name} has no value" for name in compared.empty]
            unknown += [
                f"{counted(bars, 'bar')} of {name} depend on too many before" for name, bars in compared.open.items()
            ]
        if unknown:
            return Check("not_checked", "; ".join([*unknown, *said]))
        if compared or self.doubts:
            return Check("tested", "; ".join([*said, *(f"not proven: {doubt}" for doubt in self.doubts)]))
        return Check("proven", "; ".join(said) or "the rules read nothing but the bars")


def _rules(rules: Rules, outside: Sequence[str], peek: Difference | None, cuts: int) -> Check:
    """What the rules look at: by construction where that proves it, else as far as the cuts tell."""
    whole = rules.whole
    if whole.verdict == "fault":
        return Check("fault", _listed(whole.reasons, "; "))
    doubts = [*whole.reasons, *outside]
    if peek and peek.column in {*rules.each, "position"}:
        return Check("fault", f"{peek}, once later bars are missing" + (f"; {_listed(doubts, '; ')}" if doubts else ""))
    if doubts:
        return Check("tested", f"not proven: {_listed(doubts, '; ')}; {counted(cuts, 'cut')} found nothing")
    bars = f"at most {whole.look_back:,} before it" if whole.look_back else "none beside it"
    return Check("proven", f"{counted(len(rules.each), 'rule')}: each looks at its own bar and {bars}, by construction")


def _warm_up(needed: pl.DataFrame, *, quick: bool) -> Check:
    if quick:
        return Check("not_checked", f"it takes more than {QUICK_CUTS} cuts")
    endless = needed.filter(pl.col("bars").is_null())["column"].to_list()
    worst_of_all = needed.drop_nulls().sort("bars").tail(1)
    said = [f"{name} needs {counted(bars, 'bar')}" for name, bars in worst_of_all.iter_rows()]
    said += [f"{name} never forgets where the bars begin" for name in endless]
    return Check("tested", f"from {STARTS} beginnings: {_listed(said, '; ')}")


def _continuity(rules: Rules, broken: Difference | None, sizes: Sequence[int], span: str) -> Check:
    endless = [name for name, found in rules.each.items() if found.verdict == "proven" and found.look_back is None]
    if endless:
        return Check("fault", f"{_listed(endless)} depends on all bars before, which no chunk has: use a column for it")
    if broken:
        return Check("fault", f"{broken}, in chunks")
    chunks = f"{', '.join(f'{size:,}' for size in sizes)} rows"
    running = rules.whole.running
    rounding = f"; the last digits of {_listed(running)} depend on where a chunk begins" if running else ""
    return Check("tested", f"{span} in chunks of {chunks} and files cut at random: the same rows{rounding}")


def _listed(said: Sequence[str], mark: str = ", ", most: int = 8) -> str:
    """The first few, and how many more there are."""
    more = f"{mark}and {len(said) - most:,} more" if len(said) > most else ""
    return mark.join(said[:most]) + more
