"""Mixin for measured results: measures, trades, equity, and the display in notebooks."""

from typing import TYPE_CHECKING, Any

import polars as pl

from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.backtest.engine import Result
from hermes.stages.backtest.trading import columns_for, equity_curve
from hermes.steps.account import account_of
from hermes.steps.funding import funding_of
from hermes.steps.measure import Measured
from hermes.steps.results import Rows
from hermes.steps.warnings import warnings


class MeasuredRows(Rows):
    """Rows with signals and the measures of the configured account and of buy-and-hold."""

    __slots__ = ()

    if TYPE_CHECKING:
        settings: Settings
        strategy: str
        measured: Measured

    def as_json(self) -> dict[str, Any]:
        """The result under the names of the JSON."""
        raise NotImplementedError

    @property
    def result(self) -> Result:
        """The backtest with the configured fill; `measured.results` has both fills."""
        return self.measured.results[self.settings.backtest.fill]

    @property
    def metrics(self) -> dict[str, Any]:
        """The measures with the configured fill, and under `intervals` their 95 % intervals."""
        return self.result.as_dict()

    @property
    def warnings(self) -> list[str]:
        """Warnings about the measures with the configured fill."""
        return [*warnings(self.settings.dataset, self.metrics), *self.measured.remarks]

    @property
    def trades(self) -> pl.DataFrame:
        """One row per trade with the configured fill, see `Records.frame`."""
        return self.result.trades

    @property
    def equity(self) -> pl.DataFrame:
        """The account bar by bar: `datetime, equity, benchmark, drawdown_pct, account_position`, see `equity_curve`.

        Computed from the rows on each call, in memory; raises as `lazy` does.
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
        """The summary as HTML for notebooks."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.summary(type(self).__name__, self.as_json(), self.measured.fills)
