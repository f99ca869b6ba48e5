"""Many datasets at once, by threads and by a Dask cluster of this machine; the cluster's start-up is not counted."""

import atexit
import os
import resource
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from hermes.dataset import Dataset
from hermes.market import run_market
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.run import RunOptions
from hermes.workers.pool import Place, completed, place

FIRST, MONTHS = date(2017, 8, 1), 96  # 17,500 bars of 4 h
_RUNNING = ExitStack()  # what is started before the clock, until the process ends


def make(root: str, symbols: int) -> Callable[[], Mapping[str, Any]]:
    """The archive of so many simulated symbols, and a lake with silver of all of them."""

    def work() -> Mapping[str, Any]:
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            list(pool.map(_write, [f"{root}/archive"] * symbols, range(symbols)))
        with place(_tasks(root, "silver", 1)[0]) as where:
            options = RunOptions(audited=False, reported=False)
            made = run_market(_tasks(root, "silver", symbols), options, where)
        shutil.rmtree(f"{root}/silver/gold")
        return {"datasets": len(made.done)}

    return work


def run(root: str, symbols: int, source: str, workers: int = 0) -> Callable[[], Mapping[str, Any]]:
    """From zips (`archive`) or `silver` to features, signals and backtest of every symbol, no audit and no page."""
    # A new folder each time: ext4 passes over every file that was removed in the last minutes, one by one, whenever
    # one is made.
    lake = f"{source}-{uuid4().hex}"
    if source == "silver":
        shutil.copytree(f"{root}/silver", f"{root}/{lake}")
    tasks = _tasks(root, lake, symbols)
    where = _RUNNING.enter_context(place(tasks[0], workers or None))
    atexit.register(_RUNNING.close)  # only now, so that it runs before what Dask has registered to end its own
    before = _used(where)  # every worker has imported what it needs

    def work() -> Mapping[str, Any]:
        options = RunOptions(source=source, audited=False, reported=False, fresh_after=datetime.now(UTC))
        made = run_market(tasks, options, where)
        facts: dict[str, Any] = {"datasets": len(made.done), "rows": sum(each["rows"] for each in made.done)}
        facts["trades"] = sum(each["metrics"]["trades"] for each in made.done)
        if workers:
            used = _used(where)
            facts["cpu"] = sum(cpu - before[process].cpu for process, (cpu, _) in used.items())
            facts["peak"] = max(each.peak for each in used.values())
        return facts

    return work


def arithmetic(processes: int) -> Callable[[], Mapping[str, Any]]:
    """Sums in so many processes, each on its own: what the cores can do when nothing stands between them."""
    pool = _RUNNING.enter_context(ProcessPoolExecutor(processes, mp_context=get_context("spawn")))
    atexit.register(_RUNNING.close)
    list(pool.map(_sum, [1] * 20 * processes))  # they have started

    def work() -> Mapping[str, Any]:
        return {"sum": sum(pool.map(_sum, [1_000_000] * 200))}

    return work


def _sum(numbers: int) -> int:
    total = 0
    for number in range(numbers):
        total += number
    return total


def _write(root: str, number: int) -> None:
    write_archive(Path(root), Dataset(symbol=f"SIM{number:03d}USDT"), FIRST, MONTHS)


def _tasks(root: str, lake: str, symbols: int) -> list[Settings]:
    common = {"lake.url": f"{root}/{lake}/{{layer}}", "archive.url": f"{root}/archive"}
    return [
        Settings.load({**common, "dataset.symbol": f"SIM{number:03d}USDT"}, environ={}) for number in range(symbols)
    ]


class _Used(NamedTuple):
    """What a process has used: CPU seconds so far, and the most memory it ever held, in bytes."""

    cpu: float
    peak: float


def _used(where: Place) -> dict[int, _Used]:
    """What each worker has used, by the number of its process."""
    asked = completed(where, _used_here, range(20 * where.slots))
    return dict(answer for _, answer in asked if not isinstance(answer, Exception))


def _used_here(_: int) -> tuple[int, _Used]:
    import hermes.pipeline  # noqa: F401, PLC0415 - as a worker does before its first dataset

    used = resource.getrusage(resource.RUSAGE_SELF)
    return os.getpid(), _Used(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
