"""The audit of a strategy on the user's own data: five checks, each proven or tested. The verdict is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import WARNING
from random import Random
from secrets import randbits
from time import perf_counter
from typing import Any

import polars as pl

from hermes.errors import StoreError
from hermes.lake.store import Lake
from hermes.logs import event
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.audit.causality import Rules
from hermes.stages.audit.checks import Check, Verdict, worst
from hermes.stages.audit.continuity import continuity
from hermes.stages.audit.cuts import random_cuts, turning_cuts
from hermes.stages.audit.difference import Difference
from hermes.stages.audit.lookahead import look_ahead
from hermes.stages.audit.warm_up import warm_up
from hermes.steps.audit_subject import Subject, first_of
from hermes.steps.lineage import keep_verdict, written_rules
from hermes.steps.selection import select
from hermes.steps.step import step
from hermes.strategies import strategy_name
from hermes.strategies.columns import decided_columns
from hermes.text import counted

FULL_CUTS = 200  # at random bars, beside those at turns
QUICK_CUTS = 20
STARTS = 5


@dataclass(frozen=True, slots=True, repr=False)
class Audited:
    """The result of an audit of one strategy on one dataset.

    Attributes:
        bars: bars that were cut and chunked; of: all bars of the table.
        cuts: number of cuts; seed: of the random ones.
        checks: by name, `rules cuts columns warm_up continuity`.
        warm_up: bars that each column needs, see `audit.warm_up`; empty in a quick audit.
        rules: fingerprints of the rules that were audited, see `lineage.written_rules`.
    """

    settings: Settings
    bars: int
    of: int
    cuts: int
    seed: int
    checks: Mapping[str, Check]
    warm_up: pl.DataFrame
    rules: Mapping[str, str]
    seconds: float

    @property
    def strategy(self) -> str:
        """The strategy's own name."""
        return strategy_name(self.settings.signals.strategy)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the checks, not counting the warm-up."""
        return worst([check.verdict for name, check in self.checks.items() if name != "warm_up"])

    @property
    def faults(self) -> list[str]:
        """One line for each check that found a fault."""
        return [f"{name}: {check.detail}" for name, check in self.checks.items() if check.verdict == "fault"]

    def as_json(self) -> dict[str, Any]:
        """The verdict, every check, and how much was examined."""
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
        """The verdict as HTML for notebooks."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.verdict(self.as_json())


@step()
def audit(
    settings: Settings, lake: Lake, *, cuts: int = FULL_CUTS, seed: int | None = None, progress: Progress = SILENT
) -> Audited:
    """Audit the signals of one dataset, and store the verdict for the lineage of the next execution.

    Args:
        cuts: number of random cuts, in addition to those right after a signal or a turn; up to `QUICK_CUTS`
            the audit is a quick one, without the warm-up table.
        seed: of the random cuts; by default a new one.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `select`.
    """
    started = perf_counter()
    selection = select(settings, lake)
    seed = randbits(32) if seed is None else seed
    random, quick = Random(seed), cuts <= QUICK_CUTS
    subject = Subject(selection, lake)
    bars = subject.latest()

    with progress.task(f"audit {settings.dataset}", 5, "checks") as advance:
        rules = subject.judged()
        advance(1, "rules")
        everything = subject.compute(bars)
        turning, happened = turning_cuts(everything, decided_columns(selection.strategy), quick=quick)
        turning = [cut for cut in turning if cut < bars.height]  # else nothing is cut off
        anywhere = random_cuts(bars.height, cuts, random)
        chosen = [*turning, *anywhere]
        peek = look_ahead(bars, subject.compute, chosen, everything)
        advance(1, "cuts")
        compared = subject.compared()
        advance(1, "columns")
        needed = pl.DataFrame(schema={"column": pl.String, "bars": pl.Int64})
        if not quick:
            needed = warm_up(bars, subject.compute, [random.randrange(bars.height // 2 + 1) for _ in range(STARTS)])
        advance(1, "warm-up")
        # Chunks of all bars at once would test nothing.
        most = max(1, bars.height // 2)
        wanted = [1_009] if quick else [7, 1_000, random.randrange(2, bars.height + 2)]
        sizes = list(dict.fromkeys(min(size, most) for size in wanted))
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
        f"{counted(happened, 'bar')} on which the position turned or a rule became true, {len(anywhere):,} at random "
        f"(seed {seed})"
    )
    empty = [name for name in subject.computed if everything[name].null_count() == everything.height]
    made = Audited(
        settings=settings,
        bars=bars.height,
        of=selection.table.rows,
        cuts=len(chosen),
        seed=seed,
        checks={
            "rules": _rules(rules, [*selection.found.outside, *subject.doubts], peek, len(chosen)),
            "cuts": _cuts(peek, tried, len(chosen)),
            "columns": subject.columns_check(compared),
            "warm_up": _warm_up(needed, empty, quick=quick),
            "continuity": _continuity(rules, broken, sizes if bars.height > 1 else [], span),
        },
        warm_up=needed,
        rules=written_rules(selection),
        seconds=perf_counter() - started,
    )
    try:
        keep_verdict(made.as_json(), selection, lake)
    except StoreError as error:  # what was found is found
        message = f"the verdict is not kept, so signals will say that they were not checked: {error}"
        event("audit", level=WARNING, message=message, dataset=str(settings.dataset))
    return made


def _rules(rules: Rules, unproven: Sequence[str], peek: Difference | None, cuts: int) -> Check:
    """Whether rules look ahead: by construction where that proves it, else by cuts.

    Args:
        unproven: what the source uses outside expressions, and why columns that the rules read are not proven.
    """
    whole = rules.whole
    if whole.verdict == "fault":
        return Check("fault", first_of(whole.reasons, "; "))
    doubts = [*whole.reasons, *unproven]
    if peek:  # in a column that they read, if not in themselves
        return Check(
            "fault", f"{peek}, once later bars are missing" + (f"; {first_of(doubts, '; ')}" if doubts else "")
        )
    if doubts:
        return Check("tested", f"not proven: {first_of(doubts, '; ')}; {counted(cuts, 'cut')} found nothing")
    bars = f"at most {whole.look_back:,} before it" if whole.look_back else "none beside it"
    return Check("proven", f"{counted(len(rules.each), 'rule')}: each looks at its own bar and {bars}, by construction")


def _cuts(peek: Difference | None, tried: str, cuts: int) -> Check:
    if peek:
        return Check("fault", f"{peek}, once later bars are missing")
    if not cuts:
        return Check("not_checked", "one bar cannot be cut")
    return Check("tested", f"{tried}; later bars changed nothing before them")


def _warm_up(needed: pl.DataFrame, empty: Sequence[str], *, quick: bool) -> Check:
    if quick:
        return Check("not_checked", f"it takes more than {QUICK_CUTS} cuts")
    if empty:
        return Check("not_checked", f"{first_of(empty)}: no value on so few bars")
    endless = needed.filter(pl.col("bars").is_null())["column"].to_list()
    worst_of_all = needed.drop_nulls().sort("bars").tail(1)
    said = [f"{name} needs {counted(bars, 'bar')}" for name, bars in worst_of_all.iter_rows()]
    said += [f"{name} never forgets where the bars begin" for name in endless]
    return Check("tested", f"from {STARTS} beginnings: {first_of(said, '; ')}")


def _continuity(rules: Rules, broken: Difference | None, sizes: Sequence[int], span: str) -> Check:
    endless = [name for name, found in rules.each.items() if found.verdict == "proven" and found.look_back is None]
    if endless:
        return Check(
            "fault", f"{first_of(endless)} depends on all bars before, which no chunk has: use a column for it"
        )
    if broken:
        return Check("fault", f"{broken}, in chunks")
    if not sizes:
        return Check("not_checked", "one bar cannot be cut into chunks")
    chunks = f"{', '.join(f'{size:,}' for size in sizes)} rows"
    running = rules.whole.running
    rounding = f"; the last digits of {first_of(running)} depend on where a chunk begins" if running else ""
    return Check("tested", f"{span} in chunks of {chunks} and files cut at random: the same rows{rounding}")
