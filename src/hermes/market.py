"""The whole market: the pipeline for many datasets at once, wherever tasks run, and how they compare."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any, Self

from hermes import pipeline
from hermes.dataset import Dataset
from hermes.errors import DatasetLocked, MissingTable
from hermes.lake import catalog
from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.redaction import as_hermes_error, redact
from hermes.settings import Settings
from hermes.steps.ingest import archive_series
from hermes.steps.run import RunOptions
from hermes.text import counted
from hermes.workers.pool import Place, completed

if TYPE_CHECKING:
    from hermes.steps.comparison import Universe

LOCKED_S = 120  # how long a dataset is waited for that somebody else is working on


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one dataset: the JSON object of its run, or the error."""

    symbol: str
    interval: str
    market: str
    made: Mapping[str, Any] | None
    error: str = ""
    cure: str = ""
    trace: str = ""
    exit_code: int = 1

    @classmethod
    def of_error(cls, symbol: str, interval: str, market: str, error: Exception) -> Self:
        """The outcome of a dataset whose run raised `error`."""
        known, trace = as_hermes_error(error), "".join(traceback.format_exception(error))
        texts = redact(known.message), redact(known.cure), redact(trace)
        return cls(symbol, interval, market, None, *texts, known.exit_code)

    def as_json(self) -> dict[str, Any]:
        """What failed and how to correct it."""
        return {
            "symbol": self.symbol, "interval": self.interval, "error": self.error, "cure": self.cure
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Market:
    """The outcome of all datasets, in the order requested; `universe` compares those that succeeded."""

    outcomes: Sequence[Outcome]
    universe: "Universe | None"
    where: str
    seconds: float

    @property
    def done(self) -> list[Mapping[str, Any]]:
        """The runs' JSON objects."""
        return [each.made for each in self.outcomes if each.made is not None]

    @property
    def failed(self) -> list[Outcome]:
        """The datasets whose run failed."""
        return [each for each in self.outcomes if each.made is None]

    def as_json(self) -> dict[str, Any]:
        """Every dataset, every failure, and where the comparison is."""
        return {
            "datasets": self.done,
            **({"errors": [each.as_json() for each in self.failed]} if self.failed else {}),
            "universe": self.universe and self.universe.path,
            "tests": self.universe and self.universe.tests,
            "page": self.universe and self.universe.page,
            "where": self.where,
            "seconds": round(self.seconds, 6),
        }


def run_market(
    tasks: Sequence[Settings],
    options: RunOptions,
    where: Place,
    progress: Progress = SILENT,
    refused: Sequence[Outcome] = (),
) -> Market:
    """Run the pipeline for every dataset; one that fails stops no other.

    Args:
        tasks: one for each dataset; they differ in nothing else.
        options: which part of the pipeline to run.
        where: see `workers.pool.place`.
        refused: datasets that failed before, for the comparison.

    Raises:
        HermesError: the executor accepts no more tasks, or the comparison cannot be published.
    """
    started = perf_counter()
    found: dict[Dataset, Outcome] = {}
    rows = failed = 0
    with progress.task(f"{counted(len(tasks), 'dataset')} on {where.name}", len(tasks), "datasets") as advance:
        for (settings, _), result in completed(where, _run_task, [(each, options) for each in tasks]):
            outcome = _failed(settings, result) if isinstance(result, Exception) else result
            found[settings.dataset] = outcome
            rows += outcome.made["rows"] if outcome.made else 0
            failed += outcome.made is None
            advance(1, f"{failed:,} failed, {rows / (perf_counter() - started):,.0f} rows/s")
    outcomes = [*(found[each.dataset] for each in tasks), *refused]
    from hermes.steps.comparison import publish_universe  # noqa: PLC0415 - one dataset needs no table of many

    universe = publish_universe(tasks[0], Lake.open(tasks[0]), [_row(each) for each in outcomes], page=options.reported)
    return Market(outcomes, universe, where.name, perf_counter() - started)


def held(settings: Settings, source: str, *, quote: str = "", match: str = "*") -> list[Dataset]:
    """The datasets of the settings' market and interval that a source holds, by symbol.

    Args:
        source: one of `pipeline.SOURCES`: the archive, or a layer of the lake.
        quote: only symbols that end with it, like USDT; match: only symbols like this, as in BTC*.

    Raises:
        MissingTable: there is none.
        ArchiveError, StoreError: the source cannot be listed.
    """
    like = settings.dataset
    there = archive_series(settings) if source == "archive" else _in_lake(settings, source)
    found = [
        each
        for each in sorted(there, key=lambda each: each.symbol)
        if each.symbol.endswith(quote.upper()) and fnmatchcase(each.symbol, match.upper())
    ]
    if not found:
        where = settings.archive.url if source == "archive" else settings.layer_url(source)
        asked = f"{like.market} symbol at {like.interval} like {match}{f' quoted in {quote.upper()}' if quote else ''}"
        raise MissingTable(
            f"{where} holds no {asked} ({len(there):,} symbols there)",
            "ask for others with --quote, --match, --market or --interval",
        )
    return found


def _in_lake(settings: Settings, layer: str) -> list[Dataset]:
    like = settings.dataset
    same = (like.provider, like.market, like.interval)
    held = catalog.datasets(Lake.open(settings), layer)
    symbols = {each.symbol for each in held if (each.provider, each.market, each.interval) == same}
    return [like.with_symbol(symbol) for symbol in symbols]


def _run_task(task: tuple[Settings, RunOptions]) -> Outcome:
    """Run one task in a thread or a worker: takes and returns only what is cheap to send."""
    settings, options = task
    give_up = monotonic() + LOCKED_S
    while True:
        try:
            made = pipeline.run(settings, **asdict(options)).as_json()
        except DatasetLocked as error:  # a cluster sent the task twice, or another run is at it: its result is as good
            if monotonic() > give_up:
                return _failed(settings, error)
            sleep(1)
        except Exception as error:
            return _failed(settings, error)
        else:
            return Outcome(settings.dataset.symbol, settings.dataset.interval, settings.dataset.market, made)


def _failed(settings: Settings, error: Exception) -> Outcome:
    dataset = settings.dataset
    return Outcome.of_error(dataset.symbol, dataset.interval, dataset.market, error)


def _row(outcome: Outcome) -> dict[str, Any]:
    """One row of the comparison."""
    made = outcome.made or {}
    return {
        "symbol": outcome.symbol,
        "interval": outcome.interval,
        "market": outcome.market,
        **{name: made.get(name) for name in ("rows", "buy_signals", "sell_signals", "path", "report")},
        **{name: made.get(name) for name in ("feature_set", "features_version")},
        "first": made.get("first") and datetime.fromisoformat(made["first"]),
        "last": made.get("last") and datetime.fromisoformat(made["last"]),
        **{name: made.get(name, {}) for name in ("metrics", "fills")},
        "warnings": made.get("warnings", []),
        "error": outcome.error or None,
        "cure": outcome.cure or None,
    }
