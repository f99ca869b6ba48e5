"""Two variants on the same bars as one self-contained HTML file: the verdict, both equities, the measures of both."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import polars as pl

from hermes.pages import format
from hermes.pages.head import head
from hermes.pages.lines import STYLE, line_chart, table

_STYLE = STYLE + "\n.second { stroke: #ef6c00; }\n"
_ROWS: tuple[tuple[str, str, Callable[..., str]], ...] = (
    ("Return", "total_return_pct", format.change),
    ("Sharpe", "sharpe", format.number),
    ("Largest drawdown", "max_drawdown_pct", format.percent),
    ("Trades", "trades", lambda trades: format.few_trades(trades) or str(trades)),
    ("Winning trades", "win_rate_pct", format.percent),
    ("In the market", "exposure_pct", format.percent),
    ("Fees paid", "fees_paid", format.number),
)


def versus_page(found: Mapping[str, Any], curve: pl.DataFrame, dataset: str) -> str:
    """The whole page.

    Args:
        found: by the names of `steps.compare.Compared.as_json`.
        curve: `datetime, first, second`, equity, one row per bar.
        dataset: what the bars are of.
    """
    first, second = found["first"], found["second"]
    span = f"{format.day(curve['datetime'][0])} to {format.day(curve['datetime'][-1])}, {curve.height:,} bars"
    return f"""{head(f"{dataset}: {first['name']} and {second['name']}", style=_STYLE)}
<main>
<header><h1>{escape(first["name"])} <span class="soft">and</span> {escape(second["name"])}</h1>
<p class="soft">{escape(dataset)}, {escape(span)}</p></header>
<p><strong>{escape(found["verdict"])}</strong></p>
{_difference(found["difference"])}
{table(["", first["name"], second["name"]], [_row(label, write, name, first, second) for label, name, write in _ROWS])}
<h2>Equity</h2><p class="soft">Blue: {escape(first["name"])}; orange: {escape(second["name"])}.</p>
{line_chart(curve, ("first", "second"), ("equity", "second"))}
</main>
</body>
</html>
"""


def _row(
    label: str, write: Callable[..., str], name: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[str]:
    values = (each["metrics"][name] for each in (first, second))
    return [label, *("" if value is None else write(value) for value in values)]


def _difference(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    low, high = found["log_growth_interval"]
    rows = [["Log growth", f"{found['log_growth']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{found['growth_p']:.3f}"]]
    if found["sharpe"] is not None:
        low, high = found["sharpe_interval"]
        rows.append(["Sharpe", f"{found['sharpe']:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{found['sharpe_p']:.3f}"])
    said = (
        f"The first less the second, by the paired stationary bootstrap: {found['resamples']:,} resamples in blocks of "
        f"{found['block_bars']:.0f} bars on average. They differ on {found['differing']:,} of {found['bars']:,} bars."
    )
    return table(["Difference", "Measured", "95 %", "p"], rows) + f'<p class="soft">{escape(said)}</p>'
