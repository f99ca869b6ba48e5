"""Notices of signals that were not reported yet, and of failures.

The last reported bar of each combination of parameters is stored beside the executions, in `notified.json`. It advances
only over notices that were accepted, so a lost notice is sent by the next run. The first run reports its last bar only,
as earlier signals are history.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from logging import WARNING
from typing import Any

import polars as pl

from hermes.dataset import Dataset, bar_close, is_simulated
from hermes.errors import HermesError, StoreError
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, fingerprint
from hermes.logs import event
from hermes.settings import Settings
from hermes.version import __version__

_MARK = "notified.json"
_A_MOMENT = timedelta(microseconds=1)
#: Column of a signal → what it is called.
_SIGNALS = {"buy_signal": "buy", "sell_signal": "sell", "short_signal": "short", "cover_signal": "cover"}

#: Takes what a notice says; raises HermesError where nobody took it.
Send = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Execution:
    """The execution that a run made or reused.

    Attributes:
        file: its signals; last: open time (UTC) of its last bar.
    """

    dataset: Dataset
    strategy: str
    parameters: Mapping[str, Any]
    file: LakeFile
    last: datetime


def is_signal(columns: Iterable[str]) -> pl.Expr:
    """Whether a row has any of the signals in these columns."""
    there = set(columns)
    return pl.any_horizontal(name for name in _SIGNALS if name in there)


def last_signal(lake: Lake, made: Execution) -> datetime | None:
    """Open time (UTC) of the last bar with a signal."""
    with lake.gold.errors():
        rows = lake.gold.scan([made.file])
        found = rows.filter(is_signal(rows.collect_schema())).select(pl.col("datetime").max()).collect().item()
    return found if isinstance(found, datetime) else None


def tell_new(lake: Lake, made: Execution, send: Send) -> None:
    """Send a notice of every signal later than those reported, in order of time.

    Raises:
        HermesError: a notice was not accepted; it and later ones are sent by the next run.
    """
    marks = _Marks(lake, made.dataset, made.strategy, made.parameters)
    until = marks.until or made.last - _A_MOMENT
    with lake.gold.errors():
        rows = lake.gold.scan([made.file])
        new = rows.filter(is_signal(rows.collect_schema()) & (pl.col("datetime") > until)).collect()
    marks.tell(
        _notices(new, made.dataset, made.strategy, made.parameters, {"execution": made.file.location}),
        until,
        made.last,
        send,
    )


def tell_decisions(lake: Lake, dataset: Dataset, rows: pl.DataFrame, location: str, send: Send) -> None:
    """Send a notice of every signal among decisions that were just recorded.

    A later run over the same bars does not report them again.

    Args:
        rows: sealed rows of the record, of this dataset and one strategy, in order of time.
        location: the file that holds them.
    """
    decided = rows.filter(pl.col("kind") == "decision")
    for (strategy, parameters), part in decided.group_by("strategy", "parameters", maintain_order=True):
        signals = part.filter(is_signal(part.columns))
        if signals.is_empty():
            continue
        given = json.loads(str(parameters))
        marks = _Marks(lake, dataset, str(strategy), given)
        until = marks.until or part["datetime"][0] - _A_MOMENT
        new = signals.filter(pl.col("datetime") > until)
        about = {"record": location, "link": location}
        marks.tell(_notices(new, dataset, str(strategy), given, about), until, part["datetime"][-1], send)


class _Marks:
    """The last reported bar of one table and its parameters."""

    def __init__(self, lake: Lake, dataset: Dataset, strategy: str, parameters: Mapping[str, Any]) -> None:
        self._gold, self._key = lake.gold, f"{dataset.signals_table(strategy)}/{_MARK}"
        self._stream = fingerprint(_sorted(parameters))
        self._marks = self._read()

    def _read(self) -> dict[str, str]:
        try:
            told = self._gold.read_json(self._key, "the last reported signal is lost", "") or {}
            for at in told.values():
                datetime.fromisoformat(at)
        except (StoreError, TypeError, ValueError):
            where = self._gold.locate(self._key)
            message = (
                f"{where} cannot be read: the last reported signal is lost. It is made again, beginning with the "
                "newest bar; look at the signals before it yourself"
            )
            event("notices", level=WARNING, message=message)
            return {}
        return told

    @property
    def until(self) -> datetime | None:
        """The last reported bar, None before the first."""
        return datetime.fromisoformat(self._marks[self._stream]) if self._stream in self._marks else None

    def tell(self, notices: Iterator[dict[str, Any]], until: datetime, last: datetime, send: Send) -> None:
        """Send notices, and advance the mark over those that were accepted, at most to `last`."""
        try:
            for notice in notices:
                # This bar may have another signal: were that one lost, both are told again.
                until = datetime.fromisoformat(notice["open_time"]).replace(tzinfo=None) - _A_MOMENT
                send(notice)
            until = max(until, last)
        finally:
            if self._marks.get(self._stream) != (now := until.isoformat()):
                self._gold.write_bytes(self._key, json.dumps(self._marks | {self._stream: now}).encode())


def of_failure(settings: Settings, error: HermesError, started: datetime) -> dict[str, Any]:
    """The content of a notice of a failed run.

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


def _notices(
    rows: pl.DataFrame, dataset: Dataset, strategy: str, given: Mapping[str, Any], about: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """A notice of each signal of these rows; `about` holds their address."""
    conditions = [
        name for name, kind in rows.schema.items() if kind == pl.Boolean and name not in (*_SIGNALS, "late")
    ]  # fmt: skip
    parameters = _sorted(given)
    for row in rows.iter_rows(named=True):
        at = row["datetime"]
        for signal, kind in _SIGNALS.items():
            if not row.get(signal):
                continue
            yield {
                "event": "signal",
                "id": fingerprint("signal", dataset.lock_key, strategy, parameters, at.isoformat(), kind),
                **_about(dataset),
                "kind": kind,
                "open_time": _utc(at),
                "close_time": _utc(bar_close(dataset.interval, at)),
                "price": row["close"],
                "position": row["position"],
                "why": [name for name in conditions if row[name]],
                "strategy": strategy,
                "parameters": dict(given),
                **about,
                **({"late": row["late"], "record_head": row["hash"]} if "hash" in row else {}),
            }


def _sorted(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in the form that runs and the record share: sorted by name, 55 as 55.0."""
    whole = {name: float(v) if type(v) is int else v for name, v in parameters.items()}
    return dict(sorted(whole.items()))


def _about(dataset: Dataset) -> dict[str, Any]:
    names = ("provider", "market", "symbol", "interval")
    return {
        "hermes": __version__,
        "dataset": {name: getattr(dataset, name) for name in names},
        "simulated": is_simulated(dataset.symbol),
    }


def _utc(at: datetime) -> str:
    return at.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
