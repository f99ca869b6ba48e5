"""What a result holds beside its counts: the rows, the trades and the equity as frames, and how a notebook shows it."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import polars as pl

from hermes.errors import HermesError, MissingTable
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.backtest.engine import Result
from hermes.stages.backtest.trading import columns_for, equity_curve
from hermes.steps.account import account_of
from hermes.steps.funding import funding_of
from hermes.steps.measure import Measured
from hermes.steps.warnings import warnings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did, with the settings it did it with."""

    settings: Settings

    def as_json(self) -> dict[str, Any]:
        """The result by name, for one dataset."""
        dataset = self.settings.dataset
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "settings"}
        return {"symbol": dataset.symbol, "interval": dataset.interval, **told}


class Rows:
    """Rows at hand, one per bar."""

    __slots__ = ()

    def lazy(self) -> pl.LazyFrame:
        """The rows, lazily; raises MissingTable where they are no longer in the settings' lake."""
        raise NotImplementedError

    def frame(self) -> pl.DataFrame:
        """The rows, in memory; raises as `lazy` does."""
        return self.lazy().collect()

    def to_pandas(self) -> "pd.DataFrame":
        """The rows for pandas and what is built on it, with `datetime` as the index; raises as `lazy` does."""
        return to_pandas(self.frame())


class Figures(Rows):
    """Rows that were judged and measured: the configured account's figures, beside holding."""

    __slots__ = ()

    if TYPE_CHECKING:
        settings: Settings
        strategy: str
        measured: Measured

    def as_json(self) -> dict[str, Any]:
        """What was found, by the contract's names."""
        raise NotImplementedError

    @property
    def result(self) -> Result:
        """All that the backtest with the configured fill found; `measured.results` has both fills."""
        return self.measured.results[self.settings.backtest.fill]

    @property
    def metrics(self) -> dict[str, Any]:
        """The measures with the configured fill, and under `intervals` their 95 % intervals."""
        return self.result.as_dict()

    @property
    def warnings(self) -> list[str]:
        """Every reason not to take the measures with the configured fill at their word."""
        return [*warnings(self.settings.dataset, self.metrics), *self.measured.remarks]

    @property
    def trades(self) -> pl.DataFrame:
        """One row per trade with the configured fill, see `Records.frame`."""
        return self.result.trades

    @property
    def equity(self) -> pl.DataFrame:
        """The account bar by bar: `datetime, equity, benchmark, drawdown_pct, account_position`, see `equity_curve`.

        Computed from the rows whenever it is asked for, and held in memory; raises as `lazy` does.
        """
        account, rows = account_of(self.settings), self.lazy()
        columns = columns_for(account, rows.collect_schema().names())
        funding = None
        if self.settings.dataset.market != "spot":
            funding = funding_of(self.settings.dataset, Lake.open(self.settings))
        return pl.concat(equity_curve([rows.select(columns).collect()], account, funding))

    def __repr__(self) -> str:
        """The summary as text."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.text(type(self).__name__, self.as_json())

    def _repr_html_(self) -> str:
        """The summary as a notebook shows it."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.summary(type(self).__name__, self.as_json(), self.measured.fills)


def to_pandas(frame: pl.DataFrame) -> "pd.DataFrame":
    """A frame for pandas, `datetime` as its index.

    Raises:
        HermesError: pandas is not installed; Hermes itself does not need it.
    """
    try:
        return frame.to_pandas().set_index("datetime")
    except ModuleNotFoundError as error:
        raise HermesError(f"{error.name} is not installed", "install pandas, or stay with the Polars frame") from None


def published_rows(settings: Settings, path: str) -> pl.LazyFrame:
    """The rows of the execution at `path`, lazily; raises MissingTable where it is not in the settings' lake."""
    gold = Lake.open(settings).gold
    folder = "/".join(path.split("/")[-3:-1])
    files = [file for file in gold.files(folder) if file.location == path]
    if not files:
        raise MissingTable(f"{path} is not in the settings' lake", "make the signals again")
    return gold.scan(files)
