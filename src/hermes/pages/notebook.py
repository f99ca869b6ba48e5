"""Results as a notebook and a Python prompt show them: compact, escaped, simulated markets labelled."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from hermes.dataset import is_simulated
from hermes.measures import Measure, every
from hermes.pages import format, measures
from hermes.pages.measures import Measures
from hermes.stages.backtest.metrics import ANNUALIZED

SIMULATED = "SIMULATED MARKET"
_NEVER_WERE = "synthetic prices; nothing here says how a strategy trades"
_FRAME_HEIGHT = 900  # pixels of an inline page: the headline and the price panel

#: The rows of the compact table: measures by name; all of them are one click away.
_SHOWN = ("total_return_pct", "cagr_pct", "max_drawdown_pct", "sharpe", "trades", "win_rate_pct", "exposure_pct",
          "fees_paid")  # fmt: skip

# A notebook brings its own fonts and colours, light or dark: everything is in the text's own colour.
_STYLE = """<style>
.hermes { line-height: 1.45 }
.hermes table { border-collapse: collapse; margin: .4em 0; font-variant-numeric: tabular-nums }
.hermes th, .hermes td { text-align: right; padding: .15em .8em; border: 0; background: none }
.hermes th:first-child, .hermes dd { text-align: left }
.hermes thead th { border-bottom: 1px solid #8888 }
.hermes th { font-weight: normal } .hermes th[scope=col], .hermes .head { font-weight: 600 }
.hermes small { display: block; opacity: .75 }
.hermes .warn { color: #b25000; opacity: 1 }
.hermes .label { display: inline-block; padding: .1em .6em; border-radius: .3em; background: #ffb300; color: #000 }
.hermes dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1em; margin: .4em 0 }
.hermes dt { opacity: .75; white-space: nowrap } .hermes dd { margin: 0; overflow-wrap: anywhere }
</style>"""


def text(kind: str, found: Mapping[str, Any]) -> str:
    """A few lines for a prompt.

    Args:
        kind: what the result is.
        found: the contract's object of one dataset: counts, span, metrics with the configured fill, maybe a path.
    """
    values = found["metrics"]
    returned = f"{_change(values['total_return_pct'])}, holding instead {_change(values['benchmark_return_pct'])}"
    rows = [
        ("rows", _counts(found)),
        ("return", f"{returned}; Sharpe {_number(values['sharpe'])}; {_trades(values)}; filled at {values['fill']}"),
        *([("saved to", found["path"])] if "path" in found else []),
    ]
    title = f"{kind}: {found['symbol']} {found['interval']} {found['strategy']}, {_span(found)}"
    return listed(title, rows, found["symbol"])


def listed(title: str, rows: Sequence[tuple[str, Any]], symbol: str) -> str:
    """A title and facts below it, the label between them where the market is simulated."""
    label = [f"  {SIMULATED}: {_NEVER_WERE}"] if is_simulated(symbol) else []
    return "\n".join([title, *label, *(f"  {name}: {format.plain(value)}" for name, value in rows)])


def summary(
    kind: str, found: Mapping[str, Any], fills: Mapping[str, Measures], also: Sequence[tuple[str, Any]] = ()
) -> str:
    """Counts, span, and the measures of each fill beside holding; arguments as for `text`, `also` are more facts."""
    rows = [("period", _span(found)), ("rows", _counts(found))]
    if "path" in found:
        rows.append(("saved to", found["path"]))
    title = f"{kind}: {format.title(found['strategy'])} on {found['symbol']} {found['interval']}"
    return card(
        title, _table(found["metrics"]["fill"], fills, found["symbol"]), facts([*rows, *also]), symbol=found["symbol"]
    )


def card(title: str, *parts: str, symbol: str) -> str:
    """One result: its title, the label where its market is simulated, then the parts, which are HTML already."""
    label = f'<p><b class="label">{SIMULATED}</b> {_NEVER_WERE}.</p>' if is_simulated(symbol) else ""
    return f'<div class="hermes">{_STYLE}<p class="head">{escape(title)}</p>{label}{"".join(parts)}</div>'


def facts(rows: Sequence[tuple[str, Any]]) -> str:
    """Names and values."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(format.plain(v))}</dd>' for name, v in rows)}</dl>"


def more(title: str, content: str) -> str:
    """HTML that shows on a click."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def inline(page: str) -> str:
    """A whole page within a notebook: in a frame of its own, so that neither changes the other; it asks no server."""
    return (
        f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" title="Hermes report" '
        f'style="width:100%;height:{_FRAME_HEIGHT}px;border:0"></iframe>'
    )


def _table(fill: str, fills: Mapping[str, Measures], symbol: str) -> str:
    """The compact table, the configured fill first and holding last, and all measures on a click."""
    order = sorted(fills, key=lambda name: name != fill)
    columns = {f"filled at the {name.replace('_', ' ')}": fills[name] for name in order}
    known = {measure.name: measure for measure in every()}
    holding = {"total_return_pct": _change(fills[fill]["benchmark_return_pct"])}
    body = []
    for key in _SHOWN:
        cells = "".join(f"<td>{_shown(known[key], values)}</td>" for values in columns.values())
        body.append(f'<tr><th scope="row">{known[key].label}</th>{cells}<td>{holding.get(key, "")}</td></tr>')
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (*columns, "holding"))
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return table + more("All measures", measures.table(columns, format.quote_currency(symbol)))


def _shown(measure: Measure, values: Measures) -> str:
    value = values[measure.name]
    if value is None:
        return "–"
    few = _few(values) if measure.name == "sharpe" else ""
    short = format.short_span(values) if measure.name in ANNUALIZED else ""
    notes = "".join(f'<small class="warn">{note}</small>' for note in (few, short) if note)
    return measures.show(measure, value) + notes


def _few(values: Measures) -> str:
    return format.few_trades(values["trades"]) if values["trades"] else "it never traded"


def _trades(values: Measures) -> str:
    return _few(values) or f"{values['trades']:,} trades"


def _counts(found: Mapping[str, Any]) -> str:
    return f"{found['rows']:,}; {found['buy_signals']:,} buy and {found['sell_signals']:,} sell signals"


def _span(found: Mapping[str, Any]) -> str:
    first, last = (format.moment(datetime.fromisoformat(found[name])) for name in ("first", "last"))
    return f"{first} → {last} UTC"


def _change(value: float | None) -> str:
    return "–" if value is None else format.change(value)


def _number(value: float | None) -> str:
    return "–" if value is None else format.number(value)


def verdict(found: Mapping[str, Any]) -> str:
    """An audit: its verdict, how each check ended, how much was looked at; `found` is its JSON object."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{format.plain(bars)}</td></tr>'
        for name, bars in found["warm_up"].items()
    )
    table = f'<table><thead><tr><th></th><th scope="col">bars</th></tr></thead><tbody>{body}</tbody></table>'
    warm_up = more("Warm-up: bars that each column needs before the start", table) if body else ""
    title = f"Audit: {found['strategy']} on {found['symbol']} {found['interval']}"
    rows = [("verdict", format.spaced(found["verdict"])), *_checks(found)]
    return card(title, facts(rows), warm_up, symbol=found["symbol"])


def verdict_text(found: Mapping[str, Any]) -> str:
    """The same as a few lines for a prompt."""
    word = format.spaced(found["verdict"])
    title = f"Audit: {found['strategy']} on {found['symbol']} {found['interval']}: {word}"
    return listed(title, _checks(found), found["symbol"])


def _checks(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    ended = [
        (format.spaced(name), f"{format.spaced(check['verdict'])}: {check['detail']}")
        for name, check in found["checks"].items()
    ]
    return [*ended, ("bars", f"{found['bars']:,} of {found['of_bars']:,}"), ("cuts", found["cuts"])]


def run(found: Mapping[str, Any]) -> str:
    """A run, from its JSON object: the summary of its signals, what each step wrote, where the page is."""
    values = found["metrics"]
    wrote = ", ".join(f"{count:,} to {layer}" for layer, count in found["written"].items())
    also = [("files written", wrote), ("audit", found["audit"]), ("page", found["report"])]
    return summary("Run", found, {values["fill"]: values}, also)
