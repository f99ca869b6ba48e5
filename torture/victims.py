"""Processes to be killed, started ahead so that each case finds one that has imported everything."""

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AHEAD = 1
PATIENCE_S = 60
_waiting: deque[subprocess.Popen[str]] = deque()


@dataclass
class Story:
    """What a victim said before it ended: answers of its steps, and its points if it lived to count them."""

    killed: bool
    answers: list[tuple[str, Any]] = field(default_factory=list)
    points: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def run(
    flags: Mapping[str, Any],
    steps: Sequence[str],
    scratch: Path,
    fatal: tuple[str, int] | None = None,
    after_s: float | None = None,
) -> Story:
    """Let a victim do these steps; it dies at the point `fatal`, or is killed `after_s` seconds after it began."""
    process = _next()
    assert process.stdin and process.stdout and process.stderr
    job = {"flags": dict(flags), "steps": list(steps), "scratch": str(scratch), "fatal": fatal}
    guard = threading.Timer(PATIENCE_S, process.kill)
    guard.start()
    try:
        with suppress(BrokenPipeError):  # then it died before: its return code says so
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        said = [process.stdout.readline()]
        timer = threading.Timer(after_s, process.kill) if after_s is not None else None
        if timer:
            timer.start()
        said += process.stdout.readlines()
        errors = process.stderr.read()
        process.wait()
        if timer:
            timer.cancel()
        late = not guard.is_alive()
    finally:
        guard.cancel()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()
    assert not late, f"the process hung for {PATIENCE_S} s in {' '.join(steps)}"
    assert process.returncode in (0, -9), f"the process ended with {process.returncode}: {errors[-2000:]}"
    lines = [json.loads(line) for line in said if line.endswith("\n")]
    answers = [(line["step"], line["answer"]) for line in lines if "step" in line]
    points: Mapping[str, int] = next((line["points"] for line in lines if "points" in line), {})
    return Story(process.returncode != 0, answers, points)


def _next() -> subprocess.Popen[str]:
    while len(_waiting) <= AHEAD:
        _waiting.append(_start())
    return _waiting.popleft()


def _start() -> subprocess.Popen[str]:
    # It ends by itself when this process does: its stdin is closed then.
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "torture.child"], stdin=pipe, stdout=pipe, stderr=pipe, text=True,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
