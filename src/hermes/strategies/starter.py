"""The templates that `hermes new-strategy` writes: a strategy and its test."""

from pathlib import Path
from string import Template

from hermes.dataset import check_strategy_name
from hermes.strategies.registry import KIND

_STRATEGY = Template('''\
"""$title: what it does, in one line, and where the idea comes from."""

from collections.abc import Mapping

import polars as pl
from pydantic import Field

from hermes.strategies.base import Parameters, Strategy


class ${class_name}Parameters(Parameters):
    """What can be changed with `--set window=30`, in hermes.toml under [strategy.$name], and by a sweep."""

    window: int = Field(default=20, ge=2, le=10_000, description="bars in the average")


class $class_name(Strategy):
    """Buy where the close crosses above its average, sell where it crosses below."""

    name = "$name"  # names the table of its signals
    parameters_type = ${class_name}Parameters
    parameters: ${class_name}Parameters

    @property
    def columns(self) -> tuple[str, ...]:
        """Indicators that the rules read, by name: ema_9, rsi_7, supertrend_dir_14_2.5, donchian_high_20 …

        Those that the feature table lacks are computed from its bars. The bars themselves (open high low close volume)
        are always there.
        """
        return (f"sma_{self.parameters.window}",)

    @property
    def look_back(self) -> int:
        """Bars before the current one that the rules look at: shift(1) makes it 1. Indicators do not count."""
        return 1

    def conditions(self) -> Mapping[str, pl.Expr]:
        """Named conditions; each becomes a column of the signals table, so that every signal can be explained.

        Look at this bar and the ones before it: shift(1) is the bar before. Never shift(-1): that is the future.
        """
        close, average = pl.col("close"), pl.col(self.columns[0])
        return {
            "cross_up": (close > average) & (close.shift(1) <= average.shift(1)),
            "cross_down": (close < average) & (close.shift(1) >= average.shift(1)),
        }

    def buy(self) -> pl.Expr:
        """When to buy; join conditions with & (and), | (or), ~ (not)."""
        return pl.col("cross_up")

    def sell(self) -> pl.Expr:
        """When to sell."""
        return pl.col("cross_down")
''')

_TEST = Template('''\
"""Run with: pytest test_$name.py"""

from hermes.testing import judged, simulated_bars
from $name import $class_name

BARS = simulated_bars(2_000)


def test_it_trades():
    made = judged($class_name(), BARS)
    assert made["buy_signal"].any()
    assert made["sell_signal"].any()


def test_it_does_not_look_ahead():
    """What it says of the bars so far is what it says once later bars are known, in every row and column."""
    whole = judged($class_name(), BARS)
    for known in range(1, BARS.height, 61):
        assert judged($class_name(), BARS.head(known)).equals(whole.head(known)), f"with {known} bars known"


def test_its_look_back_is_enough():
    """Seven bars at a time, with only `look_back` bars before them, give the same."""
    assert judged($class_name(), BARS, chunk_rows=7).equals(judged($class_name(), BARS))
''')


def write_starter(name: str, folder: Path) -> tuple[Path, Path]:
    """Write `NAME.py` and `test_NAME.py` into a folder; files that are there already are left alone.

    Returns:
        Both paths.

    Raises:
        NameRefused: not lower-case words joined by `_`.
        UsageError: the name is taken, or a file of that name is there.
        StrategyError: the files cannot be written.
    """
    check_strategy_name(name)
    words = {"name": name, "class_name": name.title().replace("_", ""), "title": name.replace("_", " ").capitalize()}
    return KIND.write_starter(name, folder, _STRATEGY.substitute(words), _TEST.substitute(words))
