"""A step that replaces files has its dataset for itself while it runs."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from hermes.lake.dataset import Dataset
from hermes.lake.store import Lake
from hermes.settings import Settings

Of = TypeVar("Of", Settings, Dataset)
P = ParamSpec("P")
R = TypeVar("R")


def alone(step: Callable[Concatenate[Of, Lake, P], R]) -> Callable[Concatenate[Of, Lake, P], R]:
    """The step under its dataset's lock, see `Lake.locked`; as a part of `run` it goes on under the lock of that."""

    @wraps(step)
    def wrapper(of: Of, lake: Lake, *args: P.args, **kwargs: P.kwargs) -> R:
        dataset = of.dataset if isinstance(of, Settings) else of
        with lake.locked(dataset, step.__name__) as own:
            return step(of, own, *args, **kwargs)

    return wrapper
