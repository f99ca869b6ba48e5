"""A step that replaces files has its dataset for itself while it runs."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import ParamSpec, TypeVar

from hermes.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


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
