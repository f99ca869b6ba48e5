"""The common shape of all steps: logged when they end, and locked if they replace files of their dataset.

A step is `step(settings, lake=None, *, …, progress=SILENT) -> Result`; the result carries its settings.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from inspect import signature
from itertools import count
from time import perf_counter
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from hermes import interruption
from hermes.errors import HermesError, SourceChanged
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.logs import event
from hermes.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

ATTEMPTS = 3  # at a step whose sources change while it reads them
_FACTS = ("files", "rows", "written", "unchanged", "path", "faults")


class Step(Protocol[P, R_co]):
    """The shape of every step; without a lake it works in the one that the settings name."""

    def __call__(self, settings: Settings, lake: Lake | None = None, *args: P.args, **options: P.kwargs) -> R_co:
        """Do the work; raises HermesError: one line that names the value and the cure."""


def step(*, exclusive: bool = False) -> Callable[[Callable[Concatenate[Settings, Lake, P], R]], Step[P, R]]:
    """Turn a function of settings and an open lake into a step.

    Args:
        exclusive: whether it holds its dataset's lock, see `Lake.locked`; under a lock that is already held,
            as in a run, it continues.

    While a signal ends the process, no step begins: a thread that runs several of them ends with the one it is in.
    A step that raises SourceChanged, because its sources changed while it read them, is retried.
    """

    def make(function: Callable[Concatenate[Settings, Lake, P], R]) -> Step[P, R]:
        name = function.__name__

        @wraps(function)
        def wrapper(settings: Settings, lake: Lake | None = None, *args: P.args, **options: P.kwargs) -> R:
            lake = resolve_lake(settings, lake, name)
            about: dict[str, Any] = {"step": name, "dataset": str(settings.dataset)}
            started = perf_counter()
            try:
                with lake.locked(settings.dataset, name) if exclusive else nullcontext(lake) as own:
                    for attempt in count(1):
                        interruption.check()
                        try:
                            made = function(settings, own, *args, **options)
                            break
                        except SourceChanged as error:
                            if attempt == ATTEMPTS:
                                raise SourceChanged(f"{error.message} {ATTEMPTS} times", error.cure) from None
            except HermesError as error:
                seconds = round(perf_counter() - started, 3)
                event("step", level=logging.ERROR, **about, seconds=seconds, error=error.message, cure=error.cure)
                raise
            event("step", **about, seconds=round(perf_counter() - started, 3), **_facts(made))
            return made

        shape = signature(function)
        lake = shape.parameters["lake"].replace(annotation=Lake | None, default=None)
        parameters = {**shape.parameters, "lake": lake}
        wrapper.__signature__ = shape.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
        return wrapper

    return make


def _facts(made: Any) -> dict[str, Any]:
    """The facts of a result to log; lists are counted."""
    found = {name: getattr(made, name) for name in _FACTS if hasattr(made, name)}
    if tally := getattr(made, "tally", None):
        found |= {"rows": tally.rows, "signals": tally.buys + tally.sells}
    lists = {name: len(value) for name, value in found.items() if isinstance(value, list | tuple)}
    return found | lists
