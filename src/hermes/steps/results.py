"""Base classes of results: the settings, and the rows as frames."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import polars as pl

from hermes.errors import HermesError, MissingTable
from hermes.lake.store import Lake
from hermes.settings import Settings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step, with its settings."""

    settings: Settings

    def as_json(self) -> dict[str, Any]:
        """The result as JSON, for one dataset."""
        dataset = self.settings.dataset
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "settings"}
        return {"symbol": dataset.symbol, "interval": dataset.interval, **told}


class Rows:
    """A result with rows, one per bar."""

    __slots__ = ()

    def lazy(self) -> pl.LazyFrame:
        """The rows, lazily; raises MissingTable if they are no longer in the settings' lake."""
        raise NotImplementedError

    def frame(self) -> pl.DataFrame:
        """The rows, in memory; raises as `lazy` does."""
        return self.lazy().collect()

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a pandas frame with `datetime` as the index; raises as `lazy` does."""
        return to_pandas(self.frame())


def to_pandas(frame: pl.DataFrame) -> "pd.DataFrame":
    """A pandas frame with `datetime` as the index.

    Raises:
        HermesError: pandas is not installed; Hermes itself does not need it.
    """
    try:
        return frame.to_pandas().set_index("datetime")
    except ModuleNotFoundError as error:
        raise HermesError(f"{error.name} is not installed", "install pandas, or stay with the Polars frame") from None


def published_rows(settings: Settings, path: str) -> pl.LazyFrame:
    """The rows of the execution at `path`, lazily; raises MissingTable if it is not in the settings' lake."""
    gold = Lake.open(settings).gold
    folder = "/".join(path.split("/")[-3:-1])
    files = [file for file in gold.files(folder) if file.location == path]
    if not files:
        raise MissingTable(f"{path} is not in the settings' lake", "make the signals again")
    return gold.scan(files)
