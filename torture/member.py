"""A member of a crowd: a writer makes executions one after the other, a reader reads them until its stdin ends."""

import io
import json
import random
import select
import sys
import time
from typing import Any

import polars as pl

from hermes.lake import catalog
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.steps.signals import signals
from torture import lakes, mutants


def main() -> None:
    """Take the job from the command line, wait for the word, do it."""
    mutants.apply()
    job = json.loads(sys.argv[1])
    settings = Settings.load(job["flags"], environ={})
    lake = Lake.open(settings)
    print("ready", flush=True)
    sys.stdin.readline()
    if job["role"] == "writer":
        write(settings, lake, job["runs"])
    else:
        read(settings, lake, random.Random(job["seed"]))


def write(settings: Settings, lake: Lake, runs: int) -> None:
    """Make executions; an answer for each."""
    for _ in range(runs):
        made = signals(settings, lake)
        say(path=made.path, rows=made.tally.rows, first=made.as_json()["first"])


def read(settings: Settings, lake: Lake, chance: random.Random) -> None:
    """Read executions, mostly the latest; whatever is listed must be whole, have its hash, and stay as it is."""
    seen: dict[str, str] = {}
    count = 0
    while not (select.select([sys.stdin], [], [], 0)[0] and not sys.stdin.readline()):
        time.sleep(chance.uniform(0, 0.03))
        files = catalog.executions(lake, settings.dataset, "smart_momentum")
        if not files:
            continue
        file = files[-1] if chance.random() < 0.7 else chance.choice(files)
        data, recorded = lakes.read_bytes(lake.gold, file.key)
        kept = lakes.examined(f"gold/{file.key}", data, recorded)
        assert kept.sha256 in kept.recorded, f"{file.key} is not what is on record"
        assert seen.setdefault(file.key, kept.sha256) == kept.sha256, f"{file.key} was changed"
        frame = lake.gold.scan([file]).collect()
        assert frame.equals(pl.read_parquet(io.BytesIO(data), hive_partitioning=False)), f"{file.key} was read torn"
        count += 1
    say(read=count)


def say(**what: Any) -> None:
    """One line, at once."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
