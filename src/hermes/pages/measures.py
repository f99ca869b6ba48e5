"""The measures in words: what each one says, and why it is missing where it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from hermes.pages import format

Measures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table of measures.

    Attributes:
        key: its name among the metrics.
        label: its name for people.
        says: what it says, in one sentence.
        show: how its value is written.
        missing: why it is undefined, where it is.
        of_trades: says something about trades, which holding has none of.
    """

    key: str
    label: str
    says: str
    show: Callable[[Any], str]
    missing: str = ""
    of_trades: bool = False


def _count(value: int) -> str:
    return format.number(value, 0)


_NO_CLOSED = "no trade was closed"

GROUPS: Mapping[str, tuple[Measure, ...]] = {
    "Result": (
        Measure("total_return_pct", "Return", "End value against the cash it began with, fees paid.", format.change),
        Measure("end_value", "End value", "Cash and what is held at the last close.", format.number),
        Measure("cagr_pct", "Return per year (CAGR)", "The steady yearly return that would have led to the same end.",
                format.change, "too large to write"),
        Measure("exposure_pct", "Time in market", "Share of the bars whose close saw the asset held.", format.percent),
        Measure("fees_paid", "Fees paid", "At every entry and exit together.", format.number),
    ),
    "Risk": (
        Measure("max_drawdown_pct", "Deepest drawdown", "The largest fall from a peak of equity, at bar closes.",
                lambda value: format.change(-value), "never below a peak"),
        Measure("max_drawdown_duration_s", "Longest drawdown", "The longest time below a peak.", format.duration,
                "never below a peak"),
        Measure("sharpe", "Sharpe", "Mean return of a bar over its deviation, in a year; above 1 is thought good.",
                format.number, "equity never moved"),
        Measure("sortino", "Sortino", "Like Sharpe, but only losses count as deviation.", format.number,
                "no bar lost anything"),
        Measure("calmar", "Calmar", "Return per year over the deepest drawdown.", format.number, "never below a peak"),
        Measure("omega", "Omega", "All gains of bars over all losses of bars; above 1 gains prevail.", format.number,
                "no bar lost anything"),
    ),
    "Trades": (
        Measure("trades", "Trades", "Entries, the one still open included.", _count, of_trades=True),
        Measure("win_rate_pct", "Win rate", "Share of the closed trades that made a profit after fees.", format.percent,
                _NO_CLOSED, True),
        Measure("profit_factor", "Profit factor", "All profits over all losses; above 1 profits prevail.",
                format.number, "no trade lost", True),
        Measure("expectancy", "Mean profit of a trade", "What one closed trade brought, after fees.", format.number,
                _NO_CLOSED, True),
        Measure("best_trade_pct", "Best trade", "Return of the best closed trade, after fees.", format.change,
                _NO_CLOSED, True),
        Measure("worst_trade_pct", "Worst trade", "Return of the worst closed trade, after fees.", format.change,
                _NO_CLOSED, True),
        Measure("avg_winning_trade_pct", "Mean winning trade", "Mean return of the trades that won.", format.change,
                "no trade won", True),
        Measure("avg_losing_trade_pct", "Mean losing trade", "Mean return of the trades that lost.", format.change,
                "no trade lost", True),
        Measure("avg_winning_trade_duration_s", "Winning trades lasted", "Mean time from entry to exit.",
                format.duration, "no trade won", True),
        Measure("avg_losing_trade_duration_s", "Losing trades lasted", "Mean time from entry to exit.",
                format.duration, "no trade lost", True),
    ),
}  # fmt: skip


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
            body.append(f'<tr data-measure="{measure.key}">{label}{cells}</tr>')
    amounts = f"amounts in {unit}" if unit else "amounts in the quote currency"
    return (
        f'<div class="scroll"><table class="measures"><thead><tr><th scope="col" class="soft">{amounts}</th>{head}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
        f'<details><summary>What these words mean</summary><dl class="says">{_glossary()}</dl></details>'
    )


def _cell(measure: Measure, values: Measures, holding: bool) -> str:
    if holding and measure.of_trades:
        return '<td class="soft" title="holding does not trade"></td>'
    value = values.get(measure.key)
    if value is None:
        reason = "it never traded" if not values["trades"] else measure.missing
        return f"<td>–<small>{reason}</small></td>"
    few = format.few_trades(values["trades"]) if measure.key == "sharpe" and not holding else ""
    note = f'<small class="warn">{few}</small>' if few else ""
    return f"<td>{measure.show(value)}{note}</td>"


def _glossary() -> str:
    every = [measure for group in GROUPS.values() for measure in group]
    return "".join(f"<dt>{escape(each.label)}</dt><dd>{escape(each.says)}</dd>" for each in every)
