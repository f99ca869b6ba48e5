"""A sweep as one self-contained HTML file: the warning, the best rows, a heatmap for each pair of parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

import polars as pl

from hermes.measures import Measure, select_measures
from hermes.pages import format, measures
from hermes.pages.rendering import page

MOST_ROWS = 100  # of the table on the page; the files beside it hold them all
_SHOWN = ("sharpe", "total_return_pct", "max_drawdown_pct", "sharpe_over_holding", "trades", "win_rate_pct",
          "exposure_pct")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sweep:
    """The content of the page of a sweep.

    Attributes:
        first, last: open times of the bars that were measured; bars: how many there are.
        account: its terms, as in `format.terms`.
        fixed: the parameters that have one value; trial: the feature set that was read, see `format.feature_set`.
        table: one row per combination, its parameters and its measures.
        varied: the parameters that have more than one value.
        skipped: number of combinations that the strategy refused.
        verdict: on the best combination, in words.
        min_trades: a combination with fewer trades cannot be the best.
    """

    title: str
    simulated: bool
    first: datetime
    last: datetime
    bars: int
    account: Mapping[str, Any]
    fixed: Mapping[str, Any]
    table: pl.DataFrame
    varied: Sequence[str]
    skipped: int
    verdict: Sequence[str]
    min_trades: int
    trial: Mapping[str, Any] | None = None


def sweep_page(sweep: Sweep) -> str:
    """The whole page."""
    shown = [each for each in select_measures(_SHOWN) if each.name not in sweep.varied]
    best = sweep.table.sort("sharpe", descending=True, nulls_last=True).head(MOST_ROWS)
    cut = sweep.table.height > MOST_ROWS
    return page(
        "sweep.html",
        f"{sweep.title}: sweep",
        sweep=sweep,
        holding=sweep.table["benchmark_return_pct"][0],
        maps=[_heatmap(sweep.table, row, column) for row, column in _pairs(sweep.varied)],
        heading=f"The best {best.height:,} of {sweep.table.height:,}" if cut else "All of them",
        heads=[*sweep.varied, *(each.label for each in shown)],
        rows=[_row(row, sweep, shown) for row in best.iter_rows(named=True)],
    )


def _pairs(varied: Sequence[str]) -> list[tuple[str, str | None]]:
    """All pairs of parameters; a single one makes a heatmap with one column."""
    return list(combinations(varied, 2)) if len(varied) > 1 else [(name, None) for name in varied]


def _heatmap(table: pl.DataFrame, row: str, column: str | None) -> dict[str, Any]:
    """Median Sharpe ratio of all combinations with these two values: a broad hill means more than one bright cell."""
    by = [row, column] if column else [row]
    cells = table.group_by(by).agg(pl.col("sharpe").median()).sort(by)
    known = {tuple(each[:-1]): each[-1] for each in cells.iter_rows()}
    rows, columns = (cells[name].unique().sort().to_list() for name in (by[0], by[-1]))
    across: list[tuple[object, ...]] = [(value,) for value in columns] if column else [()]
    return {
        "title": f"{row} (down) and {column} (across)" if column else row,
        "heads": [format.plain(value) for value in columns] if column else ["Sharpe"],
        "rows": [(format.plain(value), [known.get((value, *other)) for other in across]) for value in rows],
        "most": max((abs(value) for value in known.values() if value is not None), default=0.0) or 1.0,
    }


def _row(row: Mapping[str, Any], sweep: Sweep, shown: Sequence[Measure]) -> list[tuple[str, list[str]]]:
    """The parameters and measures of one combination as texts, each with its warning."""
    parameters: list[tuple[str, list[str]]] = [(format.plain(row[name]), []) for name in sweep.varied]
    return [*parameters, *(_cell(each, row, sweep.min_trades) for each in shown)]


def _cell(measure: Measure, row: Mapping[str, Any], min_trades: int) -> tuple[str, list[str]]:
    text, warnings = measures.cell(measure, row)
    if measure.name == "trades" and row["trades"] < min_trades:
        warnings.append(f"never the best: fewer than {min_trades:,}")
    return text, warnings
