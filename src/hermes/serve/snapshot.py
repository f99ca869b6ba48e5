"""The current status of every dataset that has signals or decisions, and the newest decisions on record."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from hermes.dataset import Dataset, is_simulated, parse_decisions_table, parse_signals_table
from hermes.errors import HermesError
from hermes.lake.executions import is_execution
from hermes.lake.store import Lake
from hermes.live.status import heartbeats, records, status
from hermes.pages import format
from hermes.record.review import rows_json
from hermes.record.table import DecisionsTable
from hermes.redaction import redact
from hermes.serve.reader import for_strategy
from hermes.serve.texts import address_of, cell
from hermes.settings import Settings
from hermes.text import POSITIONS

MOST_DATASETS = 200  # that are watched; more would make each look too long
DECISIONS = 20  # the newest ones on record

STATUS = ("Dataset", "Strategy", "Newest bar", "Age", "Position", "Since", "Last signal", "Next close", "Alive at",
          "Record")  # fmt: skip
RECORD = ("Decided at", "Dataset", "Strategy", "Bar", "Close", "Decision", "Position", "", "Hash")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the server sends to every listener.

    Attributes:
        datasets: as `hermes status --json` has them; decisions: as `hermes record show --json` has them, newest first.
        status, record: the same as rows of texts, under `STATUS` and `RECORD`.
        notes: what is not shown, and why.
    """

    datasets: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    status: list[dict[str, Any]] = field(default_factory=list)
    record: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def take_snapshot(settings: Settings, lake: Lake) -> Snapshot:
    """Read the current status from the lake.

    Raises:
        StoreError: it cannot be read.
    """
    signals, decided = _known(lake)
    watched = sorted(signals | _symbols(settings, decided), key=lambda each: (each[0], str(each[1])))
    found = Snapshot()
    if len(watched) > MOST_DATASETS:
        found.notes.append(
            f"{MOST_DATASETS:,} of {len(watched):,} datasets are shown; `hermes status` shows the others."
        )
    beats = heartbeats(lake)
    groups: dict[tuple[str, str, str], list[Dataset]] = defaultdict(list)
    for strategy, dataset in watched[:MOST_DATASETS]:
        groups[strategy, dataset.market, dataset.interval].append(dataset)
    for (strategy, _, _), datasets in groups.items():
        try:
            known = records(for_strategy(settings, strategy, datasets[0]), lake, [each.symbol for each in datasets])
        except HermesError as error:  # of a strategy that is not known here, as a rule
            found.notes.append(redact(f"{strategy}: {error}"))
            continue
        for dataset in datasets:
            try:
                own = for_strategy(settings, strategy, dataset)
                each = status(own, lake, beats=beats, record=known.get(dataset.symbol))
            except HermesError as error:
                found.notes.append(redact(f"{strategy} on {dataset}: {error}"))
                continue
            found.datasets.append(each)
            found.status.append(_status_row(each, dataset, has_signals=(strategy, dataset) in signals))
    newest = [rows for table in decided if (rows := _newest(table)).height]
    if newest:
        rows = pl.concat(newest, how="diagonal_relaxed").sort("server_time", "sequence", descending=True)
        found.decisions.extend(rows_json(rows.head(DECISIONS)))
        found.record.extend(_record_row(each) for each in rows.head(DECISIONS).iter_rows(named=True))
    return found


def _known(lake: Lake) -> tuple[set[tuple[str, Dataset]], list[DecisionsTable]]:
    """(strategy, dataset) of every table of signals, and the tables of decisions."""
    signals: set[tuple[str, Dataset]] = set()
    decided: set[tuple[str, str, str]] = set()
    for file in lake.gold.files(""):
        table = file.key.partition("/")[0]
        if (made := parse_signals_table(table)) and is_execution(file):
            signals.add(made)
        elif of := parse_decisions_table(table):
            decided.add(of)
    return signals, [DecisionsTable(lake, *each) for each in sorted(decided)]


def _symbols(settings: Settings, tables: Sequence[DecisionsTable]) -> set[tuple[str, Dataset]]:
    """(strategy, dataset) of every record."""
    found = set()
    for table in tables:
        strategy, market, interval = parse_decisions_table(table.name) or ("", "", "")
        like = Dataset(provider=settings.dataset.provider, market=market, interval=interval)
        found |= {(strategy, like.with_symbol(symbol)) for symbol in table.symbols()}
    return found


def _newest(table: DecisionsTable) -> pl.DataFrame:
    """The newest decisions of one table, from as few days as hold them."""
    days = table.days()
    rows, count = pl.DataFrame(), 1
    while days and rows.height < DECISIONS:
        rows = table.read(since=days[-min(count, len(days))])
        if count >= len(days):
            break
        count *= 2
    return rows.sort("server_time", "sequence").tail(DECISIONS) if rows.height else rows


def _status_row(each: dict[str, Any], dataset: Dataset, *, has_signals: bool) -> dict[str, Any]:
    signal, age = each["last_signal"], each["age_seconds"]
    return {
        "link": address_of(_signals_name(each["strategy"], dataset)) if has_signals else "",
        "stale": each["stale"],
        "cells": [
            _dataset(each),
            each["strategy"],
            _minute(each["newest_bar"]),
            ("–" if age is None else format.duration(max(0, age) // 60 * 60)) + (", stale" if each["stale"] else ""),
            POSITIONS.get(each["position"], "–"),
            _minute(each["since"]),
            f"{signal['side']} {_minute(signal['datetime'])} at {cell(signal['price'])}" if signal else "–",
            _minute(each["next_close"]),
            _minute(each["heartbeat"]),
            (each["record_head"] or "–")[:8],
        ],
    }


def _record_row(each: dict[str, Any]) -> dict[str, Any]:
    side = [name for name in ("buy", "sell", "short", "cover") if each.get(f"{name}_signal")]
    return {
        "link": "",
        "stale": False,
        "cells": [
            f"{each['decided_at']:%Y-%m-%d %H:%M:%S}",
            _dataset(each),
            each["strategy"],
            format.moment(each["datetime"]),
            cell(each["close"]),
            " and ".join(side) or "nothing",
            POSITIONS.get(each["position"], "–"),
            ", ".join(filter(None, ("late" if each["late"] else "", "revision" * (each["kind"] == "revision")))),
            each["hash"][:8],
        ],
    }


def _dataset(each: dict[str, Any]) -> str:
    market = "" if each["market"] == "spot" else f" {each['market']}"
    simulated = " (simulated)" if is_simulated(each["symbol"]) else ""
    return f"{each['symbol']} {each['interval']}{market}{simulated}"


def _signals_name(strategy: str, dataset: Dataset) -> str:
    """What SQL calls the table of signals, see `LakeTable.name`."""
    market = "" if dataset.market == "spot" else f"_{dataset.market}"
    return f"signals_{strategy}{market}_{dataset.symbol}_{dataset.interval}"


def _minute(at: str | None) -> str:
    return at[:16].replace("T", " ") if at else "–"
