import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.pages import format
from hermes.pages.histograms import Axis, histogram

PLAIN = Axis("return, %", format.number)
COUNTS = Axis("trades", lambda value: f"{value:,.10g}", whole=True)
TITLE = re.compile(r"<title>(.*?): ([\d,]+) datasets?</title>")
numbers = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)


def counted(svg: str) -> int:
    return sum(int(count.replace(",", "")) for _, count in TITLE.findall(svg))


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=60), st.lists(numbers, max_size=60))
def test_every_value_is_in_one_bar(first, second):
    groups = {"1h": pl.Series(first, dtype=pl.Float64), "4h": pl.Series(second, dtype=pl.Float64)}
    svg = histogram(groups, PLAIN)
    assert counted(svg) == len(first) + len(second)
    assert svg.count("<rect") < 2 * 400
    assert "nan" not in svg


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60))
def test_whole_numbers_have_whole_bounds(values):
    svg = histogram({"4h": pl.Series(values, dtype=pl.Int64)}, COUNTS)
    assert counted(svg) == len(values)
    for bounds, _ in TITLE.findall(svg):
        assert re.fullmatch(r"[\d,]+( to [\d,]+)?", bounds)


def test_bars_tell_their_bounds():
    svg = histogram({"4h": pl.Series([-30.0, -10.0, -9.99, 0.0, 5.0, 10.0])}, PLAIN)
    found = dict(TITLE.findall(svg))
    assert found == {
        "from −30.00 to under −28.00": "1",
        "from −10.00 to under −8.00": "2",
        "from 0.00 to under 2.00": "1",
        "from 4.00 to under 6.00": "1",
        "from 10.00 to under 12.00": "1",
    }


def test_losses_have_their_own_colour_and_0_is_none():
    svg = histogram({"4h": pl.Series([-1.0, 0.0, 1.0, 1.0])}, PLAIN)
    ways = re.findall(r'<rect class="(\w+)".*?<title>from (\S+)', svg)
    assert ways
    assert all(way == ("down" if low.startswith("−") else "up") for way, low in ways)
    assert {way for way, _ in ways} == {"up", "down"}


def test_values_far_out_are_counted_in_the_outermost_bars_and_told():
    inside = [float(value) for value in range(100)]
    html = histogram({"4h": pl.Series([*inside, 1e6, 2e6, -5e5])}, PLAIN)
    assert counted(html) == 103
    assert re.search(
        r"In the outermost bars: 1 below −\S+, down to −500,000.00; 2 above \S+, up to 2,000,000.00.</p>", html
    )
    assert "outermost" not in histogram({"4h": pl.Series(inside)}, PLAIN)


def test_ticks_stand_where_their_values_are():
    svg = histogram({"4h": pl.Series([-1.0, 0.0, 1.4, 1.5])}, PLAIN)
    tick = r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle">([−\d.,]+)</text>'
    bar = r'<rect class="\w+" x="([\d.]+)".*?<title>from (\S+)'
    ticks, bars = (
        [(float(x), float(text.replace("−", "-"))) for x, text in re.findall(pattern, svg)] for pattern in (tick, bar)
    )
    assert 3 <= len(ticks) <= 8
    assert len(bars) == 4
    (x0, v0), (x1, v1) = bars[0], bars[-1]
    for x, value in [*bars, *ticks, (float(re.search(r'class="zero" d="M([\d.]+)', svg)[1]), 0.0)]:
        assert x == pytest.approx(x0 + (value - v0) / (v1 - v0) * (x1 - x0), abs=0.7)  # bars have half a unit of air


def test_each_group_has_a_strip_with_its_name_its_highest_count_and_its_median():
    groups = {"1h": pl.Series([1.0] * 7 + [2.0]), "4h": pl.Series([3.0] * 12), "<1d>": pl.Series([], dtype=pl.Float64)}
    svg = histogram(groups, PLAIN)
    assert re.findall(r'class="name"[^>]*>([^<]*)<', svg) == ["1h", "4h", "&lt;1d&gt;"]
    assert re.findall(r'class="middle"[^>]*>([^<]*)<', svg) == ["1.00", "3.00"]
    assert svg.count('class="median"') == 2
    assert re.search(r'text-anchor="end">7</text>.*text-anchor="end">12</text>', svg)


def test_the_picture_is_told_in_words():
    svg = histogram({"4h": pl.Series([0.0, 1.0, 2.0, 3.0, 4.0])}, PLAIN)
    said = "return, %: 5 datasets, median 2.00, half of them from 1.00 to 3.00, all from 0.00 to 4.00"
    assert f'role="img" aria-label="{said}"' in svg


@pytest.mark.parametrize("value", [0.0, 1.2, -20.0, 1e8])
def test_a_single_value_has_a_bar(value):
    assert counted(histogram({"4h": pl.Series([value])}, PLAIN)) == 1
