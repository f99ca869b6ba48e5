"""Live: from a close that the exchange lists to the decision on record, for one symbol, a hundred and five hundred.

The simulated exchange runs in a process of its own. Both processes go by one clock, which runs as fast as the machine's
and is moved on from shortly after one close to shortly before the next.
"""

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from threading import Event
from time import monotonic
from typing import Any
from zipfile import ZipFile

from bench.measured import Command, Sample, Work, measure
from bench.pages import Section, at_least, at_most
from bench.places import HERMES
from hermes import pipeline
from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.live.clock import Clock
from hermes.live.engine import Engine, Round
from hermes.live.exchange import Exchange
from hermes.live.finality import Bar
from hermes.live.loop import Listener, Loop
from hermes.live.times import later, to_microseconds
from hermes.settings import Settings
from hermes.testing.exchange import SimulatedExchange, random_bars

START = round(datetime(2017, 9, 1, tzinfo=UTC).timestamp())  # first bar of every series
LISTING_S = 0.1  # after a close, until its successor is listed
BEFORE_S = 0.3  # how long before a close the clock arrives


class SharedClock(Clock):
    """The machine's clock, moved on by what a small file says, for every process that opens it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(self._file, 8)
        self._moved = mmap.mmap(self._file, 8)

    def time(self) -> float:
        """Seconds since 1970, by this clock."""
        return self.elapsed()

    def elapsed(self) -> float:
        """The same: it is never set back."""
        return monotonic() + float(struct.unpack("d", self._moved)[0])

    def move_to(self, at: float) -> None:
        """Move on to an instant."""
        self._moved[:] = struct.pack("d", at - monotonic())

    def wait(self, wake: Event, seconds: float) -> bool:
        """Wait, and notice when the clock is moved."""
        until = self.elapsed() + seconds
        while not wake.is_set() and (left := until - self.elapsed()) > 0:
            wake.wait(min(left, 0.005))
        return wake.is_set()


def serve(clock: str, interval: str, bars: str, symbols: str) -> None:
    """The exchange's process: prints its address, then serves until it is killed."""
    one = random_bars(Dataset(symbol="SIM000USDT", interval=interval), START * 1_000_000, int(bars))
    with SimulatedExchange(SharedClock(Path(clock)), listing_s=LISTING_S, limit=10**9) as exchange:
        for number in range(int(symbols)):
            exchange.add(Dataset(symbol=f"SIM{number:03d}USDT", interval=interval), one)
        print(exchange.url, flush=True)
        Event().wait()


@contextmanager
def exchange(root: Path, interval: str, bars: int, symbols: int) -> Iterator[tuple[SharedClock, str]]:
    """The clock, and the address of an exchange with these series."""
    root.mkdir(parents=True, exist_ok=True)
    clock = SharedClock(root / "clock")
    program = f"from bench.live import serve; serve({str(root / 'clock')!r}, {interval!r}, '{bars}', '{symbols}')"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield clock, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def settings(root: Path, url: str, symbol: int, interval: str) -> Settings:
    """Of one dataset."""
    return Settings.load(
        lake={"url": str(root / "{layer}")},
        archive={"url": str(root / "archive")},
        dataset={"symbol": f"SIM{symbol:03d}USDT", "interval": interval, "data_frequency": "monthly"},
        live={"url": url, "consolidate": "never", "poll_seconds": 600.0},
        environ={},
    )


def fill(task: Settings, bars: list[Bar], lake: Lake) -> None:
    """History in bronze, by way of an archive's months."""
    dataset = task.dataset
    folder = Path(task.archive.url) / dataset.archive_folder
    folder.mkdir(parents=True)
    periods: dict[str, list[str]] = {}
    for bar in bars:
        at = datetime.fromtimestamp(bar.open_time / 1e6, UTC).date()
        periods.setdefault(dataset.archive_stem(at.replace(day=1)), []).append(bar.line)
    for stem, lines in periods.items():
        with ZipFile(folder / f"{stem}.zip", "w") as packed:
            packed.writestr(f"{stem}.csv", "\n".join([*lines, ""]))
    pipeline.ingest(task, lake)


class _Measured(Loop):
    """Notes how long each close took, and moves the clock on to the next one."""

    def __init__(self, engine: Engine, clock: SharedClock, closes: int) -> None:
        super().__init__(engine)
        self._clock, self._closes, self._listed_at = clock, closes, 0.0
        self.delays: list[float] = []  # until the decisions of all symbols were on record
        self.work: list[float] = []  # until their bars and status files were published, too
        self.memory: list[float] = []
        self.listener = _Noted(self)

    def note(self, engine: Engine, made: Round) -> None:
        """Decisions were published: are they the last ones of this close?"""
        now, at = self._clock.time(), max(made.decided["datetime"].to_list())
        closed = later(at, engine.series[0].dataset.interval, 1)
        if all(series.decided_until >= at for series in engine.series):
            self._listed_at = to_microseconds(closed) / 1e6 + LISTING_S
            self.delays.append(now - self._listed_at)

    def _complete(self) -> None:
        super()._complete()
        if len(self.delays) > len(self.work):
            self.work.append(self._clock.time() - self._listed_at)
            self.memory.append(_memory())
            self.move()
            if len(self.work) >= self._closes:
                self.stop.set()

    def move(self) -> None:
        """To shortly before the next close."""
        self._clock.move_to(to_microseconds(self.engine.series[0].next_close) / 1e6 - BEFORE_S)


class _Noted(Listener):
    def __init__(self, loop: _Measured) -> None:
        self._loop = loop

    def started(self, engine: Engine) -> None:
        self._loop.delays.clear()
        self._loop.work.clear()
        self._loop.memory.clear()
        self._loop.move()

    def decided(self, engine: Engine, made: Round) -> None:
        self._loop.note(engine, made)


def closes(
    root: str, symbols: int, interval: str, history: int, count: int, warm: int = 3
) -> Callable[[], Mapping[str, Any]]:
    """So many closes, each of all symbols: delay from the listing of its successor, work, memory."""
    folder, total = Path(root), history + warm + count + 5
    step = Dataset(interval=interval).interval_seconds
    stack = ExitStack()
    clock, url = stack.enter_context(exchange(folder, interval, total, symbols))
    clock.move_to(START + history * step + 1)
    tasks = [settings(folder, url, number, interval) for number in range(symbols)]
    lake = Lake.open(tasks[0])
    bars = random_bars(Dataset(symbol="SIM000USDT", interval=interval), START * 1_000_000, history)
    for task in tasks:
        fill(task, bars, lake)
    del bars

    def work() -> Mapping[str, Any]:
        client = Exchange("spot", tasks[0].live, clock)
        client.budget.most = 10**9  # minutes pass in no time here
        with stack, ExitStack() as held:
            held.callback(client.close)
            loop = _Measured(Engine.start(tasks, lake, client, held), clock, warm + count)
            loop.run()
        delays, spent, memory = (each[warm:] for each in (loop.delays, loop.work, loop.memory))
        cuts = quantiles(delays, n=100) if len(delays) > 1 else delays * 99
        return {
            "median": median(delays), "p99": cuts[98], "longest": max(delays), "work": max(spent),
            "median work": median(spent), "first": memory[0], "last": memory[-1], "closes": len(delays),
            "peak": max(memory),
        }  # fmt: skip

    return work


ANEW = """
import sys, duckdb, numpy, pandas, polars as pl, polars_talib
from hermes.stages.gold.features import features
files, target = sys.argv[1:]
made = features(pl.scan_parquet(files, hive_partitioning=False).sort("datetime")).collect()
made.write_parquet(target + "-features.parquet")
found = duckdb.sql("select * from made order by datetime").pl()
fast, slow = pl.col("ema_12"), pl.col("ema_26")
cross = (fast > slow) & (fast.shift() <= slow.shift())
buy = cross & pl.col("rsi_14").is_between(45, 55) & (pl.col("supertrend_dir_10_3.0") == 1)
sell = (pl.col("supertrend_dir_10_3.0") == -1) & (pl.col("supertrend_dir_10_3.0").shift() == 1)
found.with_columns(buy=buy, sell=sell).write_parquet(target + ".parquet")
"""


def section(folder: Path, *, quick: bool) -> list[Section]:
    """All of it."""
    one, hundred, five = (3, 3, 4) if quick else (40, 5, 60)
    works = {
        "1 symbol, 4h, 17,500 bars": _work(folder / "one", 1, "4h", 2_000 if quick else 17_500, one),
        "100 symbols, 4h, 17,500 bars": _work(
            folder / "hundred", 4 if quick else 100, "4h", 1_000 if quick else 17_500, hundred
        ),
        "500 symbols, 1m, 20,000 bars": _work(
            folder / "many", 6 if quick else 500, "1m", 3_000 if quick else 20_000, five
        ),
        "1 symbol, 1m, 100,000 bars": _work(folder / "short", 1, "1m", 4_000 if quick else 100_000, one),
        "1 symbol, 1m, 1,000,000 bars": _work(folder / "long", 1, "1m", 8_000 if quick else 1_000_000, one),
    }
    found = {}
    for name, work in works.items():
        print(f"  {name}", file=sys.stderr, flush=True)
        found[name] = {**(sample := work.run()).facts, "memory": sample.peak / 1e6}
    silver = folder / "one" / "silver" / Dataset(symbol="SIM000USDT", interval="4h").silver_folder
    command = Command([sys.executable, "-c", ANEW, f"{silver}/**/*.parquet", str(folder / "anew")])
    again = measure({"everything anew": (3, command)})["everything anew"]
    single, many = found["1 symbol, 4h, 17,500 bars"], found["500 symbols, 1m, 20,000 bars"]
    rows = [
        (
            name, str(each["closes"]), f"{1000 * each['median']:,.0f}", f"{1000 * each['p99']:,.0f}",
            f"{1000 * each['median work']:,.0f}", f"{1000 * each['work']:,.0f}", f"{each['memory']:,.0f}",
        )
        for name, each in found.items()
    ]  # fmt: skip
    rows.append(("everything anew, imports included", "1", "", "", f"{1000 * again.seconds:,.0f}", "", again.memory))
    longer = found["1 symbol, 1m, 1,000,000 bars"]["median work"] / found["1 symbol, 1m, 100,000 bars"]["median work"]
    return [
        Section(
            "Live: from a close to its decision",
            "`hermes live` against the simulated exchange on loopback, which runs in a process of its own. The delay is"
            f" the time from the instant at which the exchange lists a bar's successor ({1000 * LISTING_S:.0f} ms after"
            " the close) to the decisions of all symbols on record, synced to disk; all done is when their bars and"
            " their status files are published, too. Milliseconds. *Everything anew* is the notebook's way for the same"
            " bar: a new process computes all features and signals of the whole series and writes them.",
            ("what", "closes", "delay, median", "delay, 99 %", "all done, median", "all done, most", "memory, MB"),
            rows,
            [
                at_most("delay, 1 symbol, median", 1000 * single["median"], 100, "ms"),
                at_most("delay, 1 symbol, 99th percentile", 1000 * single["p99"], 250, "ms"),
                at_most("delay, 100 symbols, the last one", found["100 symbols, 4h, 17,500 bars"]["longest"], 2, "s"),
                at_most("one close all done, 500 symbols", many["work"], 6, "s"),
                at_most("memory, 500 symbols", many["memory"], 1500, "MB"),
                at_most("memory, 500 symbols, last close / first", many["last"] / many["first"], 1.1),
                at_least("everything anew / the resident process", again.seconds / single["median work"], 10),
                at_most("one close all done, 1,000,000 bars / 100,000 bars", longer, 1.2),
            ],
        ),
        *scheduled(folder / "scheduled", quick=quick),
    ]


def _work(root: Path, symbols: int, interval: str, history: int, count: int) -> Work:
    given = {"root": str(root), "symbols": symbols, "interval": interval, "history": history, "count": count}
    return Work("live:closes", given)


def scheduled(folder: Path, *, quick: bool) -> list[Section]:
    """A cold `hermes run` for each new bar, as a schedule starts it."""
    history, times = (2_000, 1) if quick else (17_500, 7)
    step = 4 * 3600
    with exchange(folder, "4h", history + times + 5, 1) as (clock, url):
        clock.move_to(START + history * step + 1)
        task = settings(folder, url, 0, "4h")
        bars = random_bars(Dataset(symbol="SIM000USDT", interval="4h"), START * 1_000_000, history)
        fill(task, bars, Lake.open(task))
        given = ["--interval", "4h", "--lake", task.lake.url, "--frequency", "recent", "--no-report", "--json"]
        run = Command(["env", f"HERMES_LIVE__URL={url}", HERMES, "run", "SIM000USDT", *given])
        run.run()
        found = measure(
            {
                "hermes run, one new bar": (times, _NextBar(clock, step, run)),
                "import polars": (2 * times + 1, Command([sys.executable, "-c", "import polars"])),
            }
        )
    made, base = found["hermes run, one new bar"], found["import polars"]
    return [
        Section(
            "A scheduled run that adds one bar",
            f"`hermes run --frequency recent --no-report` with {history:,} bars of history and one new one, cold, its"
            " process included: ingest, refine, features, quick audit, signals with both backtests. Beside the time"
            " that Python takes to import polars.",
            ("command", "seconds", "time, import polars = 1"),
            [
                ("hermes run, one new bar", made.time, f"{made.seconds / base.seconds:.2f}"),
                ('python -c "import polars"', base.time, "1.00"),
            ],
            [at_most("time, one new bar / `import polars`", made.seconds / base.seconds, 4)],
        )
    ]


@dataclass(frozen=True)
class _NextBar:
    """A run for a bar that has just closed; that the clock moves on does not count."""

    clock: SharedClock
    step: float
    command: Command

    def run(self) -> Sample:
        self.clock.move_to(self.clock.time() + self.step)
        return self.command.run()


def _memory() -> float:
    """Resident bytes of this process."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
