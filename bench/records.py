"""The record: one close of many symbols appended, a year of minutes verified, a million rows reconciled."""

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any
from unittest import mock

import numpy as np
import polars as pl

from hermes.compute import compute_features, compute_signals
from hermes.dataset import Dataset
from hermes.lake.backends import folder
from hermes.lake.store import Lake
from hermes.record import ledger, verification
from hermes.record.ledger import Chain, Head
from hermes.record.paper import track
from hermes.record.reconciliation import reconcile
from hermes.record.table import DecisionsTable
from hermes.settings import Settings
from hermes.stages.signals.plan import signals
from hermes.steps.account import accounts
from hermes.strategies import find_strategy
from hermes.version import __version__

FIRST = datetime(2024, 1, 1)
HISTORY = 10_000  # bars before the first decision
DATASET = Dataset(symbol="SIMUSDT", interval="1m")


def append(root: str, symbols: int, closes: int) -> Callable[[], Mapping[str, Any]]:
    """So many closes of so many symbols, each sealed and published in one file, with the heads in memory."""
    settings = _settings(root)
    table = DecisionsTable(Lake.open(settings), "smart_momentum", "spot", "1m")
    strategy = find_strategy("smart_momentum").make({})
    judged = [_judged(HISTORY + closes, settings, seed).tail(closes) for seed in range(4)]
    names = [f"SIM{number:03d}USDT" for number in range(symbols)]
    chains = [ledger.chain_of(DATASET.with_symbol(name), strategy.name) for name in names]
    rows = []
    for close in range(closes):
        at = pl.concat([judged[number % 4].slice(close, 1) for number in range(symbols)])
        server = at["datetime"][0] + timedelta(minutes=1, milliseconds=300)
        at = at.with_columns(symbol=pl.Series(names))
        decided = ledger.decisions(at, DATASET, strategy, decided_at=server, server_time=server, late_seconds=60)
        rows.append(decided.sort("symbol", "datetime", maintain_order=True))  # as a live process hands them over

    def work() -> Mapping[str, Any]:
        heads: Mapping[Chain, Head] = {}
        spent, worked, waited, sealed, bare = [], [], [], [], []
        with table.held(chains, "bench") as held, mock.patch.object(folder, "sync", _Timed(folder.sync)) as sync:
            held.append(rows[0], heads)  # warms up, and makes the folders
            heads = held.heads(chains)
            for each in rows[1:]:
                started, before, sync.spent = perf_counter(), process_time(), 0.0
                appended = held.append(each, heads)
                spent.append(perf_counter() - started)
                worked.append(process_time() - before)
                waited.append(sync.spent)
                bare.append(_bare(Path(root, "bare"), Path(root, "gold", appended.key).read_bytes()))
                started = perf_counter()
                ledger.seal(each, heads)
                sealed.append(perf_counter() - started)
                heads = appended.heads
        medians = {"median": median(spent), "worked": median(worked), "fsync": median(waited), "seal": median(sealed)}
        return {**medians, "bare": median(bare), "p99": quantiles(spent, n=100)[98], "closes": len(spent)}

    return work


class _Timed:
    """A function that adds up how long its calls take."""

    def __init__(self, called: Callable[..., None]) -> None:
        self._called, self.spent = called, 0.0

    def __call__(self, *paths: Path) -> None:
        started = perf_counter()
        self._called(*paths)
        self.spent += perf_counter() - started


def _bare(path: Path, data: bytes) -> float:
    """How long this disk takes to write these bytes to a new file and to keep them: one write, one fsync."""
    started = perf_counter()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    spent = perf_counter() - started
    path.unlink()
    return spent


def verify(root: str, rows: int) -> Callable[[], Mapping[str, Any]]:
    """Every hash, link and digest of one symbol's record, read from its files."""
    table, _ = _kept(root, rows)

    def work() -> Mapping[str, Any]:
        read = table.read(with_files=True, each=verification.links)
        faults = verification.misplaced(read) + verification.find_faults(read, whole=True)
        gaps = verification.find_gaps(read)
        return {"rows": read.height, "faults": len(faults), "gaps": len(gaps)}

    return work


def reconciled(root: str, rows: int) -> Callable[[], Mapping[str, Any]]:
    """A record decided on again, and its paper account beside the backtest."""
    table, bars = _kept(root, rows)
    settings = _settings(root)

    def decide(given: pl.DataFrame, parameters: str | None) -> pl.DataFrame:
        return compute_signals(compute_features(given, settings), settings)

    def judge(columns: pl.DataFrame, parameters: str) -> pl.DataFrame:
        return signals(columns, find_strategy("smart_momentum").make(json.loads(parameters)), 0, 0)

    def work() -> Mapping[str, Any]:
        found = reconcile(table.read(), bars, decide, judge, __version__)
        tracking = track(found, accounts(settings)["next_open"], "1m")
        assert tracking
        return {"rows": found.bars.height, "differences": found.differences.height} | {
            "trades": tracking.paper.metrics.trades
        }

    return work


def _settings(root: str) -> Settings:
    return Settings.load({"lake.url": f"{root}/{{layer}}", "dataset.symbol": "SIMUSDT", "dataset.interval": "1m"})


def _judged(count: int, settings: Settings, seed: int = 1) -> pl.DataFrame:
    return compute_signals(compute_features(_bars(count, seed), settings), settings)


def _bars(count: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    close = (20_000 * np.exp(np.cumsum(random.normal(0, 0.0006, count)))).round(2)
    opens = np.concatenate([[20_000.0], close[:-1]])
    return pl.DataFrame(
        {
            "datetime": pl.datetime_range(
                FIRST, FIRST + timedelta(minutes=count - 1), "1m", time_unit="us", eager=True
            ),
            "open": opens,
            "high": np.maximum(opens, close) + 1.5,
            "low": np.minimum(opens, close) - 1.5,
            "close": close,
            "volume": (random.random(count) * 40).round(5),
        }
    )  # fmt: skip


def _kept(root: str, rows: int) -> tuple[DecisionsTable, pl.DataFrame]:
    """A record of so many minutes, a file for each day as merged days are, and all bars up to its end."""
    settings = _settings(root)
    table = DecisionsTable(Lake.open(settings), "smart_momentum", "spot", "1m")
    bars = _bars(HISTORY + rows, 1)
    if Path(root, "gold", table.name).exists():
        return table, bars
    strategy = find_strategy("smart_momentum").make({})
    chain = ledger.chain_of(DATASET, strategy.name)
    judged = compute_signals(compute_features(bars, settings), settings).tail(rows)
    known = pl.col("datetime") + pl.duration(minutes=1, milliseconds=300)
    decided = ledger.decisions(
        judged, DATASET, strategy, decided_at=FIRST, server_time=FIRST, late_seconds=60
    ).with_columns(decided_at=known, server_time=known, late=pl.lit(value=False))  # fmt: skip
    heads: Mapping[Chain, Head] = {chain: Head.before_first(bars.head(HISTORY))}
    with table.held([chain], "bench") as held:
        for _, day in decided.group_by(pl.col("server_time").dt.date(), maintain_order=True):
            heads = held.append(day, heads).heads
    return table, bars
