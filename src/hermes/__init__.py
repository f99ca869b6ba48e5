"""Hermes: from an exchange's klines to trading signals, and an honest backtest of them.

The public Python API, loaded on first use, so that `hermes --help` need not wait for Polars. The single steps of the
road are functions of `hermes.pipeline`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes.errors import HermesError
    from hermes.lake.dataset import Dataset
    from hermes.lake.store import Lake
    from hermes.pipeline import read_features, read_signals, run
    from hermes.settings import Settings

__version__ = "0.1.0"
__all__ = ["Dataset", "HermesError", "Lake", "Settings", "read_features", "read_signals", "run"]

_HOMES = {
    "Dataset": "hermes.lake.dataset",
    "HermesError": "hermes.errors",
    "Lake": "hermes.lake.store",
    "Settings": "hermes.settings",
    "read_features": "hermes.pipeline",
    "read_signals": "hermes.pipeline",
    "run": "hermes.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hermes' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
