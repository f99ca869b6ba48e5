"""The output of `hermes run` for many datasets: how they compare."""

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from hermes.cli.views import console
from hermes.cli.views.measures import print_few
from hermes.pages.format import spaced
from hermes.pages.universe import tests_in_words
from hermes.text import counted, fixed

if TYPE_CHECKING:
    from hermes.market import Market

SHOWN = 20  # rows; the page has all of them


def print_market(made: "Market") -> None:
    """How many succeeded, the best by Sharpe ratio, and where the full comparison is."""
    new = sum(not each["unchanged"] for each in made.done)
    rows = sum(each["rows"] for each in made.done)
    console.print_simulated(*(each["symbol"] for each in made.done))
    if made.universe:
        done = made.universe.table.filter(pl.col("error").is_null())
        best = done.sort("sharpe", descending=True, nulls_last=True).head(SHOWN)
        fill = best["fill"][0]
        (other,) = {"close", "next_open"} - {fill}
        columns = {
            "symbol": "symbol",
            "interval": "interval",
            "total_return_pct": "return %",
            "benchmark_return_pct": "holding %",
            "sharpe": "Sharpe",
            f"sharpe_{other}": f"Sharpe, {other}",
            "sharpe_low": "95 % from",
            "sharpe_high": "to",
            "max_drawdown_pct": "drawdown %",
            "trades": "trades",
            "p_value_adjusted": "adjusted p",
        }
        shown = [tuple(_rounded(value) for value in row) for row in best.select(columns.keys()).iter_rows()]
        title = (
            f"The best {best.height} of {len(made.done):,} by Sharpe ratio, filled at {fill}: the best of many is"
            f" partly luck"
        )
        console.print_rows(tuple(columns.values()), shown, title)
        print_few(best["trades"].min())
        if told := tests_in_words(made.universe.tests):
            console.say("[yellow]{}[/]", told)
    facts = [
        ("done", f"{len(made.done):,}, of them {new:,} with new signals; {len(made.failed):,} failed"),
        ("rows", f"{rows:,}, {rows / made.seconds:,.0f} rows/s on {made.where}"),
        ("seconds", f"{made.seconds:.2f}, {60 * len(made.done) / made.seconds:,.0f} datasets per minute"),
    ]
    ended = Counter(spaced(each["audit"] or "not_checked") for each in made.done)
    facts.append(("audit", ", ".join(f"{count:,} {word}" for word, count in ended.items()) or "not checked"))
    if found := next((each["checks"]["rules"] for each in made.done if each["checks"]), None):  # all have one strategy
        facts.append(("rules", f"{spaced(found['verdict'])}: {found['detail']}"))
    stale = [each for each in made.done if each["freshness"]["stale"]]
    if stale:
        oldest = min(each["freshness"]["newest_bar"] for each in stale)
        facts.append(
            ("stale", f"the newest bar of {counted(len(stale), 'dataset')} is older than it should be: from {oldest}")
        )
    if made.universe:
        facts += [("table", made.universe.path), ("page", made.universe.page or "none")]
    console.print_facts(counted(len(made.outcomes), "dataset"), facts)


def _rounded(value: object) -> object:
    return fixed(value) if isinstance(value, float) else value
