"""Walk-forward analysis: choose parameters in each training window, and measure them in the test window after it.

In every test window the account starts flat, and what is still held is sold at the window's last bar: at its close, or
with fill `next_open` at its open. So the windows compound to the account that goes through all of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import get_args

import numpy as np
import polars as pl

from hermes.errors import TableRefused, UsageError
from hermes.stages.backtest.account import Account, Fill, SignalEvents
from hermes.stages.backtest.arrays import Floats, Times
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.metrics import Metrics
from hermes.stages.backtest.trading import Trading
from hermes.stages.backtest.trials import Span, Trial, joined, search

#: Measures to choose by: the higher, the better.
CHOICES = ("sharpe", "sortino", "calmar", "omega", "total_return_pct", "profit_factor")
_SPAN = re.compile(r"(?![0-9]{4}y)([1-9][0-9]{0,3})([ymwd])")
_NOTHING = joined([])
_UNITS = {"y": "y", "m": "mo", "w": "w", "d": "d"}


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of one window: chosen from `train` up to `test`, measured from `test` up to `end`."""

    train: int
    test: int
    end: int


@dataclass(frozen=True, slots=True)
class Tested:
    """One window: the combination chosen (None: none has the measure), its measures before, and in the next bars."""

    window: Window
    chosen: int | None
    train: Metrics | None
    test: Metrics


@dataclass(frozen=True, slots=True)
class WalkForward:
    """The result of a walk forward.

    Attributes:
        windows: in order of time.
        bars: of all test windows; wanted: what the chosen ones signals_of for there.
        out_of_sample: the measures of one account through all test windows; fills: the same with each fill, chosen by
            what the account's own fill showed.
        best: the combination that did best over the same bars, sold at the same edges and chosen with hindsight;
            in_sample: its measures. What it did better is the cost of choosing.
        curve: `datetime, out_of_sample, in_sample, holding`: equity at each close of `bars`.
    """

    windows: list[Tested]
    bars: Bars
    wanted: SignalEvents
    out_of_sample: Metrics
    fills: Mapping[Fill, Metrics]
    best: int | None
    in_sample: Metrics | None
    curve: pl.DataFrame


def windows(times: Times, train: str, test: str, *, anchored: bool = False) -> list[Window]:
    """Cut ascending times into windows; the last one ends with the times, the others where the calendar says.

    Args:
        times: of the bars; the first training window begins with them.
        train, test: spans like `2y`, `6m` (months), `8w`, `90d`.
        anchored: train on everything up to then, instead of on as long a past in every window.

    Raises:
        UsageError: a span that cannot be read.
        TableRefused: the bars end before the first test window begins.
    """
    past = "".join(map(str, _span("--train", train)))
    count, unit = _span("--test", test)
    start = _later(times[0].item(), past)
    edges = [start]
    while edges[-1] <= times[-1].item():
        edges.append(_later(start, f"{count * len(edges)}{unit}"))
    rows = _rows(times, edges)
    begins = [0] * len(rows) if anchored else _rows(times, [_later(edge, f"-{past}") for edge in edges])
    found = [
        Window(begin, row, end)
        for begin, row, end in zip(begins[:-1], rows[:-1], rows[1:], strict=True)
        if begin < row < end
    ]
    if not found:
        raise TableRefused(
            f"the bars from {times[0]} to {times[-1]} end before {train} of training have passed",
            "take a shorter --train or more bars",
        )
    return found


def spans(windows: Sequence[Window]) -> list[Span]:
    """The spans to measure every combination on: each training window, then all test windows, cut at their edges."""
    pasts = [Span(each.train, each.test) for each in windows]
    return [*pasts, Span(windows[0].test, windows[-1].end, tuple(each.end for each in windows))]


def walk_forward(
    bars: Bars,
    signals_of: Callable[[int], SignalEvents],
    trials: Sequence[Sequence[Trial]],
    windows: Sequence[Window],
    interval: str,
    account: Account,
    by: str = "sharpe",
) -> WalkForward:
    """Choose in each window's past the combination with the best measure, and measure it in the window itself.

    Args:
        bars: all of them; signals_of: what the combination of a number asks for on them.
        trials: of every combination over each of `spans(windows)`.
        windows: as `windows` gives them.
        by: one of `CHOICES`.
    """
    *pasts, hindsight = [[trial.metrics for trial in each] for each in trials]
    chosen = [best(past, by) for past in pasts]
    tested: list[Tested] = []
    for window, past, number in zip(windows, pasts, chosen, strict=True):
        span = Span(window.test, window.end, (window.end,))
        wanted = _NOTHING if number is None else span.of(signals_of(number), account.fill)
        (after,) = search(bars.between(window.test, window.end), [wanted], interval, account)
        tested.append(Tested(window, number, None if number is None else past[number], after.metrics))
    whole = spans(windows)[-1]
    some = bars.between(whole.begin, whole.end)
    followed: dict[Fill, tuple[SignalEvents, Metrics]] = {}
    for fill in get_args(Fill):
        terms = replace(account, fill=fill)
        wanted = _stitched(signals_of, chosen, windows, fill)
        followed[fill] = wanted, search(some, [wanted], interval, terms)[0].metrics
    stitched, out_of_sample = followed[account.fill]
    foreseen = best(hindsight, by)
    in_sample = None if foreseen is None else _equity(some, whole.of(signals_of(foreseen), account.fill), account)
    curve = pl.DataFrame(
        {
            "datetime": some.times,
            "out_of_sample": _equity(some, stitched, account),
            "in_sample": in_sample,
            "holding": some.close / some.close[0] * account.initial_cash,
        }
    )
    return WalkForward(
        windows=tested,
        bars=some,
        wanted=stitched,
        out_of_sample=out_of_sample,
        fills={fill: metrics for fill, (_, metrics) in followed.items()},
        best=foreseen,
        in_sample=None if foreseen is None else hindsight[foreseen],
        curve=curve,
    )


def best(metrics: Sequence[Metrics], by: str) -> int | None:
    """The first one with the highest measure; None if it is undefined for all."""
    values = [getattr(each, by) for each in metrics]
    known = [number for number, value in enumerate(values) if value is not None]
    return max(known, key=lambda number: values[number], default=None)


def _stitched(
    signals_of: Callable[[int], SignalEvents], chosen: Sequence[int | None], windows: Sequence[Window], fill: Fill
) -> SignalEvents:
    """What the chosen ones ask for, each in its window and flat at its end, counted from the first window's bar."""
    parts = []
    for window, number in zip(windows, chosen, strict=True):
        if number is not None:
            wanted = Span(window.test, window.end, (window.end,)).of(signals_of(number), fill)
            parts.append(SignalEvents(wanted.rows + window.test - windows[0].test, wanted.bits))
    return joined(parts)


def _equity(bars: Bars, wanted: SignalEvents, account: Account) -> Floats:
    steps = Trading(account).trade(bars, wanted)
    return np.repeat(steps.equity, np.diff(steps.rows, append=steps.bars))


def _span(option: str, text: str) -> tuple[int, str]:
    found = _SPAN.fullmatch(text)
    if not found:
        raise UsageError(f"{option} {text!r} is not a span of time", "write it like 2y, 6m (months), 8w or 90d")
    return int(found[1]), _UNITS[found[2]]


def _rows(times: Times, edges: Sequence[datetime]) -> list[int]:
    """The first row at or after each edge."""
    found: list[int] = np.searchsorted(times, np.array(edges, times.dtype)).tolist()
    return found


def _later(time: datetime, by: str) -> datetime:
    moved: datetime = pl.select(pl.lit(time).dt.offset_by(by)).item()
    return moved
