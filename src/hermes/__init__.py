"""Hermes: from an exchange's klines to trading signals, and an honest backtest of them.

The public Python API, loaded on first use, so that `hermes --help` need not wait for Polars. The steps are functions
of settings (`hermes.api`), the reads give lazy frames, the computations take frames and give frames
(`hermes.compute`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hermes.version import __version__ as __version__

if TYPE_CHECKING:
    from hermes.api import audit, backtest, features, ingest, refine, report, signals
    from hermes.compute import compute_features, compute_signals
    from hermes.dataset import Dataset
    from hermes.errors import HermesError
    from hermes.lake.store import Lake
    from hermes.pipeline import run
    from hermes.settings import Settings
    from hermes.steps.features import read_features
    from hermes.steps.signals import read_signals

__all__ = [
    "Dataset", "HermesError", "Lake", "Settings", "audit", "backtest", "compute_features", "compute_signals",
    "features", "ingest", "read_features", "read_signals", "refine", "report", "run", "signals",
]  # fmt: skip

_HOMES = {
    "audit": "hermes.api",
    "backtest": "hermes.api",
    "report": "hermes.api",
    "signals": "hermes.api",
    "Dataset": "hermes.dataset",
    "HermesError": "hermes.errors",
    "Lake": "hermes.lake.store",
    "Settings": "hermes.settings",
    "compute_features": "hermes.compute",
    "compute_signals": "hermes.compute",
    "features": "hermes.api",
    "ingest": "hermes.api",
    "read_features": "hermes.steps.features",
    "read_signals": "hermes.steps.signals",
    "refine": "hermes.api",
    "run": "hermes.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hermes' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
