"""What every step has: its end is logged; one that replaces files has its dataset for itself while it runs."""

import logging
from collections.abc import Callable
from functools import wraps
from inspect import signature
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

from hermes.errors import HermesError
from hermes.logs import event
from hermes.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_FACTS = ("files", "rows", "written", "unchanged", "path", "faults")


def alone(step: Callable[P, R]) -> Callable[P, R]:
    """The step under its dataset's lock, see `Lake.locked`; as a part of `run` it goes on under the lock of that.

    Args:
        step: its first argument is a `Dataset`, or `Settings` that name one; another is called `lake`.
    """
    taken = signature(step)

    @wraps(step)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given = taken.bind(*args, **kwargs)
        of = next(iter(given.arguments.values()))
        dataset = of.dataset if isinstance(of, Settings) else of
        with given.arguments["lake"].locked(dataset, step.__name__) as own:
            given.arguments["lake"] = own
            return step(*given.args, **given.kwargs)

    return wrapper


def logged(step: Callable[P, R]) -> Callable[P, R]:
    """A step of the road that logs its end: for which dataset, how long it took, what it wrote, or its error."""

    @wraps(step)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        of = args[0] if args else kwargs.get("settings", kwargs.get("dataset"))
        about: dict[str, Any] = {"step": step.__name__, "dataset": str(getattr(of, "dataset", of))}
        started = perf_counter()
        try:
            made = step(*args, **kwargs)
        except HermesError as error:
            seconds = round(perf_counter() - started, 3)
            event("step", level=logging.ERROR, **about, seconds=seconds, error=error.message, cure=error.cure)
            raise
        event("step", **about, seconds=round(perf_counter() - started, 3), **_facts(made))
        return made

    return wrapper


def _facts(made: Any) -> dict[str, Any]:
    """What a step's result says of its work; of lists, how many."""
    found = {name: getattr(made, name) for name in _FACTS if hasattr(made, name)}
    if tally := getattr(made, "tally", None):
        found |= {"rows": tally.rows, "signals": tally.buys + tally.sells}
    lists = {name: len(value) for name, value in found.items() if isinstance(value, list | tuple)}
    return found | lists
