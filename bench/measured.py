"""Measure pieces of work, each in a fresh process of its own. Light: what this process holds, a child would count."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, Protocol

MB = 1_000_000


@dataclass(frozen=True)
class Work:
    """A function of a bench module that prepares work and returns it, and what to call it with."""

    function: str  # like "signals_peers:hermes"
    given: Mapping[str, Any]
    python: str = sys.executable

    def run(self) -> "Sample":
        command = [self.python, "-m", "bench.worker", self.function, json.dumps(self.given)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return Sample(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Command:
    """A whole process, from its start to its end."""

    arguments: Sequence[str]

    def run(self) -> "Sample":
        started = perf_counter()
        child = subprocess.Popen(self.arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(self.arguments)} failed: run it by hand to see why")
        return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, {})


@dataclass(frozen=True)
class Sample:
    """One measurement: seconds, CPU seconds, the most memory the process ever held in bytes, and what it found."""

    seconds: float
    cpu: float
    peak: float
    facts: Mapping[str, Any]


class Piece(Protocol):
    """What can be measured: a `Work`, a `Command`, or one with something before it that does not count."""

    def run(self) -> Sample: ...


@dataclass(frozen=True)
class Measured:
    """Several measurements of one piece of work: medians, and the range of the seconds."""

    seconds: float
    fastest: float
    slowest: float
    cpu: float
    peak: float
    repetitions: int
    facts: Mapping[str, Any]

    @property
    def time(self) -> str:
        spread = f" ({self.fastest:.2f}–{self.slowest:.2f})" if self.repetitions > 1 else ""
        return f"{self.seconds:.2f}{spread}"

    @property
    def memory(self) -> str:
        return f"{self.peak / MB:,.0f}"


def measure(works: Mapping[str, tuple[int, Piece]]) -> dict[str, Measured]:
    """Run every work as many times as it says, in turns, so that a slow minute of the machine meets all of them."""
    samples: dict[str, list[Sample]] = {name: [] for name in works}
    for turn in range(max(times for times, _ in works.values())):
        for name, (times, work) in works.items():
            if turn < times:
                sample = work.run()
                samples[name].append(sample)
                print(f"  {name}: {sample.seconds:.2f} s, {sample.peak / MB:,.0f} MB", file=sys.stderr, flush=True)
    return {name: _summary(name, taken) for name, taken in samples.items()}


def _summary(name: str, samples: Sequence[Sample]) -> Measured:
    seconds = [sample.seconds for sample in samples]
    facts = samples[0].facts
    if any(sample.facts != facts for sample in samples):
        raise SystemExit(f"{name} found something else each time: {[sample.facts for sample in samples]}")
    cpu, peak = (median(getattr(sample, name) for sample in samples) for name in ("cpu", "peak"))
    return Measured(median(seconds), min(seconds), max(seconds), cpu, peak, len(samples), facts)


def same_facts(measured: Mapping[str, Measured], *names: str) -> Mapping[str, Any]:
    """What all of these found, if they found the same."""
    found = {name: measured[name].facts for name in names}
    first = found[names[0]]
    if any(facts != first for facts in found.values()):
        raise SystemExit(f"peers do not agree: {found}")
    return first
