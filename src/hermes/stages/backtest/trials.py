"""Many sets of signals on the same bars: every measure of each, and the inputs of the overfitting tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hermes.stages.backtest.account import CLOSE, Account, Fill, SignalEvents
from hermes.stages.backtest.arrays import Floats, Rows
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.engine import BLOCK_ROWS
from hermes.stages.backtest.holding import Holding
from hermes.stages.backtest.metrics import Metrics, measure
from hermes.stages.backtest.overfitting import PARTS, Parts, effective_trials
from hermes.stages.backtest.shared import Shared, are_worth_it
from hermes.stages.backtest.tally import BarTally
from hermes.stages.backtest.trading import Trading

#: Parts of the bars that a trial's returns are summed in: each of the `PARTS` is cut in 16.
FINE_PARTS = 16 * PARTS


class Span(NamedTuple):
    """Bars from row `begin` up to, not including, `end`; whatever is held is sold at the bar before each of `edges`."""

    begin: int
    end: int
    edges: tuple[int, ...] = ()

    def of(self, wanted: SignalEvents, fill: Fill) -> SignalEvents:
        """The signals of all bars, restricted to this span, with rows counted from `begin`.

        A sale at the bar before an edge is asked for where it is filled there: at that bar's close on the bar itself,
        at its open on the bar before.
        """
        if not self.edges:
            return wanted.between(self.begin, self.end)
        found, begin = [], self.begin
        for edge in self.edges:
            sale = edge - 1 if fill == "close" else edge - 2
            if sale >= begin:
                inside = wanted.between(begin, sale)
                rows = np.append(inside.rows, sale - begin) + begin - self.begin
                found.append(SignalEvents(rows, np.append(inside.bits, np.uint8(CLOSE))))
            begin = edge
        return joined(found)


def joined(parts: Sequence[SignalEvents]) -> SignalEvents:
    """The signals of successive parts, joined; their rows are counted from the same bar."""
    nothing = SignalEvents(np.empty(0, np.intp), np.empty(0, np.uint8))
    return SignalEvents(*(np.concatenate(column) for column in zip(nothing, *parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of one of many sets of signals.

    Attributes:
        metrics: every measure, bit for bit those of `engine.backtest`.
        sums, squares: of the bars' returns and of their squares, in each of `FINE_PARTS` successive parts of the bars.
    """

    metrics: Metrics
    sums: Floats
    squares: Floats


def search(
    bars: Bars,
    wanted: Sequence[SignalEvents],
    interval: str,
    account: Account | Sequence[Account],
) -> list[Trial]:
    """Trade each of many signals on an account of its own.

    Args:
        bars: at least one.
        wanted: what each trial's signals ask for on these bars; every account starts flat.
        interval: of the bars, by its name.
        account: the terms of trade, of all or of each.

    Returns:
        One trial for each of `wanted`, in order.
    """
    holding = Holding()
    blocks = _blocks(bars)
    held = np.concatenate([holding.add(block.times, block.opens, block.close) for block in blocks])
    parts = _part_of_each(len(bars))
    accounts = [account] * len(wanted) if isinstance(account, Account) else account
    shared = _shared(wanted, accounts, len(blocks))
    made: list[Trial] = []
    known: dict[tuple[int, Account], Trial] = {}
    for each, terms in zip(wanted, accounts, strict=True):
        some = shared.get(id(each))
        like = some[0].alike(terms, bars, each) if some and len(some) == 1 else terms
        if (id(each), like) not in known:
            known[id(each), like] = _trial(blocks, each, interval, terms, parts, holding, held, some)
        made.append(known[id(each), like])
    return made


def _shared(wanted: Sequence[SignalEvents], accounts: Sequence[Account], blocks: int) -> dict[int, list[Shared]]:
    """For signals that many accounts trade, by their `id`: what these have in common on each block."""
    alike: dict[int, list[Account]] = {}
    for each, account in zip(wanted, accounts, strict=True):
        alike.setdefault(id(each), []).append(account)
    return {signals: [Shared() for _ in range(blocks)] for signals, some in alike.items() if are_worth_it(some)}


def trials(
    bars: Bars,
    wanted: Sequence[SignalEvents],
    spans: Sequence[Span],
    interval: str,
    account: Account | Sequence[Account],
) -> list[list[Trial]]:
    """`search` over each of several spans of the bars; accounts differ in all but their fill."""
    fill = account.fill if isinstance(account, Account) else account[0].fill
    found = []
    for span in spans:
        inside = {id(each): span.of(each, fill) for each in wanted}  # what is the same stays the same
        some = bars.between(span.begin, span.end)
        found.append(search(some, [inside[id(each)] for each in wanted], interval, account))
    return found


def parts_of(trials: Sequence[Trial], bars: int) -> Parts:
    """What `overfitting.probability` needs of trials over this many bars."""
    counts = np.bincount(_part_of_each(bars), minlength=FINE_PARTS)
    fine = counts, np.array([t.sums for t in trials]).T, np.array([t.squares for t in trials]).T
    return Parts(*(each.reshape(PARTS, FINE_PARTS // PARTS, *each.shape[1:]).sum(axis=1) for each in fine))


def effective_number(trials: Sequence[Trial], bars: int) -> float:
    """`overfitting.effective_trials` of trials over this many bars; those that never traded count as one."""
    sums = np.array([trial.sums for trial in trials])[:, np.unique(_part_of_each(bars))]
    traded = np.ptp(sums, axis=1) > 0
    return effective_trials(sums[traded]) + (not traded.all())


def returns_of(bars: Bars, wanted: SignalEvents, account: Account) -> tuple[Floats, Floats]:
    """The return of every bar of one trial, and what of it is above holding with the same exposure."""
    steps = Trading(account).trade(bars, wanted)
    returns = np.zeros(len(bars))
    returns[steps.rows] = steps.returns(account.initial_cash)
    shares = np.divide(steps.value, steps.equity, out=np.zeros(len(steps.rows)), where=steps.equity > 0)
    exposure = float(shares[1:].sum()) / max(len(bars) - 1, 1)  # the first step is the first bar
    return returns, returns - exposure * Holding().add(bars.times, bars.opens, bars.close)


def _trial(
    blocks: Sequence[Bars],
    wanted: SignalEvents,
    interval: str,
    account: Account,
    parts: Rows,
    holding: Holding,
    held: Floats,
    shared: Sequence[Shared] | None,
) -> Trial:
    """As the engine does it, with the same blocks, from events instead of columns."""
    trading, tally = Trading(account), BarTally(account)
    sums, squares = np.zeros(FINE_PARTS), np.zeros(FINE_PARTS)
    begin = 0
    for number, block in enumerate(blocks):
        end = begin + len(block)
        steps = trading.trade(block, wanted.between(begin, end), shared[number] if shared else None)
        returns, part = steps.returns(tally.equity), parts[begin:end].take(steps.rows)
        sums += np.bincount(part, returns, FINE_PARTS)
        squares += np.bincount(part, np.square(returns), FINE_PARTS)
        tally.add(block.times, held[begin:end], steps)
        begin = end
    return Trial(measure(tally, holding, trading.outcomes(), account, interval), sums, squares)


def _blocks(bars: Bars) -> list[Bars]:
    """The engine's blocks, so that sums of floats are the same to the last bit."""
    return [bars.between(begin, begin + BLOCK_ROWS) for begin in range(0, len(bars), BLOCK_ROWS)]


def _part_of_each(bars: int) -> Rows:
    """Which of `FINE_PARTS` parts, as equal as can be, each bar belongs to."""
    return np.arange(bars) * FINE_PARTS // bars
