"""Faults planted in Hermes on purpose: an oracle that does not find its mutant is worth nothing.

A suite names its mutants in `MUTANTS`: name → function that breaks Hermes in the process that calls it; the function's
docstring says what it breaks. `TORTURE_MUTANT=suite:name` in the environment plants one in every process of a run.
"""

import os
from collections.abc import Callable, Mapping

from torture import suite

VARIABLE = "TORTURE_MUTANT"


def mutants_of(name: str) -> Mapping[str, Callable[[], None]]:
    """The mutants that a suite must find."""
    return getattr(suite(name), "MUTANTS", {})


def apply() -> None:
    """Plant the fault that the environment names, if it names one."""
    name, _, mutant = os.environ.get(VARIABLE, "").partition(":")
    if mutant:
        mutants_of(name)[mutant]()
