"""Two variants side by side, for people."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hermes.cli.views import console
from hermes.cli.views.measures import print_few

if TYPE_CHECKING:
    from hermes.steps.compare import Compared

ROWS: tuple[tuple[str, str, Callable[..., str]], ...] = (
    ("return", "total_return_pct", "{:+,.2f} %".format),
    ("Sharpe", "sharpe", "{:,.2f}".format),
    ("max drawdown", "max_drawdown_pct", "{:,.2f} %".format),
    ("trades", "trades", str),
    ("in the market", "exposure_pct", "{:,.2f} %".format),
)


def print_compared(made: "Compared") -> None:
    """The measures of both, their difference with its interval, and the verdict."""
    sides = (made.first, made.second)
    console.print_simulated(made.settings.dataset.symbol)
    console.print_rows(
        ["", *(side.name for side in sides)],
        [
            [label, *("" if (value := side.made.metrics[name]) is None else write(value) for side in sides)]
            for label, name, write in ROWS
        ],
        title=f"{made.settings.dataset}: {made.first.name} and {made.second.name}",
    )
    print_few(min(side.made.metrics["trades"] for side in sides))
    if found := made.difference:
        low, high = found.log_growth_interval
        facts = [
            ("log growth", f"{found.log_growth:+.4f} (95 %: {low:+.4f} to {high:+.4f}), p = {found.growth_p:.3f}"),
            ("bars that differ", f"{found.differing:,} of {found.bars:,}"),
        ]
        if found.sharpe is not None and found.sharpe_interval and found.sharpe_p is not None:
            low, high = found.sharpe_interval
            facts.insert(
                1, ("Sharpe", f"{found.sharpe:+.3f} (95 %: {low:+.3f} to {high:+.3f}), p = {found.sharpe_p:.3f}")
            )
        console.print_facts("Difference, the first less the second", facts)
    console.print_note(made.verdict)
