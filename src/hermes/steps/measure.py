"""The measuring pass: apply a strategy to the selected rows and backtest it, without writing anything."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from hermes.errors import TableRefused
from hermes.lake.batches import check_all_read
from hermes.lake.tables import in_order, with_prices
from hermes.progress import SILENT, Advance, Progress
from hermes.schemas import Schema
from hermes.settings import Settings
from hermes.stages.backtest.engine import Backtest, Result
from hermes.stages.backtest.funding import Funding
from hermes.stages.backtest.trading import BARS, RANGE, SHORTS, columns_for, equity_curve
from hermes.stages.signals.generate import ROW_GROUP_ROWS, calendar, pieces
from hermes.steps.account import account_of, accounts, remarks
from hermes.steps.frames import Frame, polars, sound
from hermes.steps.results import Rows
from hermes.steps.selection import Selection
from hermes.steps.warnings import warnings
from hermes.strategies.columns import input_schema, rule_columns
from hermes.text import counted


@dataclass(slots=True)
class Tally:
    """Counts over a stream of signal frames."""

    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    days: int = 0
    buys: int = 0
    sells: int = 0

    def add(self, judged: pl.DataFrame) -> None:
        """Count one more frame, later than those before it."""
        times = judged["datetime"]
        first, last = times[0], times[-1]
        _, rows = calendar(times, "D")
        self.days += int(np.count_nonzero(rows)) - (first.date() == (self.last and self.last.date()))
        self.first, self.last = self.first or first, last
        self.rows += judged.height
        self.buys += int(judged["buy_signal"].sum())
        self.sells += int(judged["sell_signal"].sum())

    def as_json(self) -> dict[str, Any]:
        """The contract's names for the counts; times as ISO 8601, UTC without offset."""
        return {
            "rows": self.rows,
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "unique_days": self.days,
            "buy_signals": self.buys,
            "sell_signals": self.sells,
            "total_signals": self.buys + self.sells,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """Counts, the results of the backtest with each fill (`close`, `next_open`), warnings, and the funding charged."""

    tally: Tally
    results: Mapping[str, Result]
    remarks: Sequence[str] = ()
    funding: Funding | None = None

    @property
    def fills(self) -> dict[str, dict[str, Any]]:
        """The measures with each fill, ready for JSON."""
        return {fill: result.as_dict() for fill, result in self.results.items()}


def measure(
    selection: Selection, progress: Progress = SILENT, keep: Callable[[pl.DataFrame], None] | None = None
) -> Measured:
    """Apply the rules to every row, check the order, count, and backtest with both fills, in one pass and flat memory.

    Args:
        selection: from `select`.
        progress: told how far the work is.
        keep: called with each frame of signals: times, the rules' columns, signals.

    Raises:
        TableRefused: rows out of order, or a price that no account could trade at.
        StrategyError: a rule fails on these rows.
    """
    settings, table, before = selection.settings, selection.table, selection.before
    terms = accounts(settings)
    backtest = Backtest(settings.dataset.interval, *terms.values(), funding=selection.funding)
    tally = Tally()
    given = input_schema(selection.strategy)
    traded = [name for each in terms.values() for name in columns_for(each, ()) if name in given]
    columns = list(dict.fromkeys((*traded, *rule_columns(selection.strategy))))

    def reporting(advance: Advance) -> Iterator[pl.DataFrame]:
        for number, judged in enumerate(selection.judged(columns), 1):
            yield judged
            signals = f"{counted(tally.buys, 'buy')}, {counted(tally.sells, 'sell')}"
            advance(judged.height, f"chunk {number:,} of {selection.chunks:,}, {signals}")

    with (
        progress.task(f"measure {settings.dataset}", selection.rows, "rows") as advance,
        ThreadPoolExecutor(1) as pool,
    ):
        # Cut anew: what is done with judged rows costs the same however small the chunks are.
        frames = in_order(pieces(reporting(advance), repeat(ROW_GROUP_ROWS)), table, before)
        update: Future[None] | None = None
        for judged in with_prices(frames, table, before):  # while the next rows are judged, the accounts trade these
            tally.add(judged)
            if keep:
                keep(judged)
            if update:
                update.result()
            update = pool.submit(backtest.update, judged)
        if update:
            update.result()
    check_all_read(f"the table of {settings.dataset}", tally.rows, selection.rows)
    assert tally.first and tally.last
    said = remarks(settings.dataset, settings.account.side, selection.funding, tally.first, tally.last)
    return Measured(
        tally, dict(zip(terms, backtest.finish(), strict=True)), [*said, *selection.behind], selection.funding
    )


def measure_frame(rows: Frame, settings: Settings) -> Measured:
    """Backtest given signals with both fills on the settings' account; for `hermes.backtest`.

    Args:
        rows: `datetime, open, close, buy_signal, sell_signal`, in time order; a null signal is none. `high, low` where
            the account watches levels; `short_signal, cover_signal` are traded where they are there.

    Raises:
        TableRefused: a column is missing, times do not ascend, a price is not above zero, or there is no row.
    """
    terms, there = accounts(settings), polars(rows).collect_schema().names()
    schema: Schema = {**BARS, **RANGE, **SHORTS}
    needed = {name: schema[name] for account in terms.values() for name in columns_for(account, there)}
    prices = tuple(name for name in ("open", "close", *RANGE) if name in needed)
    table = sound(rows, needed, prices).with_columns(pl.col(pl.Boolean).fill_null(value=False))
    if table.is_empty():
        raise TableRefused("the frame has no row", "give it at least one bar")
    tally = Tally()
    tally.add(table)
    backtest = Backtest(settings.dataset.interval, *terms.values())
    backtest.update(table)
    assert tally.first and tally.last
    said = remarks(settings.dataset, settings.account.side, None, tally.first, tally.last)
    return Measured(tally, dict(zip(terms, backtest.finish(), strict=True)), said)


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
        return pl.concat(equity_curve([rows.select(columns).collect()], account, self.measured.funding))

    def __repr__(self) -> str:
        """The summary as text."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.text(type(self).__name__, self.as_json())

    def _repr_html_(self) -> str:
        """The summary as HTML for notebooks."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.summary(type(self).__name__, self.as_json(), self.measured.fills)
