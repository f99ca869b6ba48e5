"""Hermes: from an exchange's klines to trading signals, and an honest backtest of them.

The public Python API, loaded on first use, so that `hermes --help` does not import Polars. Steps take settings and
return results with their rows, `read_*` functions return lazy frames, `compute_*` functions take and return frames.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hermes.version import __version__ as __version__

if TYPE_CHECKING:
    from hermes.compute import compute_features, compute_signals
    from hermes.dataset import Dataset
    from hermes.errors import HermesError
    from hermes.lake.store import Lake
    from hermes.pipeline import ingest, report, run
    from hermes.settings import Settings
    from hermes.steps.audit import audit
    from hermes.steps.backtest import backtest
    from hermes.steps.features import features, read_features
    from hermes.steps.promotion import promote
    from hermes.steps.query import ls, sql
    from hermes.steps.refine import refine
    from hermes.steps.search.sweep import sweep
    from hermes.steps.search.walkforward import walkforward
    from hermes.steps.signals import read_signals, signals
    from hermes.strategies.registry import make_strategy

__all__ = [
    "Dataset", "HermesError", "Lake", "Settings", "audit", "backtest", "compute_features", "compute_signals",
    "features", "ingest", "ls", "make_strategy", "promote", "read_features", "read_signals", "refine", "report", "run",
    "signals", "sql", "sweep", "walkforward",
]  # fmt: skip

_HOMES = {
    "Dataset": "dataset",
    "HermesError": "errors",
    "Lake": "lake.store",
    "Settings": "settings",
    "audit": "steps.audit",
    "backtest": "steps.backtest",
    "compute_features": "compute",
    "compute_signals": "compute",
    "features": "steps.features",
    "ingest": "pipeline",
    "ls": "steps.query",
    "make_strategy": "strategies.registry",
    "promote": "steps.promotion",
    "read_features": "steps.features",
    "read_signals": "steps.signals",
    "refine": "steps.refine",
    "report": "pipeline",
    "run": "pipeline",
    "signals": "steps.signals",
    "sql": "steps.query",
    "sweep": "steps.search.sweep",
    "walkforward": "steps.search.walkforward",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hermes' has no attribute {name!r}")
    return getattr(import_module(f"hermes.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
