"""gold features → every combination of parameters, measured; and how much of the best of them is luck."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl

from hermes.dataset import is_simulated
from hermes.errors import StoreError, StrategyError
from hermes.lake.store import Lake
from hermes.pages import format
from hermes.pages.sweep import Sweep, sweep_page
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.backtest.metrics import Metrics
from hermes.stages.backtest.overfitting import Deflated, Overfitting, deflated_sharpe, probability
from hermes.stages.backtest.portfolio import Account
from hermes.stages.backtest.trials import Trial, parts_of, returns_of
from hermes.steps.search.candidates import Candidates, candidates
from hermes.steps.search.distribute import measured
from hermes.workers.pool import Place

OUT = Path("sweeps")


@dataclass(frozen=True, slots=True)
class Trials:
    """Every combination tried.

    Attributes:
        table: one row for each: its parameters, then every measure by its name in `Metrics`; in the order tried.
    """

    candidates: Candidates
    trials: Sequence[Trial]
    table: pl.DataFrame

    @property
    def best(self) -> int | None:
        """Row of the highest Sharpe ratio, None where no combination has one."""
        return self.table["sharpe"].arg_max()


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep: what was tried, what the best is worth, and where it was written.

    Attributes:
        deflated: the best's deflated Sharpe ratio; overfitting: what cross-validation found; None where undefined.
        folder: holds `trials.parquet`, `trials.csv` and `sweep.html`.
    """

    tried: Trials
    deflated: Deflated | None
    overfitting: Overfitting | None
    folder: Path
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Counts, the best, and the warning in figures."""
        found, best = self.tried.candidates, self.tried.best
        return {
            "symbol": found.settings.dataset.symbol,
            "interval": found.settings.dataset.interval,
            "strategy": found.strategies[0].name,
            "rows": len(found.bars),
            "trials": len(found.strategies),
            "skipped": found.skipped,
            "best": None if best is None else {
                "parameters": found.parameters(best), "metrics": self.tried.trials[best].metrics.as_dict()
            },
            "deflated_sharpe": self.deflated and asdict(self.deflated),
            "overfitting": self.overfitting and asdict(self.overfitting),
            "folder": str(self.folder),
            "seconds": round(self.seconds, 6),
        }  # fmt: skip


def sweep(
    settings: Settings,
    lake: Lake,
    *,
    sample: int | None = None,
    seed: int = 0,
    out: Path = OUT,
    where: Place | None = None,
    progress: Progress = SILENT,
) -> Swept:
    """Try every combination of the strategy's parameters, or `sample` of them at random, and write what came out.

    Args:
        settings: the strategy's parameters may be `8:20:4` or `20,26,50`.
        out: a local folder; every sweep gets a folder of its own in it, and never replaces another.
        where: see `shares.measured`.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `candidates`.
        StoreError: the folder cannot be written.
    """
    started = perf_counter()
    tried = trials(settings, lake, sample=sample, seed=seed, where=where, progress=progress)
    found, bars, best = tried.candidates, tried.candidates.bars, tried.best
    deflated = None
    if best is not None:
        per_bar = sqrt(tried.trials[best].metrics.periods_per_year)
        sharpes = [each.metrics.sharpe / per_bar for each in tried.trials if each.metrics.sharpe is not None]
        deflated = deflated_sharpe(returns_of(bars, found.asked([best])[0], _account(settings)), sharpes)
    overfitting = probability(parts_of(tried.trials, len(bars)))
    folder = _write(tried, deflated, overfitting, out)
    return Swept(tried, deflated, overfitting, folder, perf_counter() - started)


def trials(
    settings: Settings,
    lake: Lake,
    *,
    sample: int | None = None,
    seed: int = 0,
    where: Place | None = None,
    progress: Progress = SILENT,
) -> Trials:
    """The first half of `sweep`: every combination measured, nothing written."""
    found = candidates(settings, lake, sample, seed)
    if taken := found.parameters(0).keys() & {each.name for each in fields(Metrics)}:
        raise StrategyError(f"parameter {min(taken)!r} has the name of a measure", "call it something else")
    (done,) = measured(found, [(0, len(found.bars))], where, progress)
    rows = [{**found.parameters(i), **each.metrics.as_dict()} for i, each in enumerate(done)]
    table = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col(pl.Null).cast(pl.Float64))
    return Trials(found, done, table)


def _account(settings: Settings) -> Account:
    return Account(**settings.backtest.model_dump())


def _write(tried: Trials, deflated: Deflated | None, overfitting: Overfitting | None, out: Path) -> Path:
    """The table twice and the page, in a new folder that appears whole or not at all."""
    dataset, name = tried.candidates.settings.dataset, tried.candidates.strategies[0].name
    now = datetime.now(UTC)
    folder = out / f"{dataset.signals_table(name).removeprefix('trading_signals_')}_{now:%Y%m%d_%H%M%S_%f}"
    page = sweep_page(
        Sweep(
            title=f"{format.title(name)} on {dataset}",
            simulated=is_simulated(dataset.symbol),
            table=tried.table,
            varied=list(tried.candidates.varied),
            skipped=tried.candidates.skipped,
            verdict=verdict(tried.table.height, deflated, overfitting),
        )
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".sweep-") as staging:
            made = Path(staging) / folder.name
            made.mkdir()
            tried.table.write_parquet(made / "trials.parquet")
            tried.table.write_csv(made / "trials.csv")
            (made / "sweep.html").write_text(page, encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror}", "give --out another folder") from None
    return folder


def verdict(trials: int, deflated: Deflated | None, overfitting: Overfitting | None) -> list[str]:
    """What the figures mean, in words."""
    said = []
    if trials > 1:
        said.append(
            f"The best of {trials:,} combinations looks better than it is: with enough tries, chance alone finds one."
        )
    if deflated:
        said.append(
            f"Deflated Sharpe ratio {deflated.probability:.1%}: the probability that the best has any skill at all,"
            f" after {deflated.trials:,} tries. {'Below' if deflated.probability < 0.95 else 'Above'} 95 %, so"
            f" {'it may well be luck' if deflated.probability < 0.95 else 'luck alone hardly explains it'}."
        )
    if overfitting:
        said.append(
            f"Probability of backtest overfitting {overfitting.probability:.1%}: chosen in one half of the bars, the"
            f" best was no better than the median in the other half in that share of {overfitting.splits:,} ways to cut"
            f" them, and lost money there in {overfitting.loss:.1%}."
        )
    return said
