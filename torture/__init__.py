"""Torture tests: kills, faults, races and hostile bytes, each case replayable from one number: `python -m torture`.

A suite is a module of this package, named in `SUITES`:

    ABOUT          one line: what is done, and when it passes
    FULL, SAMPLE   cases of a whole run, and of the sample that the tests run
    case(seed: int, folder: Path[, given]) -> int | str | None
                   one case: everything random in it comes from `random.Random(seed)`; seeds of a run are successive
                   numbers, so `seed % n` goes through n combinations. `folder` is empty, and removed afterwards.
                   Returns how many things were tried, where that is not one, or a line for the page. Raises
                   AssertionError with what was found.
    context(folder: Path)
                   optional: a context manager around all cases, in the main process; what it yields (it is pickled)
                   is what `case` gets as `given`
    MUTANTS        optional: see `torture.mutants`
    DEADLINE_S     optional: seconds after which a case has hung (default 120)
"""

from importlib import import_module
from types import ModuleType

SUITES = (
    "kill", "io", "s3_faults", "stores", "slow", "receivers", "crowd", "snapshot", "load", "parquet", "zips",
    "rows", "clocks", "swapped", "names", "secrets", "alarms", "record", "appends", "live",
)  # fmt: skip


def suite(name: str) -> ModuleType:
    """The module of one suite."""
    return import_module(f"torture.{name}")
