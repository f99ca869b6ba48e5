"""Proof that the law's checks have teeth: each way to break the code is caught by them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.stages.signals.law import check_files, check_frames, cuts, eventful
from tests.stages.signals.plain_signals import ECHO_COLUMNS, MOMENTUM_COLUMNS, Echo, echo, momentum, tables

from hermes.errors import TableRefused
from hermes.lake import tables as lake_tables
from hermes.stages.signals import generate
from hermes.stages.signals.generate import Decisions
from hermes.steps import signals as step
from hermes.strategies.smart_momentum import SmartMomentum

Patch = Callable[..., None]

SIGNALS, PIECES, SELECT, FILL_NULL = generate.signals, generate.pieces, step.select, pl.Expr.fill_null
STAMPED = Decisions.stamped

_search = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@_search
@given(st.data())
def over_frames(data) -> None:
    rows = data.draw(tables(MOMENTUM_COLUMNS, 20))
    check_frames(rows, SmartMomentum(), momentum, data.draw(cuts(len(rows), 1)))


@_search
@given(st.data())
def over_frames_with_echo(data) -> None:
    rows = data.draw(tables(ECHO_COLUMNS, 20))
    check_frames(rows, Echo(), echo(3), data.draw(cuts(len(rows), 3)))


def from_files_to_files() -> None:
    check_files(eventful())


# --- between two chunks -----------------------------------------------------------------------------------------------


def position_forgotten(patch: Patch) -> None:
    """Every chunk starts flat."""
    patch(generate, "signals", lambda window, strategy, context, position: SIGNALS(window, strategy, context, 0))


def context_dropped(patch: Patch) -> None:
    """A chunk's first bar has no bar before it."""

    def judge(window, strategy, context, position):
        return SIGNALS(window.slice(context), strategy, 0, position)

    patch(generate, "signals", judge)


def context_off_by_one(patch: Patch) -> None:
    """The bar right before a chunk is missing from its context."""

    def judge(window, strategy, context, position):
        if context:
            window, context = pl.concat([window.head(context - 1), window.slice(context)]), context - 1
        return SIGNALS(window, strategy, context, position)

    patch(generate, "signals", judge)


def context_one_short(patch: Patch) -> None:
    """The context lacks its earliest bar."""

    def judge(window, strategy, context, position):
        cut = min(context, 1)
        return SIGNALS(window.slice(cut), strategy, context - cut, position)

    patch(generate, "signals", judge)


def last_chunk_lost(patch: Patch) -> None:
    """Rows after the last full chunk are dropped."""

    def whole_ones(*arguments):
        frames = list(PIECES(*arguments))
        return iter(frames[:-1] or frames)

    patch(generate, "pieces", whole_ones)


def boundary_repeated(patch: Patch) -> None:
    """A chunk begins with the bar that ended the one before."""

    def judge(window, strategy, context, position):
        return SIGNALS(window, strategy, max(context - 1, 0), position)

    patch(generate, "signals", judge)


# --- on one bar -------------------------------------------------------------------------------------------------------


def unknown_means_true(patch: Patch) -> None:
    """A condition on an unknown indicator holds."""

    def fill(self, value=None, *arguments, **options):
        return FILL_NULL(self, True if value is False else value, *arguments, **options)

    patch(pl.Expr, "fill_null", fill)


def both_signals_buy(patch: Patch) -> None:
    """A bar that buys and sells turns long."""

    def judge(window, strategy, context, position):
        judged = SIGNALS(window, strategy, context, position)
        change = pl.when("buy_signal").then(pl.lit(1, pl.Int8)).when("sell_signal").then(pl.lit(0, pl.Int8))
        return judged.with_columns(position=change.forward_fill().fill_null(pl.lit(position, pl.Int8)))

    patch(generate, "signals", judge)


def equal_averages_do_not_cross(patch: Patch) -> None:
    """The averages must have been strictly the other way round."""
    conditions = SmartMomentum.conditions

    def strict(self):
        fast, slow, *_ = (pl.col(name) for name in self.columns)
        return {**conditions(self), "ema_cross": (fast > slow) & (fast.shift(1) < slow.shift(1))}

    patch(SmartMomentum, "conditions", strict)


# --- between files and rows -------------------------------------------------------------------------------------------


def nan_is_a_number(patch: Patch) -> None:
    """In Polars NaN is greater than every number. (A direction of NaN would be refused: it has no place in Int8.)"""
    fill = pl.Expr.fill_nan
    patch(pl.Expr, "fill_nan", lambda self, value: fill(self, value) if "_dir_" in self.meta.output_name() else self)


def start_cut_before_context(patch: Patch) -> None:
    """The bar before the start is not seen."""

    def select(*arguments):
        found = SELECT(*arguments)
        return replace(found, plan=found.plan.slice(found.seen), seen=0)

    patch(step, "select", select)


def end_left_out(patch: Patch) -> None:
    """The bar at the end is not written."""

    def select(given, lake):
        end = given.signals.end and given.signals.end - timedelta(microseconds=1)
        earlier = given.signals.model_copy(update={"end": end})
        return SELECT(given.model_copy(update={"signals": earlier}), lake)

    patch(step, "select", select)


def files_ordered_by_name(patch: Patch) -> None:
    """`month=10` comes before `month=2`; the guards refuse that before it can become rows."""

    def by_name(parts, key):
        return sorted(parts, key=lambda part: part.file.key)

    patch(lake_tables, "sorted", by_name, raising=False)


def decisions_on_other_rows(patch: Patch) -> None:
    """What was decided is written beside other rows than those it was decided on."""

    def shifted(self, same):
        frames = list(STAMPED(self, same))
        whole = pl.concat(frames)
        yield pl.concat([whole.tail(1), whole.head(-1)])

    patch(Decisions, "stamped", shifted)


BETWEEN_CHUNKS = (position_forgotten, context_dropped, context_off_by_one, last_chunk_lost, boundary_repeated)
IN_FRAMES = (*BETWEEN_CHUNKS, unknown_means_true, equal_averages_do_not_cross)
IN_FRAMES_WITH_ECHO = (*BETWEEN_CHUNKS, context_one_short, unknown_means_true, both_signals_buy)
IN_FILES = (position_forgotten, nan_is_a_number, start_cut_before_context, end_left_out, decisions_on_other_rows)


@pytest.mark.parametrize(
    ("law", "mutant"),
    [
        *((over_frames, mutant) for mutant in IN_FRAMES),
        *((over_frames_with_echo, mutant) for mutant in IN_FRAMES_WITH_ECHO),
        *((from_files_to_files, mutant) for mutant in (*IN_FILES, files_ordered_by_name)),
    ],
    ids=lambda value: value.__name__,
)
def test_the_law_catches(law, mutant, monkeypatch):
    mutant(monkeypatch.setattr)
    with pytest.raises(TableRefused if mutant is files_ordered_by_name else AssertionError):
        law()
