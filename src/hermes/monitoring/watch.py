"""Monitoring of a run: it holds its dataset's lock, and reports metrics and notices however it ends.

Nothing here can fail a run: errors of a metrics file or a webhook become warnings, and are counted.
"""
# ruff: noqa: PLC0415 (what tells receivers is loaded where there are any)

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from hermes import interruption, logs
from hermes.dataset import expanded
from hermes.errors import DatasetLocked, HermesError, StoreError
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.redaction import as_hermes_error
from hermes.settings import Settings
from hermes.strategies import strategy_name
from hermes.text import counted

if TYPE_CHECKING:
    from hermes.monitoring.notices import Execution
    from hermes.monitoring.outbox import Receiver


class Run(Protocol):
    """The part of a run's result that is reported; see `steps.run.Run`."""

    @property
    def is_new(self) -> bool:
        """Whether signals were made."""

    @property
    def signalled(self) -> Any:
        """The execution, new or reused."""

    @property
    def refined(self) -> Any:
        """The result for silver, None if the step was skipped."""


RunStep = TypeVar("RunStep", bound=Callable[..., Run])


def watched(run: RunStep) -> RunStep:
    """Wrap `pipeline.run`: hold the dataset's lock, log the end, and notify the configured receivers.

    A run that is refused because another holds the lock reports nothing: the other one will.
    """

    @wraps(run)
    def wrapper(settings: Settings, lake: Lake | None = None, **options: Any) -> Run:
        lake = resolve_lake(settings, lake, "run")
        started, clock = datetime.now(UTC), perf_counter()
        try:
            with lake.locked(settings.dataset, "run") as own:
                made = run(settings, own, **options)
                figures = _done(settings, own, made, perf_counter() - clock)
        except DatasetLocked:
            raise
        except BaseException as error:  # a panic of Polars is no Exception
            if interruption.told is not None or isinstance(error, KeyboardInterrupt):  # whoever pressed Ctrl-C knows
                name = Path(settings.signals.strategy).name  # nothing is loaded any more: it may be what took so long
                _record(settings, name, _failure(interruption.exit_code(), perf_counter() - clock), 0)
            else:
                _failed(settings, lake, error, started, perf_counter() - clock)
            raise
        # Receivers may take their time: nobody else has to wait for the dataset meanwhile.
        _record(settings, made.signalled.as_json()["strategy"], figures, _deliver(settings, lake))
        return made

    return cast("RunStep", wrapper)


def _done(settings: Settings, lake: Lake, made: Run, seconds: float) -> dict[str, float]:
    """Log the end of a run, and queue notices of its new signals; returns the metrics of the run."""
    said = made.signalled.as_json()
    about = {"dataset": str(settings.dataset), "strategy": said["strategy"]}
    facts = {"rows": said["rows"], "signals": said["total_signals"], "path": said["path"]}
    logs.event("run", **about, **facts, unchanged=not made.is_new, seconds=round(seconds, 3))
    receivers = _receivers(settings)
    if not (receivers or settings.upkeep.metrics_file):
        return {}
    from hermes.monitoring.notices import last_signal, tell_new
    from hermes.monitoring.outbox import Outbox

    figures: dict[str, float] = {
        "hermes_run_last_success_timestamp_seconds": time(),
        "hermes_run_exit_status": 0,
        "hermes_run_duration_seconds": seconds,
        "hermes_rows": said["rows"],
        "hermes_signals": said["total_signals"],
        "hermes_last_bar_open_timestamp_seconds": _unix(datetime.fromisoformat(said["last"])),
    }
    if made.refined:
        figures["hermes_gaps"] = made.refined.quality.gap_count
        figures["hermes_coverage_ratio"] = made.refined.quality.coverage_pct / 100
    with _surely(settings):
        execution = _execution(settings, lake, made, said)
        if last := last_signal(lake, execution):
            figures["hermes_last_signal_timestamp_seconds"] = _unix(last)
        # A run to a set end looks at the past: nobody waits for its signals.
        if receivers and "signal" in settings.notify.on and settings.signals.end is None:
            outbox = Outbox(lake, settings.dataset.signals_table(said["strategy"]))
            tell_new(lake, execution, lambda notice: outbox.put(notice, receivers))
    return figures


def _failed(settings: Settings, lake: Lake, error: BaseException, started: datetime, seconds: float) -> None:
    known = as_hermes_error(error)
    about: dict[str, Any] = {"dataset": str(settings.dataset), "seconds": round(seconds, 3)}
    logs.event("run", level=logging.ERROR, **about, error=known.message, cure=known.cure)
    receivers = _receivers(settings)
    lost = 0
    if receivers and "failure" in settings.notify.on:
        from hermes.monitoring.notices import of_failure
        from hermes.monitoring.outbox import Outbox, put_or_send

        with _surely(settings):
            lost = len(receivers)
            put_or_send(Outbox(lake, _table(settings)), of_failure(settings, known, started), receivers)
            lost = _deliver(settings, lake)
    _record(settings, _name(settings), _failure(known.exit_code, seconds), lost)


def _failure(exit_code: int, seconds: float) -> dict[str, float]:
    """The metrics of a failed run."""
    return {
        "hermes_run_last_failure_timestamp_seconds": time(),
        "hermes_run_exit_status": exit_code,
        "hermes_run_duration_seconds": seconds,
    }


def _deliver(settings: Settings, lake: Lake) -> int:
    """Deliver waiting notices; returns how many receivers failed, each of which is a warning."""
    receivers = _receivers(settings)
    if not receivers:
        return 0
    from hermes.monitoring.outbox import Outbox

    lost = 1
    with _surely(settings):
        done = Outbox(lake, _table(settings)).deliver(receivers)
        lost = len(done.problems)
        for problem in done.problems:
            message = f"{settings.dataset}: {problem} ({counted(done.waiting, 'notice')} queued)"
            logs.event("upkeep", level=logging.WARNING, message=message, dataset=str(settings.dataset))
    return lost


def _receivers(settings: Settings) -> "list[Receiver]":
    """Every receiver that the settings name."""
    if not (settings.notify.url or settings.notify.addresses):
        return []
    from hermes.monitoring.receivers import find_receivers

    return find_receivers(settings.notify)


def _table(settings: Settings) -> str:
    """The table that the notices are about, even if the strategy cannot be loaded, which may be the failure."""
    try:
        return settings.dataset.signals_table(strategy_name(settings.signals.strategy))
    except HermesError:
        return settings.dataset.signals_table("unknown")


def _execution(settings: Settings, lake: Lake, made: Run, said: Mapping[str, Any]) -> "Execution":
    from hermes.monitoring.notices import Execution

    folder = f"{settings.dataset.signals_table(said['strategy'])}/{made.signalled.execution}"
    return Execution(
        dataset=settings.dataset,
        strategy=said["strategy"],
        parameters=made.signalled.parameters,
        file=lake.gold.files(folder)[0],
        last=datetime.fromisoformat(said["last"]),
    )


def _record(settings: Settings, strategy: str, figures: Mapping[str, float], lost: int) -> None:
    if not settings.upkeep.metrics_file:
        return
    with _surely(settings):
        from hermes.monitoring.metrics_file import update

        dataset = settings.dataset
        series = (dataset.provider, dataset.market, dataset.symbol, dataset.interval, strategy)
        path = expanded(settings.upkeep.metrics_file)
        try:
            update(path, series, figures, lost)
        except OSError as error:
            what = f"{error.filename or path}: {error.strerror or error}"
            raise StoreError(what, "name another file in upkeep.metrics_file") from error


def _name(settings: Settings) -> str:
    """The strategy's name, if it can be loaded; if not, that may be the failure."""
    try:
        return strategy_name(settings.signals.strategy)
    except HermesError:
        return Path(settings.signals.strategy).name


@contextmanager
def _surely(settings: Settings) -> Iterator[None]:
    """Turn errors within the block into warnings."""
    try:
        yield
    except Exception as error:
        what = str(error) if isinstance(error, HermesError | OSError) else f"unexpected {type(error).__name__}: {error}"
        message = f"{settings.dataset}: {what}"
        logs.event("upkeep", level=logging.WARNING, message=message, dataset=str(settings.dataset))


def _unix(at: datetime) -> float:
    return at.replace(tzinfo=UTC).timestamp()
