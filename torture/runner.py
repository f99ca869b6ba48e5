"""Run the cases of a suite in spawned processes, and add up what they found."""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from torture import suite
from torture.worker import Outcome, attempt, prepare

SEEDS = 1_000_000  # successive seeds that belong to one run


@dataclass
class Ran:
    """One suite's run: `first` is the seed of its first case."""

    name: str
    about: str
    first: int
    cases: int = 0
    tried: int = 0
    faults: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.cases += 1
        self.tried += outcome.tried
        if outcome.note:
            self.notes.append(outcome.note)
        if outcome.fault:
            self.faults.append(outcome)


def seeds(run: int, count: int) -> Sequence[int]:
    """Seeds of the first `count` cases of run number `run`."""
    return range(run * SEEDS, run * SEEDS + count)


def run(
    name: str,
    cases: Sequence[int],
    jobs: int,
    told: Callable[[Ran], None] = lambda _: None,
    enough: Callable[[Ran], bool] = lambda _: False,
) -> Ran:
    """Run these cases (seeds) of one suite.

    Args:
        jobs: processes at once.
        told: called after every case.
        enough: asked after every case; no more are begun once it says so.
    """
    module = suite(name)
    ran = Ran(name, module.ABOUT, cases[0])
    started = perf_counter()
    with tempfile.TemporaryDirectory(prefix="hermes-torture-", ignore_cleanup_errors=True) as root:
        shared = Path(root, "shared")
        shared.mkdir()
        with module.context(shared) if hasattr(module, "context") else nullcontext() as given:
            for outcome in _outcomes(name, cases, jobs, Path(root), given, lambda: enough(ran)):
                ran.add(outcome)
                ran.seconds = perf_counter() - started
                told(ran)
    ran.seconds = perf_counter() - started
    return ran


def _outcomes(
    name: str, cases: Iterable[int], jobs: int, root: Path, given: Any, enough: Callable[[], bool]
) -> Iterable[Outcome]:
    """Outcomes as they come; cases that took their process with them are faults, and the others go on."""
    left = iter(cases)
    while not enough():
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), prepare) as pool:
            running: dict[Future[Outcome], int] = {}

            def begin(count: int) -> None:
                for seed in islice(left, count):
                    running[pool.submit(attempt, name, seed, root, given)] = seed  # noqa: B023

            try:
                begin(jobs)
                while running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                        running.pop(future)
                        if not enough():
                            begin(1)
                return
            except BrokenProcessPool:
                for seed in running.values():
                    yield Outcome(seed, 1, "the process that ran it died or hung", 0.0)
