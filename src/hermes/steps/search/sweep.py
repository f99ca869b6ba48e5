"""gold features → measures of every combination of parameters, and how much of the best result is luck."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import polars as pl

from hermes.dataset import is_simulated
from hermes.errors import StoreError, StrategyError, UsageError
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.measures import FEW_TRADES
from hermes.pages import format
from hermes.pages.sweep import Sweep, sweep_page
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.backtest.account import Fill
from hermes.stages.backtest.metrics import Metrics
from hermes.stages.backtest.overfitting import Deflated, Overfitting, deflated_sharpe, probability
from hermes.stages.backtest.trials import Span, Trial, effective_number, parts_of, returns_of, search
from hermes.steps.feature_set import features_read
from hermes.steps.search.candidates import Candidates, candidates
from hermes.steps.search.distribute import measured
from hermes.steps.search.verdict import verdict
from hermes.workers.pool import Place

OUT = Path("sweeps")


@dataclass(frozen=True, slots=True)
class Trials:
    """All combinations that were tried.

    Attributes:
        table: one row per combination, in the order tried: its parameters, then every measure of `Metrics`.
    """

    candidates: Candidates
    trials: Sequence[Trial]
    table: pl.DataFrame

    def best(self, min_trades: int = 0) -> int | None:
        """Row of the highest Sharpe ratio among those with at least `min_trades`; None without one."""
        sharpes = pl.when(pl.col("trades") >= min_trades).then("sharpe")
        return self.table.select(sharpes).to_series().arg_max()


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep: the combinations, the verdict on the best one, and where it was written.

    Attributes:
        min_trades: minimum for the best combination; barred: number of combinations with fewer.
        best: row of the best combination, None without one; fills: its measures with each fill.
        deflated: the best's deflated Sharpe ratio; over_holding: that of its returns above holding with the same
            exposure, None where all but a few bars are those of holding; overfitting: what cross-validation found. None
            where undefined.
        effective: number of independent trials that would differ as much as these.
        folder: holds `trials.parquet`, `trials.csv` and `sweep.html`.
    """

    tried: Trials
    min_trades: int
    barred: int
    best: int | None
    fills: Mapping[str, Metrics]
    deflated: Deflated | None
    over_holding: Deflated | None
    overfitting: Overfitting | None
    effective: float
    folder: Path
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Counts, the best combination, and the overfitting measures."""
        found = self.tried.candidates
        return {
            "symbol": found.settings.dataset.symbol,
            "interval": found.settings.dataset.interval,
            "strategy": found.strategies[0].name,
            **features_read(found.trial),
            "rows": len(found.bars),
            "trials": len(found.strategies),
            "effective_trials": self.effective,
            "skipped": found.skipped,
            "min_trades": self.min_trades,
            "barred": self.barred,
            "best": self._best(),
            "deflated_sharpe": self.deflated and asdict(self.deflated),
            "deflated_sharpe_over_holding": self.over_holding and asdict(self.over_holding),
            "overfitting": self.overfitting and asdict(self.overfitting),
            "warnings": found.warnings,
            "folder": str(self.folder),
            "seconds": round(self.seconds, 6),
        }

    def _best(self) -> dict[str, Any] | None:
        if self.best is None:
            return None
        fills = {fill: metrics.as_dict() for fill, metrics in self.fills.items()}
        found = self.tried.candidates
        return {
            "parameters": found.parameters(self.best),
            "metrics": fills[found.settings.backtest.fill],
            "fills": fills,
        }


def sweep(
    settings: Settings,
    lake: Lake | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    min_trades: int = FEW_TRADES,
    out: Path = OUT,
    where: Place | None = None,
    progress: Progress = SILENT,
) -> Swept:
    """Try every combination of the strategy's parameters, or `sample` of them at random, and write the results.

    Args:
        settings: parameters of the strategy may be several values, like `8:20:4` or `20,26,50`.
        min_trades: minimum for the best combination, as the Sharpe ratio of a few trades is chance.
        out: a local folder; every sweep creates a new folder in it.
        where: see `distribute.measured`.

    Raises:
        MissingTable, TableRefused, StrategyError, UsageError: see `candidates`; or no parameter has several values.
        StoreError: the folder cannot be written.
    """
    lake = resolve_lake(settings, lake, "sweep")
    started = perf_counter()
    tried = trials(settings, lake, sample=sample, seed=seed, where=where, progress=progress)
    found, bars = tried.candidates, tried.candidates.bars
    if not found.varied:
        parameters = " ".join(f"{name}={value}" for name, value in found.parameters(0).items())
        raise UsageError(
            f"there is nothing to sweep: every parameter has one value ({parameters or 'there are none'})",
            "give one several values, such as --set NAME=8,12,20 or --stop-loss 0.01:0.05:0.01",
        )
    best = tried.best(min_trades)
    fills: dict[str, Metrics] = {}
    deflated = over_holding = None
    if best is not None:
        wanted = found.signals([best])[0]
        fills = {fill: metrics for fill, (metrics,) in both_fills(found, [best]).items()}
        returns, above = returns_of(bars, wanted, found.accounts[best])
        deflated = deflated_sharpe(returns, _per_bar(tried, "sharpe"))
        if tried.trials[best].metrics.p_value_over_holding is not None:
            over_holding = deflated_sharpe(above, _per_bar(tried, "sharpe_over_holding"))
    made = Swept(
        tried=tried,
        min_trades=min_trades,
        barred=int((tried.table["trades"] < min_trades).sum()),
        best=best,
        fills=fills,
        deflated=deflated,
        over_holding=over_holding,
        overfitting=probability(parts_of(tried.trials, len(bars))),
        effective=effective_number(tried.trials, len(bars)),
        folder=_folder(tried, out),
        seconds=perf_counter() - started,
    )
    _write(made, out)
    return replace(made, seconds=perf_counter() - started)


def both_fills(found: Candidates, numbers: Sequence[int]) -> dict[str, list[Metrics]]:
    """The measures of some combinations, with each fill."""
    wanted, interval = found.signals(numbers), found.settings.dataset.interval
    made = {}
    for fill in get_args(Fill):
        accounts = [replace(found.accounts[number], fill=fill) for number in numbers]
        made[fill] = [each.metrics for each in search(found.bars, wanted, interval, accounts)]
    return made


def _per_bar(tried: Trials, measure: str) -> list[float]:
    """The Sharpe ratio of every trial, per bar; 0 if it never traded."""
    periods = tried.trials[0].metrics.periods_per_year
    return [(value or 0.0) / sqrt(periods) for value in tried.table[measure]]


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
        raise StrategyError(f"parameter {min(taken)!r} has the name of a measure", "choose another name")
    (done,) = measured(found, [Span(0, len(found.bars))], where, progress)
    rows = [{**found.parameters(i), **each.metrics.as_dict()} for i, each in enumerate(done)]
    table = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col(pl.Null).cast(pl.Float64))
    return Trials(found, done, table)


def _folder(tried: Trials, out: Path) -> Path:
    dataset, name = tried.candidates.settings.dataset, tried.candidates.strategies[0].name
    return out / f"{dataset.signals_table(name).removeprefix('trading_signals_')}_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"


def _write(made: Swept, out: Path) -> None:
    """The table twice and the page, in a new folder that appears whole or not at all."""
    tried, folder = made.tried, made.folder
    dataset, name = tried.candidates.settings.dataset, tried.candidates.strategies[0].name
    found = tried.candidates
    page = sweep_page(
        Sweep(
            title=f"{format.title(name)} on {dataset}",
            simulated=is_simulated(dataset.symbol),
            first=found.bars.times[0].item(),
            last=found.bars.times[-1].item(),
            bars=len(found.bars),
            account=found.terms,
            fixed=found.fixed,
            trial=found.trial,
            table=tried.table,
            varied=list(found.varied),
            skipped=found.skipped,
            verdict=verdict(made),
            min_trades=made.min_trades,
        )
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".sweep-") as staging:
            staged = Path(staging) / folder.name
            staged.mkdir()
            tried.table.write_parquet(staged / "trials.parquet")
            tried.table.write_csv(staged / "trials.csv")
            (staged / "sweep.html").write_text(page, encoding="utf-8")
            staged.rename(folder)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror}", "give --out another folder") from None
