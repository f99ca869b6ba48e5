"""What people see of many datasets: how they compare."""

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from hermes.cli.views import console
from hermes.dataset import is_simulated
from hermes.pages.format import spaced

if TYPE_CHECKING:
    from hermes.market import Market

SHOWN = 20  # rows; the page has all of them


def print_market(made: "Market") -> None:
    """How many are done, the best by Sharpe ratio, and where the comparison of all is."""
    new = sum(not each["unchanged"] for each in made.done)
    rows = sum(each["rows"] for each in made.done)
    if any(is_simulated(each["symbol"]) for each in made.done):
        console.print_simulated()
    if made.universe:
        done = made.universe.table.filter(pl.col("error").is_null())
        best = done.sort("sharpe", descending=True, nulls_last=True).head(SHOWN)
        columns = (
            "symbol",
            "interval",
            "total_return_pct",
            "benchmark_return_pct",
            "sharpe",
            "max_drawdown_pct",
            "trades",
        )
        shown = [tuple(_rounded(value) for value in row) for row in best.select(columns).iter_rows()]
        title = f"The best {best.height} of {len(made.done):,} by Sharpe ratio: the best of many is partly luck"
        console.print_rows(
            ("symbol", "interval", "return %", "holding %", "Sharpe", "drawdown %", "trades"), shown, title
        )
    facts = [
        ("done", f"{len(made.done):,}, of them {new:,} with new signals; {len(made.failed):,} failed"),
        ("rows", f"{rows:,}, {rows / made.seconds:,.0f} rows/s on {made.where}"),
        ("seconds", f"{made.seconds:.2f}, {60 * len(made.done) / made.seconds:,.0f} datasets a minute"),
    ]
    ended = Counter(spaced(each["audit"] or "not_checked") for each in made.done)
    facts.append(("audit", ", ".join(f"{count:,} {word}" for word, count in ended.items()) or "none"))
    if found := next((each["checks"]["rules"] for each in made.done if each["checks"]), None):  # all have one strategy
        facts.append(("rules", f"{spaced(found['verdict'])}: {found['detail']}"))
    if made.universe:
        facts += [("table", made.universe.path), ("page", made.universe.page or "none")]
    console.print_facts(f"{len(made.outcomes):,} datasets", facts)


def _rounded(value: object) -> object:
    return round(value, 2) if isinstance(value, float) else value
