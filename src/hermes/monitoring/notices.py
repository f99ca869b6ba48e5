"""Which signals nobody was told of yet, and what a notice of one says.

How far the receiver has been told stands beside the executions, in `notified.json`: the last bar, for each combination
of parameters. It moves on only over what was taken, so a notice that got lost is told by the next run. The first run
tells of its last bar alone: what happened before, nobody waits for.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from hermes.dataset import Dataset, is_simulated
from hermes.errors import HermesError
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, fingerprint
from hermes.settings import Settings
from hermes.version import __version__

_MARK = "notified.json"
_A_MOMENT = timedelta(microseconds=1)

#: Takes what a notice says; raises HermesError where nobody took it.
Send = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Execution:
    """The execution that a run made, or found unchanged.

    Attributes:
        file: its signals; last: open time (UTC) of its last bar.
    """

    dataset: Dataset
    strategy: str
    parameters: Mapping[str, Any]
    file: LakeFile
    last: datetime


def last_signal(lake: Lake, made: Execution) -> datetime | None:
    """Open time (UTC) of the last bar with a signal."""
    with lake.gold.errors():
        found = lake.gold.scan([made.file]).filter(_is_signal()).select(pl.col("datetime").max()).collect().item()
    return found if isinstance(found, datetime) else None


def tell_new(lake: Lake, made: Execution, send: Send) -> None:
    """Send a notice of every signal that is later than those told before, in order of time.

    Raises:
        HermesError: nobody took one; it and those after it are told by the next run.
    """
    key = f"{made.dataset.signals_table(made.strategy)}/{_MARK}"
    marks: dict[str, str] = json.loads(lake.gold.read(key) or b"{}")
    stream = fingerprint(made.parameters)
    until = datetime.fromisoformat(marks[stream]) if stream in marks else made.last - _A_MOMENT
    try:
        for notice in _notices(lake, made, until):
            # This bar may have another signal: were that one lost, both are told again.
            until = datetime.fromisoformat(notice["open_time"]).replace(tzinfo=None) - _A_MOMENT
            send(notice)
        until = max(until, made.last)
    finally:
        if marks.get(stream) != (now := until.isoformat()):
            lake.gold.write_bytes(key, json.dumps(marks | {stream: now}).encode())


def of_failure(settings: Settings, error: HermesError, started: datetime) -> dict[str, Any]:
    """What a notice of a failed run says.

    Args:
        started: when the run began, UTC with its time zone.
    """
    return {
        "event": "failure",
        "id": fingerprint("failure", settings.dataset.lock_key, settings.signals.strategy, started.isoformat()),
        **_about(settings.dataset),
        "strategy": settings.signals.strategy,
        "started": _utc(started),
        "error": error.message,
        "cure": error.cure,
        "exit_code": error.exit_code,
    }


def _notices(lake: Lake, made: Execution, until: datetime) -> Iterator[dict[str, Any]]:
    columns = ("datetime", "buy_signal", "sell_signal", "close", "position")
    new = lake.gold.scan([made.file]).filter(_is_signal() & (pl.col("datetime") > until)).select(columns)
    with lake.gold.errors():
        rows = new.collect()
    stream = (made.dataset.lock_key, made.strategy, made.parameters)
    for at, buy, sell, close, position in rows.iter_rows():
        for kind in [*(["buy"] if buy else []), *(["sell"] if sell else [])]:
            yield {
                "event": "signal",
                "id": fingerprint("signal", *stream, at.isoformat(), kind),
                **_about(made.dataset),
                "kind": kind,
                "open_time": _utc(at),
                "close_time": _utc(_close_time(made.dataset, at)),
                "price": close,
                "position": position,
                "strategy": made.strategy,
                "parameters": dict(made.parameters),
                "execution": made.file.location,
            }


def _about(dataset: Dataset) -> dict[str, Any]:
    names = ("provider", "market", "symbol", "interval")
    return {
        "hermes": __version__,
        "dataset": {name: getattr(dataset, name) for name in names},
        "simulated": is_simulated(dataset.symbol),
    }


def _is_signal() -> pl.Expr:
    return pl.col("buy_signal") | pl.col("sell_signal")


def _close_time(dataset: Dataset, opened: datetime) -> datetime:
    """When a bar is over: the open time of the next one."""
    if dataset.interval == "1mo":
        return (opened.replace(day=1) + timedelta(days=32)).replace(day=1)
    return opened + timedelta(seconds=dataset.interval_seconds)


def _utc(at: datetime) -> str:
    return at.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
