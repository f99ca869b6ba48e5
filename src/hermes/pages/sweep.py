"""A sweep as one self-contained HTML file: the warning, a heatmap for each pair of parameters, the best rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations

import polars as pl

from hermes.pages import format
from hermes.pages.head import head

MOST_ROWS = 100  # of the table on the page; the files beside it hold them all
_COLUMNS = {
    "sharpe": "Sharpe",
    "total_return_pct": "return, %",
    "max_drawdown_pct": "max drawdown, %",
    "sharpe_over_holding": "Sharpe over holding",
    "trades": "trades",
    "win_rate_pct": "win rate, %",
    "exposure_pct": "in market, %",
}
_CSS = """
.heat { border-collapse: separate; border-spacing: 2px; font-size: .8125rem; margin: .75rem 0 2rem; }
.heat td { text-align: right; padding: .25rem .5rem; border-radius: .25rem; }
.heat tr th { font-weight: 500; text-align: right; padding: .25rem .5rem; color: var(--soft); }
.wide { overflow-x: auto; }
.said { margin-bottom: 2rem; }
.list { border-collapse: collapse; font-size: .8125rem; width: 100%; }
.list td, .list th { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
"""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Everything that the page says about a sweep.

    Attributes:
        table: one row per combination, its parameters and its measures.
        varied: the parameters that have more than one value.
        skipped: combinations that the strategy refused.
        verdict: what the best of them is worth, in words.
    """

    title: str
    simulated: bool
    table: pl.DataFrame
    varied: Sequence[str]
    skipped: int
    verdict: Sequence[str]


def sweep_page(sweep: Sweep) -> str:
    """The whole page."""
    banner = '<div class="banner">SIMULATED MARKET: synthetic prices.</div>' if sweep.simulated else ""
    skipped = f", {sweep.skipped:,} skipped because the strategy refuses them" if sweep.skipped else ""
    maps = "".join(_heatmap(sweep.table, row, column) for row, column in _pairs(sweep.varied))
    return f"""{head(f"{sweep.title}: sweep", style=_CSS)}
{banner}
<main>
<header><h1>{escape(sweep.title)}</h1>
<p class="soft">{sweep.table.height:,} combinations of parameters tried{skipped}{_holding(sweep.table)}</p></header>
<div class="said">{"".join(f'<p class="warn">{escape(line)}</p>' for line in sweep.verdict)}</div>
{maps}
{_best(sweep)}
</main>
</body>
</html>
"""


def _holding(table: pl.DataFrame) -> str:
    """What all of them are to be held against."""
    change = table["benchmark_return_pct"][0]
    return "" if change is None else f"; holding returned {format.change(change)}"


def _pairs(varied: Sequence[str]) -> list[tuple[str, str | None]]:
    """Every two parameters; one alone makes a map of one column."""
    return list(combinations(varied, 2)) if len(varied) > 1 else [(name, None) for name in varied]


def _heatmap(table: pl.DataFrame, row: str, column: str | None) -> str:
    """Median Sharpe ratio of all combinations with these two values: a broad hill means more than one bright cell."""
    by = [row, column] if column else [row]
    cells = table.group_by(by).agg(pl.col("sharpe").median()).sort(by)
    known = {tuple(each[:-1]): each[-1] for each in cells.iter_rows()}
    most = max((abs(value) for value in known.values() if value is not None), default=0.0) or 1.0
    rows, columns = (cells[name].unique().sort().to_list() for name in (by[0], by[-1]))
    across: list[tuple[object, ...]] = [(value,) for value in columns] if column else [()]
    head = "".join(f"<th>{escape(format.plain(value))}</th>" for value in columns) if column else "<th>Sharpe</th>"
    body = "".join(
        f"<tr><th>{escape(format.plain(value))}</th>"
        + "".join(_cell(known.get((value, *other)), most) for other in across)
        + "</tr>"
        for value in rows
    )
    names = escape(f"{row} (down) and {column} (across)" if column else row)
    return (
        f'<h2>{names} <small class="soft">median Sharpe over all other parameters</small></h2>'
        f'<div class="wide"><table class="heat"><tr><th></th>{head}</tr>{body}</table></div>'
    )


def _cell(value: float | None, most: float) -> str:
    """A Sharpe ratio, the deeper its colour the farther from 0."""
    if value is None:
        return '<td class="soft">–</td>'
    share = round(85 * abs(value) / most)
    heat = "up" if value > 0 else "down"
    return (
        f'<td style="background: color-mix(in srgb, var(--heat-{heat}) {share}%, transparent)">'
        f"{format.number(value)}</td>"
    )


def _best(sweep: Sweep) -> str:
    """The combinations with the highest Sharpe ratios."""
    columns = [*sweep.varied, *(name for name in _COLUMNS if name not in sweep.varied)]
    best = sweep.table.sort("sharpe", descending=True, nulls_last=True).select(columns).head(MOST_ROWS)
    head = "".join(f"<th>{escape(_COLUMNS.get(name, name))}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(_cell_of(name, value) for name, value in row.items())}</tr>"
        for row in best.iter_rows(named=True)
    )
    shown = f"The best {best.height:,} of {sweep.table.height:,}" if sweep.table.height > MOST_ROWS else "All of them"
    return (
        f'<h2>{shown} <small class="soft">by Sharpe</small></h2>'
        f'<div class="wide"><table class="list"><tr>{head}</tr>{body}</table></div>'
    )


def _cell_of(name: str, value: object) -> str:
    few = format.few_trades(value) if name == "trades" and isinstance(value, int) else ""
    note = f' <small class="warn">{few}</small>' if few else ""
    return f"<td>{_text(value)}{note}</td>"


def _text(value: object) -> str:
    return format.number(value) if isinstance(value, float) else escape(format.plain(value))
