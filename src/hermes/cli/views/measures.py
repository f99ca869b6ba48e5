"""Measures side by side, with their intervals and warnings."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hermes.cli.views.console import print_rows, say
from hermes.measures import ANNUALIZED, FEW_TRADES, Unit, shown_measures
from hermes.pages.format import fee, quote_currency
from hermes.text import fixed, span


def print_measures(columns: Mapping[str, Mapping[str, Any]], *symbols: str) -> None:
    """Measures side by side, one column for each set, beside holding over the same rows; amounts of these symbols."""
    quotes = {quote_currency(symbol) for symbol in symbols} - {""}
    amounts = f", amounts in {quotes.pop()}" if len(quotes) == 1 else ""
    table = []
    for each in shown_measures():
        if not each.is_shown(columns.values()):
            continue
        shown = (_marked(each.name, _measure(values.get(each.name), each.unit), values) for values in columns.values())
        table.append((each.label, *shown))
        if any(_interval(each.name, values) for values in columns.values()):
            table.append(("  95 % interval", *(_interval(each.name, values) or "–" for values in columns.values())))
    print_rows((f"Measured on these rows{amounts}", *columns), table)


def by_fill(fills: Mapping[str, Mapping[str, Any]], chosen: str) -> dict[str, Mapping[str, Any]]:
    """Columns for `print_measures`: each fill, the configured one first and marked."""
    order = sorted(fills, key=lambda fill: fill != chosen)
    return {f"{fill} fill{' (configured)' if fill == chosen else ''}": fills[fill] for fill in order}


def print_warnings(warnings: Sequence[str], what: str = "") -> None:
    """Print the warnings about the figures."""
    for warning in warnings:
        say("[yellow]{}{}.[/]", what, warning[:1].upper() + warning[1:])


def print_few(trades: object) -> None:
    """Print a warning if any row of a table has too few trades."""
    if isinstance(trades, int) and trades < FEW_TRADES:
        say("[yellow]Rows with fewer than {} trades: too few to conclude;[/] their Sharpe says little.", FEW_TRADES)


def _marked(key: str, value: str, values: Mapping[str, Any]) -> str:
    """A value, marked if it is unreliable."""
    if key == "trades" and values.get("few_trades", values["trades"] < FEW_TRADES):
        return f"{value} (too few to conclude)"
    if key in ANNUALIZED and value != "–" and values.get("short_span"):
        return f"{value} (from {span(values['elapsed_days'])})"
    return value


def _interval(key: str, values: Mapping[str, Any]) -> str:
    """The 95 % interval of a measure, empty without one."""
    ends = (values.get("intervals") or {}).get(key)
    unit = " %" if key.endswith("_pct") else ""
    return f"{fixed(ends[0])} to {fixed(ends[1])}{unit}" if ends else ""


def _measure(value: Any, unit: Unit) -> str:
    if value is None:
        return "–"
    if unit == "seconds":
        return str(timedelta(seconds=round(value)))
    if unit == "fee":
        return f"{fee(value)} a side"
    if unit == "probability":
        return fixed(value, 3)
    if unit == "count":
        return f"{value:,}"
    return f"{fixed(value)}{' %' if unit in ('change', 'percent', 'fall') else ''}"
