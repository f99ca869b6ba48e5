"""The section "On the record" of a page: only where there is a record, and it says what `reconcile` found."""

from pathlib import Path

import polars as pl
import pytest
from tests.record.decisions import BARS_900 as BARS
from tests.record.decisions import Service
from tests.record.lakes import put_record, put_silver, settings_at

from hermes import pipeline
from hermes.lake.store import Lake
from hermes.pages.record import section
from hermes.record.review import Record, on_record


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A page without and one with a record."""
    settings = settings_at(tmp_path_factory.mktemp("page"))
    lake = Lake.open(settings)
    put_silver(settings, BARS)
    pipeline.features(settings, lake)
    pipeline.signals(settings, lake)
    before = Path(pipeline.report(settings, lake).path).read_text("utf-8")
    put_record(settings, Service(BARS).run(700, 800).run(800, 806, delay=7300).run(806, 890).record)
    return before, Path(pipeline.report(settings, lake).path).read_text("utf-8")


def test_section_is_there_where_something_is_on_record(page: tuple[str, str]):
    before, after = page
    assert "On the record" not in before
    assert '<section id="record">' in after
    assert "190 decisions from 2025-01-30 04:00:00 to 2025-02-07 01:00:00, 6 of them late." in after
    assert "<polyline" in after.partition('<section id="record">')[2].partition("</section>")[0]


def test_figures_are_those_of_reconcile(tmp_path: Path):
    settings = settings_at(tmp_path)
    put_silver(settings, BARS)
    put_record(settings, Service(BARS).run(700, 800).run(800, 806, delay=7300).run(806, 890).record)
    lake = Lake.open(settings)
    shown = on_record(settings, lake)
    found = Record(settings, lake).reconcile()
    assert shown["head"] == Record(settings, lake).head().hash
    assert shown["account"] == found.tracking.as_json()
    html = section(shown)
    assert f"{found.tracking.paper.metrics.trades:,}" in html
    assert ">late<" in html


def test_page_is_made_although_silver_is_gone(tmp_path: Path):
    settings = settings_at(tmp_path)
    put_record(settings, Service(BARS).run(700, 750).record)
    shown = on_record(settings, Lake.open(settings))
    assert "silver has no rows" in section(shown)
    assert "On paper" not in section(shown)


def test_texts_are_escaped():
    told = {"rows": 1, "first": "<a>", "last": "b", "late": 0, "head": "ab", "note": "<script>"}
    assert "<script>" not in section(told)
    assert "<a>" not in section(told)


def test_differences_without_a_cause_are_told(tmp_path: Path):
    settings = settings_at(tmp_path)
    put_silver(settings, BARS)
    record = Service(BARS).run(700, 750).record
    wrong = record.with_columns(
        pl.when(pl.col("sequence") == 20).then(60.0).otherwise(pl.col("rsi_14")).alias("rsi_14")
    )
    put_record(settings, wrong)
    assert "1 difference from today has no cause" in section(on_record(settings, Lake.open(settings)))
