"""A market for the tests of live work: a lake, a simulated exchange and a clock that only tests move."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from hermes import pipeline
from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.live.engine import Engine, Round
from hermes.live.exchange import Exchange
from hermes.live.finality import Bar
from hermes.live.loop import Listener, Loop
from hermes.record.table import DecisionsTable
from hermes.settings import Settings
from hermes.steps.features import features_for_signals, read_features
from hermes.steps.refine import refine
from hermes.steps.signals import read_signals, signals
from hermes.testing.clock import ManualClock
from hermes.testing.exchange import SimulatedExchange, random_bars

START = 1_750_000_020  # seconds: a whole minute, 2025-06-15 15:07
MINUTE = 60_000_000
STRATEGY = "donchian_breakout"


@dataclass
class Market:
    """One lake, its exchange, and the clock that both go by."""

    root: Path
    server: SimulatedExchange
    clock: ManualClock
    tasks: list[Settings]
    bars: dict[str, list[Bar]]

    @property
    def lake(self) -> Lake:
        return Lake.open(self.tasks[0])

    @property
    def dataset(self) -> Dataset:
        return self.tasks[0].dataset

    def client(self) -> Exchange:
        return Exchange(self.dataset.market, self.tasks[0].live, self.clock)

    @contextmanager
    def loop(self, listener: Listener | None = None) -> Iterator[Loop]:
        """A live process, from its start to its end."""
        client = self.client()
        try:
            with ExitStack() as stack:
                yield Loop(Engine.start(self.tasks, self.lake, client, stack), listener or Listener())
        finally:
            client.close()

    def run(self, seconds: float, listener: Listener | None = None) -> None:
        """A live process for so long, by the server's clock."""
        with self.loop(listener) as loop:
            loop.run(until=loop.engine.server_now() + round(seconds * 1e6))

    def record(self) -> pl.DataFrame:
        return DecisionsTable(self.lake, STRATEGY, self.dataset.market, self.dataset.interval).read()

    def finish(self, *, frequencies: Sequence[str] = ("recent",)) -> dict[str, pl.DataFrame]:
        """Silver, features and signals of the first dataset, when all is up to date."""
        settings, lake = self.tasks[0], self.lake
        pipeline.ingest(settings, lake, frequencies=frequencies)
        return tables(settings, lake)


def tables(settings: Settings, lake: Lake) -> dict[str, pl.DataFrame]:
    dataset = settings.dataset
    refine(settings, lake)
    features_for_signals(settings, lake)
    signals(settings, lake)
    silver = lake.silver.scan(lake.silver.files(dataset.silver_folder)).collect()
    return {
        "silver": silver.drop("source"),
        "features": read_features(settings, lake).collect(),
        "signals": read_signals(settings, lake).drop("generated_at").collect(),
    }


@contextmanager
def market(
    root: Path,
    history: int,
    future: int,
    symbols: int = 1,
    *,
    plans: Any = None,
    interval: str = "1m",
    flags: Mapping[str, str] | None = None,
    **server: Any,
) -> Iterator[Market]:
    """So many bars are over when it opens, and so many more will come.

    Args:
        flags: more settings; the lake is below `root` where they name none.
    """
    clock = ManualClock(START)
    with SimulatedExchange(clock, **server) as exchange:
        tasks, bars = [], {}
        for number in range(symbols):
            settings = Settings.load(
                {"lake.url": str(root / "{layer}"), "signals.strategy": STRATEGY, **(flags or {})},
                dataset={"symbol": f"SIM{number:03d}USDT", "interval": interval},
                live={"url": exchange.url, "settle_seconds": 2.0, "poll_seconds": 20.0 if interval == "1m" else 600.0},
                archive={"url": str(root / "archive")},
            )
            step = settings.dataset.interval_seconds
            first = (START - START % step) * 1_000_000
            made = random_bars(settings.dataset, first, history + future, seed=number)
            exchange.add(settings.dataset, made, plans)
            tasks.append(settings)
            bars[settings.dataset.symbol] = made
        clock.move(history * step - START % step)
        yield Market(root, exchange, clock, tasks, bars)


def archive_alone(root: Path, settings: Settings, bars: Sequence[Bar]) -> dict[str, pl.DataFrame]:
    """What the archive's monthly files alone give."""
    own = settings.model_copy(
        update={
            "lake": settings.lake.model_copy(update={"url": str(root / "alone" / "{layer}")}),
            "archive": settings.archive.model_copy(update={"url": str(root / "whole")}),
        }
    )
    write_archive(root / "whole", settings.dataset, bars)
    lake = Lake.open(own)
    pipeline.ingest(own, lake)
    return tables(own, lake)


def write_archive(archive: Path, dataset: Dataset, bars: Sequence[Bar]) -> None:
    """Zips of the series' own frequency for these bars."""
    periods: dict[date, list[Bar]] = {}
    for bar in bars:
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=bar.open_time)).date()
        periods.setdefault(day.replace(day=1) if dataset.data_frequency == "monthly" else day, []).append(bar)
    folder = archive / dataset.archive_folder
    folder.mkdir(parents=True, exist_ok=True)
    for period, inside in periods.items():
        stem = dataset.archive_stem(period)
        with zipfile.ZipFile(folder / f"{stem}.zip", "w") as packed:
            packed.writestr(f"{stem}.csv", "".join(f"{bar.line}\n" for bar in inside))


def decided(record: pl.DataFrame) -> pl.DataFrame:
    """The decisions of a record, in order of time."""
    return record.filter(pl.col("kind") == "decision").sort("datetime")


class Heard(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.troubles: list[Exception] = []
        self.beats = 0

    def decided(self, engine: Engine, made: Round) -> None:
        self.rounds.append(made)

    def beat(self, engine: Engine, next_read: datetime) -> None:
        self.beats += 1

    def trouble(self, error: Exception) -> None:
        self.troubles.append(error)
