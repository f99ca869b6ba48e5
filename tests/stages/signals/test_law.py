"""The law: however a table is cut into files, row groups, frames and chunks, its signals are the plain ones."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.stages.signals.law import cases, check_files, check_frames, cuts, eventful
from tests.stages.signals.plain_signals import ECHO_COLUMNS, MOMENTUM_COLUMNS, Echo, echo, momentum, tables

from hermes.strategies.smart_momentum import SmartMomentum


@settings(max_examples=700, deadline=None)
@given(st.data())
def test_smart_momentum_over_frames(data):
    rows = data.draw(tables(MOMENTUM_COLUMNS))
    check_frames(rows, SmartMomentum(), momentum, data.draw(cuts(len(rows), 1)))


@settings(max_examples=400, deadline=None)
@given(st.data(), st.integers(1, 6))
def test_rules_that_look_back_further_and_buy_and_sell_on_one_bar(data, bars):
    rows = data.draw(tables(ECHO_COLUMNS))
    check_frames(rows, Echo(bars=bars), echo(bars), data.draw(cuts(len(rows), bars)))


@settings(max_examples=60, deadline=None)
@example(eventful())
@given(cases())
def test_from_files_to_files(case):
    check_files(case)
