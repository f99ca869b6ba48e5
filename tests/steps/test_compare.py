"""Two variants on the same bars: the same figures as each alone, a verdict that says no more than was found, a page."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from hermes.errors import StrategyError, UsageError
from hermes.pages.compare import compare_page
from hermes.steps.backtest import backtest
from hermes.steps.compare import compare, variant


@pytest.fixture
def settings(real_lake: Path, load: Callable):
    return load(real_lake, **{"signals__start": "2020-01-01"})


def test_each_side_is_what_it_is_alone(settings, real_lake: Path, load: Callable) -> None:
    made = compare(settings, first="smart_momentum", second="smart_momentum,ema_fast=8")
    alone = backtest(load(real_lake, signals__start="2020-01-01", strategy__smart_momentum__ema_fast="8"))
    assert made.second.made.metrics == alone.metrics
    assert made.first.made.metrics == backtest(settings).metrics
    found = made.difference
    assert found is not None
    ends = [side.made.metrics["end_value"] for side in (made.first, made.second)]
    assert found.log_growth == pytest.approx(math.log(ends[0] / ends[1]), rel=1e-9)
    assert "chance alone explains as much" in made.verdict
    assert found.growth_p > 0.05


def test_swapped_the_verdict_is_the_same(settings) -> None:
    there = compare(settings, first="smart_momentum", second="ma_cross")
    back = compare(settings, first="ma_cross", second="smart_momentum")
    assert there.verdict == back.verdict


def test_a_variant_and_itself_have_nothing_to_compare(settings) -> None:
    made = compare(settings, first="smart_momentum", second="smart_momentum,ema_fast=12")
    assert made.difference is None
    assert "never differ" in made.verdict


def test_the_page_escapes_names_and_shows_the_verdict(settings) -> None:
    made = compare(settings, first="smart_momentum", second="ma_cross")
    told = made.as_json()
    told["first"]["name"] = "<script>alert(1)</script>"
    page = compare_page(told, made.curve, "BTCUSDT 4h")
    assert "<script>alert" not in page
    assert made.verdict.partition(",")[0] in page
    assert page.count("<svg") == 1
    few = f"{made.first.made.metrics['trades']} trades: too few to conclude"
    assert (few in page) == made.first.made.metrics["few_trades"]
    told["first"]["metrics"] = told["first"]["metrics"] | {"trades": 3}
    assert "3 trades: too few to conclude" in compare_page(told, made.curve, "BTCUSDT 4h")


@pytest.mark.parametrize("spec", ["smart_momentum,ema_fast", "smart_momentum,=3", "smart_momentum,ema_fast=", ",x"])
def test_a_variant_that_cannot_be_read_is_refused(settings, spec: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        variant(settings, spec)


def test_what_a_variant_says_is_checked(settings) -> None:
    assert variant(settings, "ema_fast=9").strategy["smart_momentum"]["ema_fast"] == "9"
    with pytest.raises(UsageError, match="feature set"):
        variant(settings, "feature_set=spot")
    with pytest.raises(StrategyError, match="ema_fast"):
        compare(settings, first="smart_momentum", second="smart_momentum,ema_fast=99")


def test_from_the_command_line(real_lake: Path, hermes, tmp_path: Path) -> None:
    words = ["compare", "smart_momentum", "ma_cross", "BTCUSDT", "--lake", f"{real_lake}/{{layer}}", "--out", "c.html"]
    said = hermes(*words, "--json")
    assert said.code == 0, said.err
    (found,) = said.json["datasets"]
    assert found["symbol"] == "BTCUSDT"
    assert found["second"]["strategy"] == "ma_cross"
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")
