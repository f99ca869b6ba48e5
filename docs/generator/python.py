"""The public Python API, from its docstrings."""

import inspect
from collections.abc import Callable

import hermes
from hermes.steps.audit import Audited
from hermes.steps.backtest import Backtested
from hermes.steps.features import Featured
from hermes.steps.ingest import Ingested
from hermes.steps.query import Answer, Listing
from hermes.steps.refine import Refined
from hermes.steps.report import Reported
from hermes.steps.run import Run
from hermes.steps.search.sweep import Swept
from hermes.steps.search.walkforward import Walked
from hermes.steps.signals import Signalled

_RESULTS = (
    Run, Ingested, Refined, Featured, Signalled, Backtested, Audited, Reported, Swept, Walked, Listing, Answer,
)  # fmt: skip
_INTRODUCTION = """# Python

What `import hermes` offers, and what its steps give back: each result shows itself in a notebook and has its rows as
a Polars frame.

"""


def page() -> str:
    """The page."""
    parts = []
    for thing in (getattr(hermes, name) for name in hermes.__all__):
        if inspect.isclass(thing):
            parts.append(_directive("autoclass", thing, "   :members:\n"))
        elif inspect.isroutine(thing):
            parts.append(_directive("autofunction", thing, ""))
    parts += [_directive("autoclass", result, "   :members:\n   :inherited-members:\n") for result in _RESULTS]
    return f"{_INTRODUCTION}```{{eval-rst}}\n{''.join(parts)}```\n"


def _directive(name: str, thing: type | Callable[..., object], options: str) -> str:
    return f".. {name}:: {thing.__module__}.{thing.__qualname__}\n{options}\n"
