"""Many `hermes signals` at once on this machine, against one S3 server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.s3_server import S3Server, serve

from hermes.dataset import Dataset
from hermes.lake import catalog
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive
from torture import lakes

ABOUT = (
    "64 `hermes signals` start at once on one machine, over the same minute bars on S3; passes when all finish, every"
    " acknowledged execution is there under a name of its own, and no process holds more than its bound of memory"
)
FULL, SAMPLE = 1, 0
DEADLINE_S = 900
PROCESSES = 64
BOUND_MB = 600
FLAGS = {"dataset.symbol": "SIMUSDT", "dataset.interval": "1m", "lake.url": "s3://load-{layer}"}
HERMES = Path(sys.executable).with_name("hermes")


@dataclass(frozen=True)
class Given:
    """The S3 server that holds the lake, and how many rows its features have."""

    server: S3Server
    rows: int


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """Three months of minute bars as gold features on S3."""
    write_archive(folder / "archive", Dataset(symbol="SIMUSDT", interval="1m"), date(2024, 11, 1), 3)
    with serve(folder / "weed") as server:
        flags = {**FLAGS, **server.flags(), "archive.url": str(folder / "archive")}
        settings = Settings.load(flags, environ={})
        lake = Lake.open(settings)
        for step in ("ingest", "refine"):
            lakes.STEPS[step](settings, lake)
        yield Given(server, lakes.STEPS["features"](settings, lake))


def case(seed: int, folder: Path, given: Given) -> str:
    """Start them all, wait for them all, and see what is there."""
    command = [str(HERMES), "signals", "SIMUSDT", "--interval", "1m", "--lake", FLAGS["lake.url"], "--json"]
    environ = {**os.environ, **given.server.environ()}
    before, least, started = _free_mb(), _free_mb(), time.perf_counter()
    outputs = [(folder / f"{number}.out", folder / f"{number}.err") for number in range(PROCESSES)]
    running: dict[int, subprocess.Popen[bytes]] = {}
    for out, err in outputs:
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environ, cwd=folder)
        running[process.pid] = process
    peaks, failed = [], []
    try:
        while running:
            least = min(least, _free_mb())
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid in running:
                process = running.pop(pid)
                process.returncode = os.waitstatus_to_exitcode(status)
                peaks.append(usage.ru_maxrss / 1024)
                failed += [process.returncode] if process.returncode else []
            elif not pid:
                time.sleep(0.05)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    seconds = time.perf_counter() - started
    errors = {err.read_text()[-500:] for _, err in outputs if failed}
    assert not failed, f"{len(failed)} of {PROCESSES} failed: {sorted(errors)[-3:]}"
    made = [json.loads(out.read_text())["datasets"][0] for out, _ in outputs]
    paths = {each["path"] for each in made}
    settings = Settings.load({**FLAGS, **given.server.flags()}, environ={})
    lake = Lake.open(settings)
    files = catalog.executions(lake, settings.dataset, "smart_momentum")
    there = {file.location for file in files}
    assert len(paths) == PROCESSES and paths <= there, f"{len(paths & there)} of {PROCESSES} executions are there"
    assert {each["rows"] for each in made} == {given.rows}, "an execution has another number of rows"
    assert max(peaks) < BOUND_MB, f"a process held {max(peaks):,.0f} MB"
    for file in files:
        digest, recorded = lake.gold._backend.hashed(file)
        assert recorded == {digest}, f"{file.key} is not what is on record"
    return (
        f"{PROCESSES} processes over {given.rows:,} rows each: {seconds:.0f} s, at most {max(peaks):,.0f} MB in one,"
        f" {before - least:,.0f} MB in all at the worst moment (server included)"
    )


def _free_mb() -> float:
    """Memory that the system could still give."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1024
