"""The measuring pass: apply a strategy to the selected rows and backtest it, without writing anything."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import Any

import numpy as np
import polars as pl

from hermes.errors import TableRefused
from hermes.lake.batches import check_all_read
from hermes.lake.tables import in_order, with_prices
from hermes.progress import SILENT, Advance, Progress
from hermes.schemas import Schema
from hermes.settings import Settings
from hermes.stages.backtest.engine import Backtest, Result
from hermes.stages.backtest.trading import BARS, RANGE, SHORTS, columns_for
from hermes.stages.signals.decisions import calendar
from hermes.stages.signals.generate import ROW_GROUP_ROWS, pieces
from hermes.steps.account import accounts, remarks
from hermes.steps.frames import Frame, polars, sound
from hermes.steps.selection import Selection
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
    """Counts, the results of the backtest with each fill (`close`, `next_open`), and warnings."""

    tally: Tally
    results: Mapping[str, Result]
    remarks: Sequence[str] = ()

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
    return Measured(tally, dict(zip(terms, backtest.finish(), strict=True)), said)


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
