"""The leaderboard of many datasets: the empty table in the page, and the rows as JSON for universe.js."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl
from markupsafe import Markup

from hermes.dataset import INTERVAL_SECONDS, is_simulated
from hermes.measures import FEW_TRADES, shown_measures
from hermes.pages import rendering
from hermes.pages.rendering import render


class _Column(NamedTuple):
    """A column of the leaderboard: how universe.js formats its values, and what `measures` does not define."""

    key: str
    kind: str
    label: str = ""
    says: str = ""
    missing: str = ""


_COLUMNS = (
    _Column("symbol", "text", "Symbol", "The symbol; links to its page if it has one."),
    _Column("interval", "name", "Interval", "Length of a bar."),
    _Column("market", "name", "Market", "Spot, or futures margined in dollars (um) or in coins (cm)."),
    _Column("strategy", "name", "Strategy", "The strategy that was run."),
    _Column("sharpe", "number"),
    _Column("sharpe_low", "number", "Sharpe, low end", "Lower end of the 95 % interval of the Sharpe ratio."),
    _Column("sharpe_high", "number", "Sharpe, high end", "Upper end of the 95 % interval of the Sharpe ratio."),
    _Column("sharpe_close", "number", "Sharpe, close", "Filled at the signal bar's close."),
    _Column("sharpe_next_open", "number", "Sharpe, next open", "Filled at the next bar's open."),
    _Column("total_return_pct", "change"),
    _Column("same_exposure_return_pct", "change"),
    _Column("sharpe_over_holding", "number"),
    _Column(
        "p_value_adjusted",
        "number",
        "Adjusted p value",
        "Chance of such a Sharpe over holding in any of the datasets if timing were worth nothing (Holm).",
    ),
    _Column("benchmark_return_pct", "change", "Holding", "Return of buying and holding the asset, without fees."),
    _Column("ahead_pct", "change", "Return − holding", "In percentage points: above 0 the strategy beat holding."),
    _Column("max_drawdown_pct", "percent"),
    _Column("trades", "count"),
    _Column("win_rate_pct", "percent"),
    _Column("profit_factor", "number"),
    _Column("exposure_pct", "percent"),
    _Column("cagr_pct", "change"),
    _Column("sortino", "number"),
    _Column("calmar", "number"),
    _Column("omega", "number"),
    _Column("max_drawdown_duration_s", "duration"),
    _Column("expectancy", "number"),
    _Column("return_without_best_trade_pct", "change"),
    _Column("best_trade_pct", "change"),
    _Column("worst_trade_pct", "change"),
    _Column("fees_paid", "number"),
    _Column("end_value", "number"),
    _Column("rows", "count", "Bars", "Number of bars that were measured."),
    _Column("buy_signals", "count", "Buy signals", "Including those while already long."),
    _Column("sell_signals", "count", "Sell signals", "Including those while already flat."),
    _Column("first", "moment", "First bar (UTC)", "Open time of the first bar that was measured."),
    _Column("last", "moment", "Last bar (UTC)", "Open time of the last bar that was measured."),
)


def leaderboard(done: pl.DataFrame) -> Markup:
    """The empty table that universe.js fills."""
    return render("leaderboard.html", intervals=names(done, "interval"), few=FEW_TRADES)


def data(done: pl.DataFrame) -> Markup:
    """The data of universe.js: columns with their values, one per dataset, sorted by name."""
    said = {each.name: each for each in shown_measures()}
    columns = []
    for column in _COLUMNS:
        if column.key in ("market", "strategy") and done[column.key].n_unique() < 2:
            continue  # the headline says it
        known = said.get(column.key)
        columns.append(
            {
                "key": column.key,
                "kind": column.kind,
                "label": column.label or (known.label if known else ""),
                "says": column.says or (known.says if known else ""),
                "missing": (known.missing if known else "") or "no figure",
                **_values(done, column),
            }
        )
    return rendering.data(
        {
            "columns": columns,
            "few": FEW_TRADES,
            "anyFew": not done.filter(pl.col("trades") < FEW_TRADES).is_empty(),
            "links": done["link"].to_list(),
            "simulated": _marks(done),
        }
    )


def _values(done: pl.DataFrame, column: _Column) -> dict[str, Sequence[Any]]:
    """Values ready for JSON: times in seconds, names as numbers in their order."""
    values = done[column.key]
    if column.kind == "moment":
        return {"values": (values.dt.epoch("us") // 1_000_000).to_list()}
    if column.kind == "name":
        known = names(done, column.key)
        place = {name: at for at, name in enumerate(known)}
        return {"names": known, "values": [place[each] for each in values]}
    return {"values": values.to_list()}


def _marks(done: pl.DataFrame) -> list[int]:
    """Which datasets are simulated; empty if all are, as the banner says so then."""
    simulated = [int(is_simulated(symbol)) for symbol in done["symbol"]]
    return [] if all(simulated) else simulated


def names(done: pl.DataFrame, column: str) -> list[str]:
    """The different names in a column, intervals by their length."""
    order: Mapping[str, int] = INTERVAL_SECONDS if column == "interval" else {}
    return sorted(done[column].unique(), key=lambda name: (order.get(name, 0), name))
