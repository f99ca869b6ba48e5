"""The measures in words: what each one says, and why it is missing where it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from hermes.pages import format
from hermes.stages.backtest.metrics import ANNUALIZED

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
        Measure("same_exposure_return_pct", "Holding, same exposure",
                "What holding that share of the equity in the asset at all times returned, without fees.",
                format.change, "no bar", True),
        Measure("return_without_best_trade_pct", "Without the best trade",
                "Return had the trade that brought most not been.", format.change, "no trade", True),
        Measure("break_even_fee", "Break-even fee", "Fee on each side at which nothing would have been gained.",
                lambda value: format.percent(100 * value, 3), "no gain even without fees", True),
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
        Measure("sharpe_over_holding", "Sharpe over holding",
                "Sharpe of the returns above holding with the same exposure: above 0 the timing was worth something.",
                format.number, "it does what holding does", True),
        Measure("p_value_over_holding", "P value of that",
                "Chance of such a figure, or a higher one, where timing is worth nothing.",
                lambda value: format.number(value, 3), "it does what holding does", True),
        Measure("alpha_pct", "Alpha", "Return per year that the moves of the asset do not explain.", format.change,
                "the asset never moved", True),
        Measure("beta", "Beta", "How far a bar's return follows the asset's: 1 as much as holding, 0 not at all.",
                format.number, "the asset never moved", True),
        Measure("value_at_risk_pct", "Value at risk, a bar", "The loss that 5 % of the bars exceed.",
                lambda value: format.change(-value), "equity never moved"),
        Measure("conditional_value_at_risk_pct", "Loss beyond that", "Mean loss of the worst 5 % of the bars.",
                lambda value: format.change(-value), "equity never moved"),
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
    short = format.short_span(values) if measure.key in ANNUALIZED else ""
    notes = [f'<small class="warn">{note}</small>' for note in (few, short) if note]
    if ends := (values.get("intervals") or {}).get(measure.key):
        notes.insert(0, f"<small>95{format.THIN}%: {measure.show(ends[0])} to {measure.show(ends[1])}</small>")
    return f"<td>{measure.show(value)}{''.join(notes)}</td>"


def _glossary() -> str:
    every = [measure for group in GROUPS.values() for measure in group]
    return "".join(f"<dt>{escape(each.label)}</dt><dd>{escape(each.says)}</dd>" for each in every)
