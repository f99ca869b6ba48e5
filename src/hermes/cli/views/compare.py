"""Two variants side by side, for people."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hermes.cli.views import console
from hermes.cli.views.measures import print_few, print_warnings
from hermes.text import fixed, signed

if TYPE_CHECKING:
    from hermes.steps.compare import Compared

ROWS: tuple[tuple[str, str, Callable[..., str]], ...] = (
    ("return", "total_return_pct", lambda value: f"{signed(value)} %"),
    ("Sharpe", "sharpe", fixed),
    ("max drawdown", "max_drawdown_pct", lambda value: f"{fixed(value)} %"),
    ("trades", "trades", str),
    ("in the market", "exposure_pct", lambda value: f"{fixed(value)} %"),
)


def print_compared(made: "Compared") -> None:
    """The measures of both, their difference with its interval, and the verdict."""
    sides = (made.first, made.second)
    console.print_simulated(made.settings.dataset.symbol)
    console.print_rows(
        ["", *(side.name for side in sides)],
        [
            [label, *("–" if (value := side.made.metrics[name]) is None else write(value) for side in sides)]
            for label, name, write in ROWS
        ],
        title=f"{made.settings.dataset}: {made.first.name} and {made.second.name}",
    )
    print_few(min(side.made.metrics["trades"] for side in sides))
    if found := made.difference:
        growth = _difference(found.log_growth, found.log_growth_interval, found.growth_p, 4)
        facts = [
            ("log growth", growth),
            ("bars that differ", f"{found.differing:,} of {found.bars:,}"),
        ]
        if found.sharpe is not None and found.sharpe_interval and found.sharpe_p is not None:
            facts.insert(1, ("Sharpe", _difference(found.sharpe, found.sharpe_interval, found.sharpe_p, 3)))
        console.print_facts("Difference, the first less the second", facts)
    print_warnings(made.warnings)
    console.print_note(made.verdict)


def _difference(value: float, interval: tuple[float, float], p_value: float, decimals: int) -> str:
    """A difference with its interval and its p value."""
    low, high = (signed(end, decimals) for end in interval)
    return f"{signed(value, decimals)} (95 %: {low} to {high}), p = {p_value:.3f}"
