"""The series of a portfolio: which have bars, what entries are ranked by, and the bars of all side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from hermes.errors import NoBars, UsageError
from hermes.lake.store import Lake
from hermes.lake.tables import in_order, with_prices
from hermes.settings import Settings
from hermes.stages.audit.causality import judge
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.funding import Funding
from hermes.stages.backtest.portfolio import Piece
from hermes.stages.backtest.trading import signal_events_in
from hermes.steps.selection import Selection, select
from hermes.strategies.base import Strategy
from hermes.strategies.columns import BARS, rule_columns

_RANK = "portfolio_rank"


def selected(tasks: Sequence[Settings], lake: Lake, rank: str, rows: int) -> tuple[list[Selection], list[str]]:
    """The series that have bars between start and end, read in chunks of so many rows; warnings about the others."""
    found, left_out = list[Selection](), list[NoBars]()
    for task in tasks:
        try:
            found.append(_ranked(select(_in_chunks(task, rows), lake), rank))
        except NoBars as error:
            left_out.append(error)
    if not found:
        raise left_out[0]
    return found, [f"left out: {error}" for error in left_out]


def _in_chunks(settings: Settings, rows: int) -> Settings:
    signals = settings.signals.model_copy(update={"chunk_rows": rows})
    return settings.model_copy(update={"signals": signals})


def _ranked(selection: Selection, rank: str) -> Selection:
    """Add the column that entries are ranked by."""
    if not rank:
        return selection
    known = ranks_of(selection.strategy)
    if rank not in known:
        raise UsageError(f"--rank {rank!r} is not known to {selection.strategy.name}", f"it has {', '.join(known)}")
    expression = known[rank]
    found = judge(expression)
    if found.verdict == "fault":
        raise UsageError(f"--rank {rank!r} looks ahead: {'; '.join(found.reasons)}", "rank by what is known at the bar")
    return replace(selection, plan=selection.plan.with_columns(expression.cast(pl.Float64).alias(_RANK)))


def ranks_of(strategy: Strategy) -> dict[str, pl.Expr]:
    """Everything that entries can be ranked by."""
    return {name: pl.col(name) for name in (*BARS, *strategy.columns) if name != "datetime"} | dict(strategy.ranks())


def frames_of(selection: Selection, traded: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The selected rows with their signals, in order."""
    names = selection.plan.collect_schema().names()
    columns = [*traded, *rule_columns(selection.strategy), *([_RANK] if _RANK in names else [])]
    frames = selection.judged(list(dict.fromkeys(columns)))
    yield from with_prices(in_order(frames, selection.table, selection.before), selection.table, selection.before)


def together(
    series: Sequence[Iterator[pl.DataFrame]], interval_seconds: int, rows: int
) -> Iterator[list[pl.DataFrame | None]]:
    """Successive pieces of many series, each piece the same span of time of all of them."""
    waiting: list[pl.DataFrame | None] = [next(each, None) for each in series]
    while any(frame is not None for frame in waiting):
        begin = min(frame["datetime"][0] for frame in waiting if frame is not None)
        end = np.datetime64(begin, "us") + np.timedelta64(rows * interval_seconds, "s")
        pieces: list[pl.DataFrame | None] = []
        for number, frames in enumerate(series):
            parts: list[pl.DataFrame] = []
            frame = waiting[number]
            while frame is not None:
                count = int(np.searchsorted(frame["datetime"].to_numpy(), end))
                if count:
                    parts.append(frame.head(count))
                if count < frame.height:
                    frame = frame.slice(count)
                    break
                frame = next(frames, None)
            waiting[number] = frame
            pieces.append(pl.concat(parts, rechunk=True) if parts else None)
        yield pieces


def piece_of(frame: pl.DataFrame | None, funding: Funding | None) -> Piece | None:
    """The next bars of one series, with their signals and ranks."""
    if frame is None:
        return None
    rank = frame[_RANK].fill_null(float("nan")).to_numpy() if _RANK in frame.columns else None
    return Piece(Bars.of(frame, funding), signal_events_in(frame), rank)
