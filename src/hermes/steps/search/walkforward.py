"""gold features → out-of-sample measures of parameters chosen in the past, and a luck test of the trades."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from hermes.dataset import is_simulated
from hermes.errors import UsageError
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.pages import format
from hermes.pages.walk_forward import WalkForwardPage, walk_forward_page
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.backtest.luck import Luck, luck
from hermes.stages.backtest.walk_forward import CHOICES, Tested, WalkForward, spans, walk_forward, windows
from hermes.steps.account import account_of, axes
from hermes.steps.feature_set import features_read
from hermes.steps.search.candidates import Candidates, candidates
from hermes.steps.search.distribute import measured
from hermes.steps.search.verdict import walk_verdict
from hermes.workers.pool import Place


@dataclass(frozen=True, slots=True)
class Walked:
    """A walk forward, and the luck test of its out-of-sample trades (None without trades).

    Attributes:
        by: the measure to choose by; train, test, anchored: as given.
    """

    candidates: Candidates
    found: WalkForward
    by: str
    train: str
    test: str
    anchored: bool
    luck: Luck | None
    seconds: float

    @property
    def decay_pct(self) -> float | None:
        """The cost of choosing: the share of the in-sample best measure that is lost out of sample, in percent.

        Above 100 where the measure is negative out of sample, below 0 where it is better there. None where there was
        nothing to choose, or no gain to lose.
        """
        if self.found.in_sample is None or len(self.candidates.strategies) < 2:
            return None
        inside, outside = getattr(self.found.in_sample, self.by), getattr(self.found.out_of_sample, self.by)
        return None if outside is None or inside <= 0 else 100 * (1 - outside / inside)

    def windows(self) -> list[dict[str, Any]]:
        """One row per window: its span, the chosen parameters, and the measures before and in it."""
        return [self._window(each) for each in self.found.windows]

    def _window(self, each: Tested) -> dict[str, Any]:
        times, window = self.candidates.bars.times, each.window
        return {
            "train_first": times[window.train].item().isoformat(),
            "first": times[window.test].item().isoformat(),
            "last": times[window.end - 1].item().isoformat(),
            "parameters": None if each.chosen is None else _varied(self.candidates, each.chosen),
            f"train_{self.by}": each.train and getattr(each.train, self.by),
            self.by: getattr(each.test, self.by),
            "total_return_pct": each.test.total_return_pct,
            "benchmark_return_pct": each.test.benchmark_return_pct,
            "trades": each.test.trades,
            "few_trades": each.test.few_trades,
        }

    @property
    def html(self) -> str:
        """The page of the walk forward."""
        chosen, settings = self.candidates, self.candidates.settings
        fill = settings.backtest.fill
        order = sorted(self.found.fills, key=lambda each: each != fill)
        columns = {f"Out of sample, {format.spaced(each)} fill": self.found.fills[each].as_dict() for each in order}
        if self.found.in_sample is not None:
            columns["Best in hindsight"] = self.found.in_sample.as_dict()
        return walk_forward_page(
            WalkForwardPage(
                title=f"{format.title(chosen.strategies[0].name)} on {settings.dataset}",
                simulated=is_simulated(settings.dataset.symbol),
                interval=settings.dataset.interval,
                account=chosen.terms,
                by=self.by,
                train=self.train,
                test=self.test,
                anchored=self.anchored,
                trials=len(chosen.strategies),
                skipped=chosen.skipped,
                varied=list(chosen.varied),
                fixed=chosen.fixed,
                trial=chosen.trial,
                windows=self.windows(),
                columns=columns,
                findings=walk_verdict(self),
                curve=self.found.curve,
            )
        )

    def as_json(self) -> dict[str, Any]:
        """Counts, every window, the stitched measures against those of hindsight and holding, the luck test."""
        found = self.found
        best = None if found.best is None else _varied(self.candidates, found.best)
        return {
            "symbol": self.candidates.settings.dataset.symbol,
            "interval": self.candidates.settings.dataset.interval,
            "strategy": self.candidates.strategies[0].name,
            **features_read(self.candidates.trial),
            "trials": len(self.candidates.strategies),
            "skipped": self.candidates.skipped,
            "by": self.by,
            "windows": self.windows(),
            "out_of_sample": found.out_of_sample.as_dict(),
            "fills": {fill: metrics.as_dict() for fill, metrics in found.fills.items()},
            "in_sample": found.in_sample and {"parameters": best, "metrics": found.in_sample.as_dict()},
            "decay_pct": self.decay_pct,
            "luck": self.luck and asdict(self.luck),
            "warnings": self.candidates.warnings,
            "seconds": round(self.seconds, 6),
        }


def walkforward(
    settings: Settings,
    lake: Lake | None = None,
    *,
    train: str = "2y",
    test: str = "6m",
    anchored: bool = False,
    by: str = "sharpe",
    sample: int | None = None,
    seed: int = 0,
    where: Place | None = None,
    progress: Progress = SILENT,
) -> Walked:
    """Choose the best combination in each past window, measure it in the next, and test the trades for luck.

    Args:
        settings: the strategy's parameters may be `8:20:4` or `20,26,50`.
        train, test, anchored: see `backtest.walk_forward.windows`.
        by: the measure to choose by, one of `CHOICES`.
        sample, seed: see `candidates`; the luck test draws by `seed`, too.
        where: see `shares.measured`.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `candidates` and `windows`.
    """
    lake = resolve_lake(settings, lake, "walkforward")
    started = perf_counter()
    if by not in CHOICES:
        raise UsageError(f"--by {by!r} is not one of {', '.join(CHOICES)}", "choose one of those")
    if varied := list(axes(settings)):
        raise UsageError(
            f"--{varied[0].replace('_', '-')} has several values, and all windows are traded on one account",
            "give one, or try all of them with `hermes sweep`",
        )
    chosen = candidates(settings, lake, sample, seed)
    cut = windows(chosen.bars.times, train, test, anchored=anchored)
    account = account_of(settings)  # the windows are one account's, so its terms are the same in all of them
    interval = settings.dataset.interval
    trials = measured(chosen, spans(cut), where, progress)
    found = walk_forward(chosen.bars, lambda number: chosen.signals([number])[0], trials, cut, interval, account, by)
    tested = luck(found.bars, found.wanted, account, seed=seed)
    return Walked(chosen, found, by, train, test, anchored, tested, perf_counter() - started)


def _varied(found: Candidates, number: int) -> Mapping[str, Any]:
    """The varied parameters of one combination; all parameters if none is varied."""
    parameters = found.parameters(number)
    return {name: parameters[name] for name in found.varied} or parameters
