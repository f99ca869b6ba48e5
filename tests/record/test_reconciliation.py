"""Every planted difference between the record and today's decisions is found, with its cause."""

import json

import polars as pl
import pytest
from tests.record.decisions import BARS_900 as BARS
from tests.record.decisions import FIRST, HOUR, Service, changed, decide, reconciled, with_parameters

from hermes.record.reconciliation import CAUSES, Reconciliation, as_json

BEGIN = 400


def causes(found: Reconciliation) -> dict[str, int]:
    return {cause: count for cause, count in found.causes.items() if count}


def at(found: Reconciliation, cause: str) -> list[int]:
    """Which bars differ from a cause, counted from the first of all."""
    return [(when - FIRST) // HOUR for when in found.bars.filter(pl.col("cause") == cause)["datetime"]]


@pytest.fixture(scope="module")
def on_time() -> Service:
    return Service(BARS).run(BEGIN, 900)


def test_same_bars_and_rules_decide_the_same(on_time):
    found = reconciled(on_time.record)
    assert causes(found) == {}
    assert found.bars.height == 500
    assert found.changes == []
    assert found.bars["recorded_buy_signal"].sum() > 3, "the market must trade"


def test_late_decisions_are_named_and_nothing_else():
    found = reconciled(Service(BARS).run(BEGIN, 500).run(500, 520, delay=7200).run(520, 900).record)
    assert causes(found) == {"late": 20}
    assert at(found, "late") == list(range(500, 520))


def test_missed_bars_are_named():
    service = Service(BARS).run(BEGIN, 500).run(510, 900)
    assert at(reconciled(service.record), "missed") == list(range(500, 510))
    assert causes(reconciled(service.record)) == {"missed": 10}


def test_revised_bar_explains_itself_and_what_follows_from_it(on_time):
    bars = changed(BARS, 600, close=BARS["close"][600] * 1.2, high=BARS["high"][600] * 1.3)
    found = reconciled(on_time.record, bars)
    assert set(causes(found)) == {"bar revised"}
    assert at(found, "bar revised")[0] == 600
    (detail,) = found.bars.filter(pl.col("datetime") == FIRST + 600 * HOUR)["detail"]
    assert detail.startswith(f"high {BARS['high'][600]} is ")
    assert found.causes["bar revised"] > 10, "indicators carry it on"


def test_revision_that_is_on_record_is_told(on_time):
    bars = changed(BARS, 600, volume=1.5)
    revision = on_time.record.filter(pl.col("datetime") == FIRST + 600 * HOUR).with_columns(kind=pl.lit("revision"))
    found = reconciled(pl.concat([on_time.record, revision]), bars)
    assert causes(found) == {"bar revised": 1}
    assert found.differences["detail"][0].endswith("is 1.5 now, on record as a revision")


def test_bar_that_is_gone_from_silver_was_revised(on_time):
    found = reconciled(on_time.record, BARS.filter(pl.int_range(pl.len()) != 700))
    assert at(found, "bar revised")[0] == 700
    assert set(causes(found)) == {"bar revised"}


def test_history_that_was_revised_explains_later_differences(on_time):
    bars = changed(BARS, BEGIN - 3, close=BARS["close"][BEGIN - 3] * 1.5, high=BARS["high"][BEGIN - 3] * 1.6)
    assert set(causes(reconciled(on_time.record, bars))) == {"bar revised"}


def test_bars_that_silver_does_not_have_yet_are_not_checked(on_time):
    found = reconciled(on_time.record, BARS.head(850))
    assert causes(found) == {"not checked": 50}
    assert found.differences.is_empty()


def test_parameters_that_were_changed_are_named_with_the_bar():
    service = Service(BARS).run(BEGIN, 600)
    later = with_parameters(service, ema_fast=5, ema_slow=40, rsi_low=10.0, rsi_high=90.0).run(600, 900)
    found = reconciled(later.record)
    assert set(causes(found)) == {"rules or parameters changed"}
    assert min(at(found, "rules or parameters changed")) >= 600
    (change,) = found.changes
    assert (change.datetime, change.what) == (FIRST + 600 * HOUR, "parameters")
    assert '"ema_fast":5' in change.after


def test_rules_that_were_changed_are_named_though_parameters_are_the_same():
    def other_rules(bars: pl.DataFrame, parameters: object) -> pl.DataFrame:
        made = decide(bars, parameters)
        return made.with_columns(buy_signal=pl.col("st_bullish"))  # without the cross

    service = Service(BARS, decide=other_rules).run(BEGIN, 650)
    service.decide = decide
    found = reconciled(service.run(650, 900).record)
    assert set(causes(found)) == {"rules or parameters changed"}
    assert max(at(found, "rules or parameters changed")) < 650
    assert found.causes["rules or parameters changed"] >= 3


def test_other_definitions_of_another_version_are_named():
    def other_indicators(bars: pl.DataFrame, parameters: object) -> pl.DataFrame:
        return decide(bars, parameters).with_columns(pl.col("ema_12") * 1.001)

    service = Service(BARS, decide=other_indicators).run(BEGIN, 650, hermes="0.0.9")
    service.decide = decide
    found = reconciled(service.run(650, 900).record)
    assert set(causes(found)) == {"rules or parameters changed"}
    assert [change.what for change in found.changes] == ["hermes"]


def test_parameters_that_the_rules_do_not_take_any_more(on_time):
    record = on_time.record.with_columns(parameters=pl.lit('{"gone":1}'))
    assert set(causes(reconciled(record))) == {"rules or parameters changed"}


@pytest.mark.parametrize("column", ["buy_signal", "position", "ema_12", "rsi_14", "st_exit"])
def test_what_no_cause_explains_is_unexplained(on_time, column):
    here = pl.col("datetime") == FIRST + 777 * HOUR
    kind = on_time.record.schema[column]
    other = (
        ~pl.col(column) if kind == pl.Boolean else 1 - pl.col(column) if column == "position" else pl.col(column) + 1
    )
    record = on_time.record.with_columns(pl.when(here).then(other).otherwise(pl.col(column)).alias(column))
    found = causes(reconciled(record))
    expected = "rules or parameters changed" if kind == pl.Boolean else "unexplained"
    assert found == {expected: 1}, "a signal that does not follow from recorded values is not of these rules"


def test_json_names_every_difference(on_time):
    told = as_json(reconciled(on_time.record, changed(BARS, 600, volume=1.5)))
    assert told["causes"] == {cause: int(cause == "bar revised") for cause in CAUSES}
    assert [each["cause"] for each in told["differences"]] == ["bar revised"]
    assert json.dumps(told)
