"""One case in a process of the pool: an empty folder, a deadline, no setting from outside, and a verdict."""

import faulthandler
import inspect
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from torture import mutants, suite

DEADLINE_S = 120
GRACE_S = 30  # after which a case that does not even hear its alarm ends its process


@dataclass(frozen=True)
class Outcome:
    """What one case found: `fault` is empty where it passed; `tried` counts what it tried; `note` is its own words."""

    seed: int
    tried: int
    fault: str
    seconds: float
    note: str = ""


def prepare() -> None:
    """Take away what the environment of the caller could change, and break what a mutant is to break."""
    for name in list(os.environ):
        if name.startswith(("HERMES_", "AWS_", "MINIO_")):
            del os.environ[name]
    mutants.apply()


def attempt(name: str, seed: int, root: Path, given: Any) -> Outcome:
    """Run one case of a suite below `root`."""
    started = perf_counter()
    module = suite(name)
    folder = Path(tempfile.mkdtemp(dir=root, prefix=f"{name}-{seed}-"))
    arguments = (seed, folder) if given is None else (seed, folder, given)
    assert len(inspect.signature(module.case).parameters) == len(arguments), f"{name}.case takes other arguments"
    found, fault = None, ""
    try:
        with _deadline(getattr(module, "DEADLINE_S", DEADLINE_S)):
            found = module.case(*arguments)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of a native library is no Exception
        fault = f"{type(error).__name__}: {error}\n{_where(error)}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tried, note = (1, found) if isinstance(found, str) else (found or 1, "")
    return Outcome(seed, tried, fault, perf_counter() - started, note)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """An alarm after `seconds`; where that is not heard, the process ends and says where it stood."""

    def late(*_: object) -> None:
        raise AssertionError(f"it took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def _where(error: BaseException) -> str:
    """The last lines of the traceback of what was at the root of it."""
    while error.__cause__:
        error = error.__cause__
    return "".join(traceback.format_exception(error)[-7:]).rstrip()
