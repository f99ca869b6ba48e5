"""Packages that can be called: `hermes.signals(settings)` beside `import hermes.stages.signals.plan`.

Four functions of the public API have the name of a package: `audit`, `backtest`, `report`, `signals`. As soon as
anything below such a package is imported, the import machinery binds the package under that name in `hermes`, over
whatever stood there. So the package itself must answer the call, or the name would mean a function or a module
depending on what was imported before.
"""

import inspect
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A package whose call is the function of the same name in `hermes.api`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        """What `help`, `?` and completion show."""
        return inspect.signature(self._function())

    def _function(self) -> Any:
        from hermes import api  # noqa: PLC0415 - Polars need not be loaded to import the package

        return getattr(api, self.__name__.rpartition(".")[2])


def make_callable(package: str) -> None:
    """Let the package of this name be called; for its own `__init__.py`."""
    sys.modules[package].__class__ = _Callable
