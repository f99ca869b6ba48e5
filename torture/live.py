"""SIGKILL at random times while a process decides on bars as they close, from an exchange that misbehaves."""

import random
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from hermes.dataset import RECENT, Dataset
from hermes.lake.store import Lake
from hermes.live.days import to_rows
from hermes.live.engine import Engine
from hermes.live.exchange import Exchange
from hermes.live.finality import Bar
from hermes.live.loop import Loop
from hermes.live.recent import top_up
from hermes.record.table import DecisionsTable
from hermes.record.verification import find_faults
from hermes.settings import Settings
from hermes.steps.refine import refine
from hermes.testing.clock import FastClock
from hermes.testing.exchange import Plan, SimulatedExchange, random_bars
from torture import mutants

ABOUT = (
    "SIGKILL at random times while `hermes live` decides on two symbols, from an exchange whose bars are late or change"
    " and whose answers fail; passes when the chain is sound, every closed bar is on record once, bronze and silver are"
    " what the exchange has, and the last row of each bar is what holds"
)
FULL, SAMPLE = 120, 1
START, SPEED = 1_750_000_020, 60.0  # a bar of a minute takes a second
HISTORY, FUTURE = 60, 120
PLANNED = 20  # bars of which some are late or change
STRATEGY = "donchian_breakout"
FAULTS = [None, None, "429", "500", "cut", "not json", "duplicated", "reordered", "contradiction", "gzip", "slow"]
SYMBOLS = ("SIM001USDT", "SIM002USDT")


def heads_forgotten() -> None:
    """A process that starts takes every chain for new."""
    DecisionsTable.heads = lambda self, chains: {}  # type: ignore[method-assign]


MUTANTS = {"heads_forgotten": heads_forgotten}


def follow(url: str, lake: str, seconds: float) -> None:
    """The process that is killed: decides for so long, by the exchange's clock."""
    mutants.apply()
    tasks = _tasks(url, lake)
    client = Exchange("spot", tasks[0].live, FastClock(START, SPEED))
    with ExitStack() as stack:
        loop = Loop(Engine.start(tasks, Lake.open(tasks[0]), client, stack))
        print("started", flush=True)
        loop.run(until=loop.engine.server_now() + round(seconds * 1_000_000))


def _tasks(url: str, lake: str) -> list[Settings]:
    return [
        Settings.load(
            lake={"url": lake},
            dataset={"symbol": symbol, "interval": "1m"},
            signals={"strategy": STRATEGY},
            live={"url": url, "poll_seconds": 60.0, "consolidate": "close"},
            environ={},
        )
        for symbol in SYMBOLS
    ]


def case(seed: int, folder: Path) -> None:
    """Follow a market with processes that are killed, and look at what they left."""
    chance = random.Random(seed)
    clock = FastClock(START + HISTORY * 60, SPEED)
    bars = {}
    with SimulatedExchange(clock, limit=10**6) as exchange:
        for number, symbol in enumerate(SYMBOLS):
            made = random_bars(
                Dataset(symbol=symbol, interval="1m"), START * 1_000_000, HISTORY + FUTURE, seed + number
            )
            plans = {
                made[at].open_time: Plan(*chance.choice([(chance.uniform(61, 150), 0.0), (0.0, chance.uniform(1, 90))]))
                for at in chance.sample(range(HISTORY + 2, HISTORY + PLANNED), 3)
            }
            exchange.add(Dataset(symbol=symbol, interval="1m"), made, plans)
            bars[symbol] = made
        exchange.faults.extend(chance.choice(FAULTS) for _ in range(60))
        lake = f"{folder}/{{layer}}"
        for _ in range(chance.randint(1, 3)):
            _kill(exchange.url, lake, chance.uniform(0.0, 3.0))
        exchange.faults.clear()
        over_by = START + (HISTORY + PLANNED + 4) * 60  # every plan
        clock.start += max(0.0, over_by - clock.time())
        _end(exchange.url, lake, 150.0)
        for settings in _tasks(exchange.url, lake):
            over = [bar for bar in bars[settings.dataset.symbol] if bar.end <= exchange.now()]
            _check(settings, over)


def _kill(url: str, lake: str, after_s: float) -> None:
    process = _start(url, lake, 10**6)
    assert process.stdout
    process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    process.communicate()


def _end(url: str, lake: str, seconds: float) -> None:
    process = _start(url, lake, seconds)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]


def _start(url: str, lake: str, seconds: float) -> "subprocess.Popen[str]":
    program = f"from torture.live import follow; follow({url!r}, {lake!r}, {seconds})"
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=pipe, stderr=pipe, text=True, cwd=Path(__file__).resolve().parents[1]
    )


def _check(settings: Settings, over: list[Bar]) -> None:
    lake, dataset = Lake.open(settings), settings.dataset
    record = DecisionsTable(lake, STRATEGY, "spot", "1m").read([dataset.symbol])
    assert find_faults(record) == [], find_faults(record)
    decided = record.filter(pl.col("kind") == "decision")["datetime"].sort()
    assert decided.is_unique().all(), "a bar is on record twice"
    times = [datetime(1970, 1, 1) + timedelta(microseconds=bar.open_time) for bar in over]
    wanted = [at for at in times if decided[0] <= at <= decided[-1]]
    assert decided.to_list() == wanted, f"{len(set(wanted) - set(decided))} closed bars are not on record"
    top_up(settings, lake)
    refine(settings, lake)
    rows = lake.bronze.scan(lake.bronze.files(dataset.with_frequency(RECENT).bronze_folder)).collect()
    expected = to_rows(over, "the exchange").drop("line")
    assert rows.drop("line").head(expected.height).equals(expected), "bronze is not what the exchange has"
    silver = lake.silver.scan(lake.silver.files(dataset.silver_folder)).collect()
    last = record.sort("sequence").group_by("datetime", maintain_order=True).last()
    names = ["datetime", "open", "high", "low", "close", "volume"]
    other = last.join(silver, on=names, how="anti").select(*names, "kind", "sequence", "server_time")
    assert other.is_empty(), f"what the record says last is not what holds: {other.rows()}"
