"""The current status of datasets: newest bar and age, position, last signal, heartbeat."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from hermes.dataset import RECENT, Dataset, is_simulated, parse_signals_table
from hermes.errors import MissingTable
from hermes.freshness import freshness
from hermes.lake import catalog
from hermes.lake.store import Lake
from hermes.live.position import SIGNALS, Position
from hermes.live.times import instant, later
from hermes.record import ledger
from hermes.record.paper import PaperAccount
from hermes.record.table import DecisionsTable
from hermes.schemas import BRONZE, in_microseconds
from hermes.settings import Settings
from hermes.steps.account import account_of
from hermes.strategies import find_strategy

MOST_BYTES = 256_000_000  # of a table of decisions that is read for a status
FOLDER = "status"  # in gold: a file for each dataset
SERVICES = f"{FOLDER}/services"  # and for each live process
FORGOTTEN = timedelta(days=7)  # after which a dead process's heartbeat is removed


def heartbeats(lake: Lake) -> dict[str, datetime]:
    """The last heartbeat of the live process of each signals table."""
    found: dict[str, datetime] = {}
    for file in lake.gold.files(SERVICES, ".json"):
        try:
            told = json.loads(lake.gold.read(file.key) or b"{}")
            at = datetime.fromisoformat(told["at"]).astimezone(UTC).replace(tzinfo=None)
        except (ValueError, KeyError, TypeError):
            continue
        for table in told.get("tables", []):
            found[table] = max(at, found.get(table, at))
    return found


def forget_services(lake: Lake, now: datetime) -> None:
    """Remove the heartbeats of processes that ended long ago."""
    for file in lake.gold.files(SERVICES, ".json"):
        try:
            at = datetime.fromisoformat(json.loads(lake.gold.read(file.key) or b"{}")["at"])
        except (ValueError, KeyError, TypeError):
            continue
        if now - at.astimezone(UTC).replace(tzinfo=None) > FORGOTTEN:
            lake.gold.remove(file.key)


def described(
    dataset: Dataset,
    strategy: str,
    parameters: Mapping[str, Any],
    newest: datetime | None,
    held: Position,
    *,
    now: datetime,
    frequencies: Collection[str],
    heartbeat: datetime | None,
    head: ledger.Head | None,
    account_position: int | None = None,
) -> dict[str, Any]:
    """The JSON object for one dataset; times are ISO 8601, UTC.

    Args:
        newest: open time of the newest bar; now: naive UTC.
        frequencies: how its bars arrive, see `freshness.freshness`.
        account_position: of the paper account, None if unknown.
    """
    simulated = is_simulated(dataset.symbol)
    fresh = freshness(newest, dataset.interval, frequencies, now, simulated=simulated) if newest else None
    return {
        "symbol": dataset.symbol,
        "market": dataset.market,
        "interval": dataset.interval,
        "strategy": strategy,
        "parameters": dict(parameters),
        "newest_bar": utc(newest),
        "age_seconds": round(fresh.age.total_seconds(), 3) if fresh else None,
        "expected_bar": utc(fresh.expected) if fresh else None,
        "stale": fresh is None or fresh.stale,
        "position": held.position,
        "account_position": account_position,
        "since": utc(held.since),
        "last_signal": held.last_signal and {
            **held.last_signal, "datetime": utc(datetime.fromisoformat(held.last_signal["datetime"]))
        },
        "next_close": utc(later(fresh.expected, dataset.interval, 2)) if fresh else None,
        "heartbeat": utc(heartbeat),
        "record_head": head.hash if head and head.sequence >= 0 else None,
    }  # fmt: skip


def records(settings: Settings, lake: Lake, symbols: Sequence[str]) -> dict[str, pl.DataFrame]:
    """The records of some symbols, read together; empty where the table has more than `MOST_BYTES`."""
    strategy, like = find_strategy(settings.signals.strategy).kind.name, settings.dataset
    table = DecisionsTable(lake, strategy, like.market, like.interval)
    if table.size > MOST_BYTES:
        return {}
    rows = table.read([like.with_symbol(symbol).symbol for symbol in symbols])
    return {str(symbol): part for (symbol,), part in rows.group_by("symbol")} if rows.height else {}


def status(
    settings: Settings,
    lake: Lake,
    now: datetime | None = None,
    beats: Mapping[str, datetime] | None = None,
    record: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """The current status of the settings' dataset and strategy, according to the lake.

    Args:
        now: naive UTC; this machine's clock without it.
        beats: from `heartbeats`, to share between many calls.
        record: of this dataset, from `records`; without it the paper account's position comes from a live process only.

    Raises:
        MissingTable: the lake has no bar of the dataset.
    """
    dataset = settings.dataset
    found = find_strategy(settings.signals.strategy)
    strategy = found.make(settings.strategy.get(found.kind.name, {}))
    newest, frequencies = newest_bar(dataset, lake)
    if newest is None:
        raise MissingTable(f"the lake has no bar of {dataset}", "run `hermes ingest` or `hermes live` first")
    held = Position()
    if files := catalog.executions(lake, dataset, strategy.name):
        with lake.gold.errors():
            plan = lake.gold.scan(files[-1:])
            names = [name for name in plan.collect_schema() if name in ("datetime", "close", *SIGNALS, "position")]
            held.add(plan.select(names).collect())
    chain = ledger.chain_of(dataset, strategy.name)
    table = DecisionsTable.of(lake, chain)
    head, on_paper = table.heads([chain]).get(chain), None
    if record is not None and record.height:
        on_paper = PaperAccount(account_of(settings), record).position
    elif head:
        on_paper = _told_position(lake, dataset.signals_table(strategy.name), head)
    if head and head.datetime:
        day_before = (head.datetime - timedelta(days=1)).date()
        _go_on(held, table.read([dataset.symbol], since=day_before) if record is None else record, head)
    if beats is None:
        beats = heartbeats(lake)
    heartbeat = beats.get(dataset.signals_table(strategy.name))
    return described(
        dataset, strategy.name, strategy.parameters.model_dump(mode="json"), newest, held,
        now=now or datetime.now(UTC).replace(tzinfo=None),
        frequencies=frequencies, heartbeat=heartbeat, head=head, account_position=on_paper,
    )  # fmt: skip


def _told_position(lake: Lake, table: str, head: ledger.Head) -> int | None:
    """The paper account's position according to a live process, if it has published one for the newest row."""
    try:
        told = json.loads(lake.gold.read(f"{FOLDER}/{table}.json") or b"{}")
        return told["account_position"] if told["record_head"] == head.hash else None
    except (ValueError, KeyError, TypeError):
        return None


def _go_on(held: Position, rows: pl.DataFrame, head: ledger.Head) -> None:
    """Continue with the record, which may be newer than the execution."""
    decided = rows.filter(pl.col("kind") == "decision").sort("datetime") if rows.height else rows
    if decided.height:
        known = held.since if held.position is not None else None
        held.add(decided.filter(pl.col("datetime") > known) if known else decided)
    elif held.position is None:
        held.position = head.position


def known_symbols(settings: Settings, lake: Lake) -> list[str]:
    """Symbols of the settings' market and interval with signals or decisions of their strategy."""
    like, strategy = settings.dataset, find_strategy(settings.signals.strategy).kind.name
    found = set(DecisionsTable(lake, strategy, like.market, like.interval).symbols())
    for file in lake.gold.files("", "signals.parquet"):
        if table := parse_signals_table(file.key.partition("/")[0]):
            name, dataset = table
            if (name, dataset.market, dataset.interval) == (strategy, like.market, like.interval):
                found.add(dataset.symbol)
    return sorted(found)


def newest_bar(dataset: Dataset, lake: Lake) -> tuple[datetime | None, set[str]]:
    """Open time of the newest bar in bronze, and the frequencies that have bars; silver's, where bronze is not here."""
    last, frequencies = [], set()
    for frequency in ("monthly", "daily", RECENT):
        series = dataset.with_frequency(frequency)
        files = lake.bronze.files(series.bronze_folder)
        if not files:
            continue
        frequencies.add(frequency)
        newest = max(files, key=lambda file: series.parse_stem(PurePosixPath(file.key).stem) or datetime.min.date())
        with lake.bronze.errors():
            time = in_microseconds(pl.col("open_time")).max()
            last.append(lake.bronze.scan([newest], schema=BRONZE).select(time).collect().item())
    if last:
        return instant(max(last)), frequencies
    files = lake.silver.files(dataset.silver_folder)
    if not files:
        return None, {"monthly"}
    with lake.silver.errors():
        return lake.silver.scan(files).select(pl.col("datetime").max()).collect().item(), {dataset.data_frequency}


def utc(at: datetime | None) -> str | None:
    """Naive UTC as text."""
    return at.isoformat() + "Z" if at else None
