"""The measures side by side as HTML, each explained, with the reason where one is missing."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from hermes.measures import GROUPS, Measure, Unit
from hermes.pages import format
from hermes.stages.backtest.metrics import ANNUALIZED

Measures = Mapping[str, Any]

_SHOW: Mapping[Unit, Callable[[Any], str]] = {
    "change": format.change,
    "percent": format.percent,
    "fall": lambda value: format.change(-value),
    "fee": lambda value: format.percent(100 * value, 3),
    "number": format.number,
    "probability": lambda value: format.number(value, 3),
    "amount": format.number,
    "count": lambda value: format.number(value, 0),
    "seconds": format.duration,
}


def show(measure: Measure, value: Any) -> str:
    """A value of a measure as text."""
    return _SHOW[measure.unit](value)


def table(columns: Mapping[str, Measures], unit: str) -> str:
    """The measures side by side as HTML.

    Args:
        columns: heading → metrics; the one called `Holding` has no trades.
        unit: the quote currency, for the headings.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = []
    for group, measures in GROUPS.items():
        body.append(f'<tr class="group"><th scope="rowgroup" colspan="{len(columns) + 1}">{group}</th></tr>')
        for measure in measures:
            cells = "".join(_cell(measure, values, name == "Holding") for name, values in columns.items())
            label = f'<th scope="row"><abbr title="{escape(measure.says)}">{escape(measure.label)}</abbr></th>'
            body.append(f'<tr data-measure="{measure.name}">{label}{cells}</tr>')
    amounts = f"amounts in {unit}" if unit else "amounts in the quote currency"
    return (
        f'<div class="scroll"><table class="measures"><thead><tr><th scope="col" class="soft">{amounts}</th>{head}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
        f'<details><summary>What these words mean</summary><dl class="says">{_glossary()}</dl></details>'
    )


def _cell(measure: Measure, values: Measures, holding: bool) -> str:
    if holding and measure.of_trades:
        return '<td class="soft" title="holding does not trade"></td>'
    value = values.get(measure.name)
    if value is None:
        reason = "it never traded" if not values["trades"] else measure.missing
        return f"<td>–<small>{reason}</small></td>"
    few = format.few_trades(values["trades"]) if measure.name == "sharpe" and not holding else ""
    short = format.short_span(values) if measure.name in ANNUALIZED else ""
    notes = [f'<small class="warn">{note}</small>' for note in (few, short) if note]
    if ends := (values.get("intervals") or {}).get(measure.name):
        notes.insert(0, f"<small>95{format.THIN}%: {show(measure, ends[0])} to {show(measure, ends[1])}</small>")
    return f"<td>{show(measure, value)}{''.join(notes)}</td>"


def _glossary() -> str:
    every = [measure for group in GROUPS.values() for measure in group]
    return "".join(f"<dt>{escape(each.label)}</dt><dd>{escape(each.says)}</dd>" for each in every)
