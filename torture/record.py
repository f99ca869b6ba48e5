"""A month of live decisions, faster than time, with kills and outages: nothing is lost, doubled or forked."""

import importlib.util
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from hermes import pipeline
from hermes.dataset import Dataset, decisions_folder
from hermes.lake.store import Lake
from hermes.live.finality import Bar
from hermes.record import ledger, review
from hermes.record.export import export
from hermes.record.table import DecisionsTable
from hermes.testing.clock import FastClock
from hermes.testing.exchange import Plan, SimulatedExchange, random_bars
from torture.decider import decide, settings_of

ABOUT = (
    "a month of hourly bars decided on live, 7,200 times as fast as time, with 20 kills and 5 outages of the exchange;"
    " passes when every closed bar is on record once, in time or marked late, Hermes and the verifier that shares no"
    " code agree, every difference from today has its cause, and every change planted afterwards is found and named"
)
FULL, SAMPLE = 1, 0
DEADLINE_S = 1500
SPEED = 7_200.0
HISTORY, MONTH, AFTER, KILLS, OUTAGES = 2_000, 720, 48, 20, 5
HOUR_US = 3_600_000_000
DATASET = Dataset(symbol="SIMUSDT", interval="1h")
#: As the defaults hardly trade in a month; the others are taken after one of the kills.
FIRST = {"rsi_low": 20.0, "rsi_high": 90.0}
OTHERS = {"ema_fast": 5, "ema_slow": 30, "rsi_low": 10.0, "rsi_high": 95.0}
VERIFIER = Path(__file__).resolve().parents[1] / "docs" / "verify_record.py"


@dataclass
class _Run:
    """One simulated month."""

    given: dict[str, Any]
    bars: list[Bar]
    begun: int  # first bar that may be decided on
    kept: list[str]  # heads that were handed out meanwhile
    changed_at: int | None = None  # microseconds: when the parameters changed

    @property
    def table(self) -> DecisionsTable:
        return DecisionsTable(Lake.open(settings_of(self.given)), "smart_momentum", "spot", "1h")


def case(seed: int, folder: Path) -> str:
    """One month, all that is checked of it, and all that is planted in it."""
    return month(seed, folder, MONTH, KILLS, OUTAGES)


def month(seed: int, folder: Path, hours: int, kills: int, outages: int) -> str:
    """So many hours with so many kills and outages; returns a line for the page."""
    rng = random.Random(seed)
    run = _live(rng, folder, hours, kills, outages)
    record = run.table.read()
    found = _check_bars(run, record)
    _check_chain(run, folder)
    causes = _check_reconciled(run, folder)
    planted = sum(_plant(run, folder, what, rng) for what in PLANTS)
    revised = _plant_revision(run, folder, rng)
    return f"{found}, {causes}; {planted + revised} planted changes found"


def _live(rng: random.Random, folder: Path, hours: int, kills: int, outages: int) -> _Run:
    origin = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
    bars = random_bars(DATASET, round(origin * 1e6) - HISTORY * HOUR_US, HISTORY + hours + AFTER, rng.randrange(10**6))
    plans = {bar.open_time: _plan(rng) for bar in bars[HISTORY:]}
    clock = FastClock(origin + 1800, SPEED)
    given = {
        "lake": f"{folder}/lake/{{layer}}",
        "archive": f"{folder}/archive",
        "symbol": DATASET.symbol,
        "parameters": FIRST,
        "origin": origin + 1800,
        "began": time.time(),
        "speed": SPEED,
        "end": origin + hours * 3600,
    }
    seconds = hours * 3600 / SPEED
    events: list[tuple[float, Callable[[], None]]] = []
    with SimulatedExchange(clock, listing_s=60, limit=10**9) as exchange:
        exchange.add(DATASET, bars, {time: plan for time, plan in plans.items() if plan})
        given["url"] = exchange.url
        run = _Run(given, bars, HISTORY - 1, [])
        child = [_spawn(given)]

        def kill(change: bool) -> None:
            child[0].kill()
            child[0].wait()
            if change:
                run.changed_at = round(clock.time() * 1e6)
                given["parameters"] = OTHERS
            child[0] = _spawn(given)

        def switch(down: bool) -> None:
            exchange.down = down

        def keep() -> None:
            run.kept += [head.hash for head in run.table.heads([_chain()]).values()]

        for number, at in enumerate(sorted(rng.uniform(0.05, 0.92) for _ in range(kills))):
            events.append((at * seconds, lambda change=number == kills // 2: kill(change)))
        for _ in range(outages):
            at, length = rng.uniform(0.1, 0.9) * seconds, rng.uniform(1.0, 3.0)
            events += [(at, lambda: switch(True)), (at + length, lambda: switch(False))]
        events += [(share * seconds, keep) for share in (0.3, 0.5, 0.7)]
        began = time.monotonic()
        try:
            for at, happen in sorted(events, key=lambda event: event[0]):
                time.sleep(max(0.0, at - (time.monotonic() - began)))
                happen()
            exchange.down = False
            child[0].wait(timeout=seconds + 120)
        finally:
            child[0].kill()
            child[0].wait()
        given["end"] = clock.time()
        decide(given, once=True)
    return run


def _plan(rng: random.Random) -> Plan | None:
    """A few bars are listed late, a few change after their close."""
    luck = rng.random()
    if luck < 0.03:
        return Plan(late_s=rng.uniform(60, 1800))
    return Plan(changes_s=rng.uniform(30, 3600)) if luck < 0.05 else None


def _spawn(given: dict[str, Any]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "torture.decider", json.dumps(given)]
    with Path(given["lake"].partition("/{layer}")[0]).parent.joinpath("decider.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "POLARS_MAX_THREADS": "1"})


def _chain() -> ledger.Chain:
    return ledger.chain_of(DATASET, "smart_momentum")


# --- what must hold ---------------------------------------------------------------------------------------------------


def _check_bars(run: _Run, record: pl.DataFrame) -> str:
    decided = record.filter(pl.col("kind") == "decision")
    times = decided["datetime"].dt.epoch("us").to_list()
    assert len(times) == len(set(times)), "a bar was decided on twice"
    first, last = min(times), max(times)
    due = [bar.open_time for bar in run.bars if first <= bar.open_time <= last]
    assert sorted(times) == due, f"{len(set(due) - set(times))} bars have no decision"
    closed = [bar.open_time for bar in run.bars if bar.open_time + HOUR_US < run.given["end"] * 1e6 - HOUR_US]
    assert last >= closed[-1], "the newest closed bars are missing"
    late = decided["server_time"] > decided["datetime"] + timedelta(hours=2)
    assert (late == decided["late"]).all(), "late is not what the server's time says"
    revisions = record.height - decided.height
    return f"{len(times)} bars, {int(late.sum())} late, {revisions} revisions"


def _check_chain(run: _Run, folder: Path) -> None:
    settings = settings_of(run.given)
    found = review.verify(settings, Lake.open(settings), kept=run.kept)
    assert found.sound, f"Hermes finds {found.faults or found.missed}"
    path = folder / "record.csv"
    export(settings, Lake.open(settings), path, "csv")
    assert _verified(path, run.kept), "the independent verifier finds a change"


def _check_reconciled(run: _Run, folder: Path) -> str:
    _write_archive(folder / "archive", run.bars, run)
    settings = settings_of({**run.given, "parameters": FIRST})
    lake = Lake.open(settings)
    pipeline.ingest(settings, lake)
    pipeline.refine(settings, lake)
    made = review.Record(settings, lake).reconcile()
    causes = {cause: count for cause, count in made.found.causes.items() if count}
    differences = made.found.differences.filter(pl.col("cause").is_in(["unexplained", "missed"]))
    assert differences.is_empty(), f"without a cause: {differences.head(3).to_dicts()}"
    assert [change.what for change in made.found.changes] == ["parameters"] * bool(run.changed_at), made.found.changes
    return " and ".join(f"{count} {cause}" for cause, count in causes.items()) or "no difference"


# --- what is planted --------------------------------------------------------------------------------------------------


def _plant(run: _Run, folder: Path, what: str, rng: random.Random) -> int:
    """Change a copy of the lake; Hermes names the change, and the verifier finds it too."""
    copy = folder / f"planted-{what.replace(' ', '-')}"
    shutil.copytree(folder / "lake", copy)
    given = {**run.given, "lake": f"{copy}/{{layer}}"}
    PLANTS[what](sorted((copy / "gold").glob("decisions_*/**/*.parquet")), rng)
    settings = settings_of(given)
    found = review.verify(settings, Lake.open(settings), kept=run.kept)
    assert what in {fault.cause for fault in found.faults}, f"{what} was planted, Hermes names {found.faults[:3]}"
    path = copy / "record.csv"
    rows = DecisionsTable(Lake.open(settings), "smart_momentum", "spot", "1h").read(with_files=True)
    path.write_bytes(ledger.to_csv(rows.drop("_file")))
    newest = run.table.heads([_chain()])[_chain()].hash
    assert not _verified(path, [*run.kept, newest]), f"{what} was planted, and the verifier finds nothing"
    return 1


def _rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    change(pl.read_parquet(path)).write_parquet(path)


def _edit(files: list[Path], rng: random.Random) -> None:
    _rewrite(rng.choice(files[:-1]), lambda rows: rows.with_columns(pl.col("close") * 1.001))


def _delete(files: list[Path], rng: random.Random) -> None:
    """Not the first: to a stranger, an export may begin later. Not the last: see `_delete_newest`."""
    rng.choice(files[1:-1]).unlink()


def _delete_newest(files: list[Path], _: random.Random) -> None:
    files[-1].unlink()


def _reorder(files: list[Path], rng: random.Random) -> None:
    """A day that is one file, whose rows were put in another order."""
    _rewrite(rng.choice([path for path in files if pl.read_parquet(path).height > 2]), pl.DataFrame.reverse)


def _move(files: list[Path], rng: random.Random) -> None:
    path = rng.choice(files[: len(files) // 2])
    path.rename(files[-1].parent / f"moved_{path.name}")


def _forge(files: list[Path], rng: random.Random) -> None:
    """All rows with one of them changed, the whole chain made anew: only a hash that was kept can tell."""
    rows = pl.concat([pl.read_parquet(path) for path in files], how="diagonal").unique("hash").sort("sequence")
    changed = pl.col("sequence") == rng.randrange(min(10, rows.height))
    forged = rows.with_columns(pl.when(changed).then(pl.col("open") * 2).otherwise(pl.col("open")).alias("open"))
    sealed = ledger.seal(forged.drop("sequence", "bars_sha256", "previous_hash", "hash"), {}).rows
    gold = files[0].parents[4]
    shutil.rmtree(gold.parent / "_hashes" / "gold")
    for path in files:
        path.unlink()
    for (day,), part in sealed.group_by(pl.col("server_time").dt.date(), maintain_order=True):
        folder = gold / decisions_folder(files[0].parents[3].name, day)
        folder.mkdir(parents=True, exist_ok=True)
        part.write_parquet(folder / "forged.parquet")


PLANTS: dict[str, Callable[[list[Path], random.Random], None]] = {
    "edited": _edit,
    "removed": _delete,
    "deleted file": _delete_newest,
    "reordered": _reorder,
    "misplaced": _move,
    "other head": _forge,
}


def _plant_revision(run: _Run, folder: Path, rng: random.Random) -> int:
    """The archive corrects one bar: reconcile names it, and nothing else has no cause."""
    copy = folder / "revised"
    shutil.copytree(folder / "lake", copy)
    decided = set(run.table.read()["datetime"].dt.epoch("us"))
    place = rng.choice([number for number, bar in enumerate(run.bars[:-AFTER]) if bar.open_time in decided])
    bar = run.bars[place]
    cells = list(bar.cells)
    cells[5] = f"{float(cells[5]) * 2:.8f}"
    corrected = [*run.bars[:place], Bar(tuple(cells)), *run.bars[place + 1 :]]
    _write_archive(copy / "archive", corrected, run)
    given = {**run.given, "lake": f"{copy}/{{layer}}", "archive": f"{copy}/archive", "parameters": FIRST}
    settings = settings_of(given)
    lake = Lake.open(settings)
    pipeline.ingest(settings, lake)
    pipeline.refine(settings, lake)
    made = review.Record(settings, lake).reconcile()
    named = made.found.differences.filter(pl.col("cause") == "bar revised")["datetime"].dt.epoch("us").to_list()
    assert bar.open_time in named, "the corrected bar is not named"
    assert made.unexplained == 0, "a difference has no cause"
    return 1


def _write_archive(archive: Path, bars: list[Bar], run: _Run) -> None:
    """Monthly files of all bars that are over, as the exchange publishes them later."""
    months: dict[str, list[Bar]] = {}
    for bar in bars:
        if bar.open_time + HOUR_US < run.given["end"] * 1e6:
            at = datetime.fromtimestamp(bar.open_time / 1e6, UTC)
            months.setdefault(f"{at:%Y-%m}", []).append(bar)
    folder = archive / DATASET.archive_folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, inside in months.items():
        stem = f"{DATASET.symbol}-{DATASET.interval}-{name}"
        with zipfile.ZipFile(folder / f"{stem}.zip", "w") as packed:
            packed.writestr(f"{stem}.csv", "".join(f"{bar.line}\n" for bar in inside))


def _verified(path: Path, kept: list[str]) -> bool:
    """Whether the verifier that shares no code finds nothing."""
    spec = importlib.util.spec_from_file_location("verify_record", VERIFIER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with redirect_stdout(io.StringIO()):
        return bool(module.main(str(path), *kept) == 0)


# --- mutants ----------------------------------------------------------------------------------------------------------


def late_forgotten() -> None:
    """A decision that was made too late is kept as if it had been made in time."""
    decisions = ledger.decisions
    ledger.decisions = lambda *given, **options: decisions(*given, **options).with_columns(late=pl.lit(value=False))


def unlinked() -> None:
    """Each append begins a chain of hashes of its own."""
    seal = ledger.seal
    ledger.seal = lambda rows, heads: seal(
        rows, {chain: head._replace(hash=ledger.ZERO) for chain, head in heads.items()}
    )


MUTANTS = {"late_forgotten": late_forgotten, "unlinked": unlinked}
