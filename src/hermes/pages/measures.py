"""Measures side by side as HTML, each explained, with the reason if one is undefined."""

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from hermes.measures import ANNUALIZED, GROUPS, Measure, Unit, select_measures
from hermes.pages import format
from hermes.pages.rendering import render

Measures = Mapping[str, Any]

_SHOW: Mapping[Unit, Callable[[Any], str]] = {
    "change": format.change,
    "percent": format.percent,
    "fall": lambda value: format.change(-value),
    "fee": lambda value: format.fee(value, format.THIN),
    "number": format.number,
    "probability": lambda value: format.number(value, 3),
    "amount": format.number,
    "count": lambda value: format.number(value, 0),
    "seconds": format.duration,
}


def show(measure: Measure, value: Any) -> str:
    """A value of a measure as text."""
    return _SHOW[measure.unit](value)


def shown(name: str, value: Any) -> str:
    """A value of the measure with this name; a dash if it is undefined."""
    return "–" if value is None else show(select_measures([name])[0], value)


def cell(measure: Measure, values: Measures) -> tuple[str, list[str]]:
    """A value as text, and its warnings; a dash if it is undefined."""
    value = values[measure.name]
    return ("–", []) if value is None else (show(measure, value), warnings(measure, values))


def label(name: str) -> str:
    """The label of the measure with this name."""
    return select_measures([name])[0].label


def table(columns: Mapping[str, Measures], unit: str) -> Markup:
    """The measures side by side as HTML.

    Args:
        columns: heading → metrics; the one called `Holding` has no trades.
        unit: the quote currency, for the headings.
    """
    shown = {group: [each for each in rows if each.is_shown(columns.values())] for group, rows in GROUPS.items()}
    groups = [
        (group, [(each, [_cell(each, values, name == "Holding") for name, values in columns.items()]) for each in rows])
        for group, rows in shown.items()
    ]
    amounts = f"amounts in {unit}" if unit else "amounts in the quote currency"
    return render("measures.html", amounts=amounts, columns=list(columns), groups=groups)


def _cell(measure: Measure, values: Measures, holding: bool) -> dict[str, Any] | None:
    """The cell of one value for the template; None if holding has no such measure."""
    if holding and measure.of_trades:
        return None
    value = values.get(measure.name)
    if value is None:
        reason = "it never traded" if not values["trades"] else measure.missing
        return {"text": "–", "reason": reason, "interval": "", "warnings": []}
    ends = (values.get("intervals") or {}).get(measure.name)
    interval = f"{show(measure, ends[0])} to {show(measure, ends[1])}" if ends else ""
    return {"text": show(measure, value), "reason": "", "interval": interval,
            "warnings": warnings(measure, values, traded=not holding)}  # fmt: skip


def warnings(measure: Measure, values: Measures, *, traded: bool = True) -> list[str]:
    """The warnings about a value: few trades, or annualized from few days."""
    few = format.few_trades(values["trades"]) if measure.name == "sharpe" and traded else ""
    short = format.short_span(values) if measure.name in ANNUALIZED else ""
    return [each for each in (few, short) if each]
