"""A simulated archive for the pipeline where the real one is not at hand."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from hermes.dataset import Dataset
from hermes.stages.bronze.simulate import write_archive


def make(root: str, months: int) -> Callable[[], dict[str, int]]:
    """Write `months` zips of four-hour bars from August 2017 on, as many as the real archive has."""
    dataset = Dataset(symbol="SIMUSDT", interval="4h")
    return lambda: {"rows": write_archive(Path(root), dataset, date(2017, 8, 1), months)}
