"""The templates that `hermes new-indicator` writes: an indicator and its test."""

from pathlib import Path
from string import Template

from hermes.indicators.definition import check_indicator_name
from hermes.indicators.registry import INDICATORS

_INDICATOR = Template('''\
"""$title: what it measures, in one line, and where the definition comes from."""

from typing import Annotated

import polars as pl
from hermes.indicators import indicator
from hermes.indicators.definition import CLOSE
from pydantic import Field


@indicator(look_back=lambda n: n - 1, source="where the definition comes from")
def $name(n: Annotated[int, Field(ge=2)]) -> pl.Expr:
    """close / mean of the last N closes - 1, as a fraction"""
    # Look at a bar and those before it: shift(1) is the bar before. Never shift(-1): that is the future.
    return CLOSE / CLOSE.rolling_mean(n) - 1
''')

_TEST = Template('''\
"""Run with: pytest test_$name.py"""

import polars as pl
from hermes.testing import simulated_bars
from $name import $name

BARS = simulated_bars(500)
N = 20


def test_it_is_the_formula():
    """The same in plain Python, bar by bar."""
    closes = BARS["close"].to_list()
    made = BARS.select($name(N)).to_series()
    for bar in range(N - 1, len(closes)):
        mean = sum(closes[bar - N + 1 : bar + 1]) / N
        assert abs(made[bar] - (closes[bar] / mean - 1)) < 1e-12


def test_later_bars_do_not_change_it():
    whole = BARS.select($name(N)).to_series()
    for known in range(1, BARS.height, 23):
        assert BARS.head(known).select($name(N)).to_series().equals(whole.head(known)), f"with {known} bars known"


def test_its_look_back_is_its_warm_up():
    made = BARS.select(pl.col("datetime"), value=$name(N))
    assert made["value"].head(N - 1).null_count() == N - 1
    assert made["value"].slice(N - 1).null_count() == 0
''')


def write_starter(name: str, folder: Path) -> tuple[Path, Path]:
    """Write `NAME.py` and `test_NAME.py` into a folder; files that are there already are left alone.

    Returns:
        Both paths.

    Raises:
        IndicatorError: not lower-case words joined by `_`, or the files cannot be written.
        UsageError: the name is taken, or a file of that name is there.
    """
    check_indicator_name(name)
    words = {"name": name, "title": name.replace("_", " ").capitalize()}
    return INDICATORS.write_starter(name, folder, _INDICATOR.substitute(words), _TEST.substitute(words))
