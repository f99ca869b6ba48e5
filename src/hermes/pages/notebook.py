"""The display of results in notebooks and at a Python prompt: compact, escaped, simulated markets labelled."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from hermes.dataset import is_simulated
from hermes.measures import shown_measures
from hermes.pages import format, measures
from hermes.pages.measures import Measures
from hermes.pages.rendering import render
from hermes.text import counted

SIMULATED = "SIMULATED MARKET"
_SYNTHETIC = "synthetic prices; nothing here says how a strategy trades"
_FRAME_HEIGHT = 900  # pixels of an inline page: the headline and the price panel

#: The rows of the compact table: measures by name; all of them are one click away.
_SHOWN = ("total_return_pct", "cagr_pct", "max_drawdown_pct", "sharpe", "trades", "win_rate_pct", "exposure_pct",
          "fees_paid")  # fmt: skip


def text(kind: str, found: Mapping[str, Any]) -> str:
    """A few lines for a prompt.

    Args:
        kind: name of the result.
        found: the JSON object of one dataset: counts, span, metrics with the configured fill, maybe a path.
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
    label = [f"  {SIMULATED}: {_SYNTHETIC}"] if is_simulated(symbol) else []
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
    """One result: its title, the label where its market is simulated, then the parts."""
    simulated = SIMULATED if is_simulated(symbol) else ""
    return str(render("card.html", title=title, simulated=simulated, synthetic=_SYNTHETIC, parts=parts))


def facts(rows: Sequence[tuple[str, Any]]) -> Markup:
    """Names and values."""
    return render("card_facts.html", rows=rows)


def more(title: str, content: str) -> Markup:
    """HTML that expands on a click."""
    return render("card_more.html", title=title, content=content)


def inline(page: str) -> str:
    """A whole page within a notebook, isolated in a frame; it loads nothing."""
    return str(render("inline.html", page=page, height=_FRAME_HEIGHT))


def _table(fill: str, fills: Mapping[str, Measures], symbol: str) -> Markup:
    """The compact table, the configured fill first and holding last, and all measures on a click."""
    order = sorted(fills, key=lambda name: name != fill)
    columns = {f"filled at the {format.spaced(name)}": fills[name] for name in order}
    known = {measure.name: measure for measure in shown_measures()}
    holding = {"total_return_pct": _change(fills[fill]["benchmark_return_pct"])}
    rows = [
        (
            known[key].label,
            [*(measures.cell(known[key], values) for values in columns.values()), (holding.get(key, ""), [])],
        )
        for key in _SHOWN
    ]
    table = render("card_table.html", heads=[*columns, "holding"], rows=rows)
    return table + more("All measures", measures.table(columns, format.quote_currency(symbol)))


def _few(values: Measures) -> str:
    return format.few_trades(values["trades"]) if values["trades"] else "it never traded"


def _trades(values: Measures) -> str:
    return _few(values) or counted(values["trades"], "trade")


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
    """An audit: its verdict, the result of each check, how much was examined; `found` is its JSON object."""
    rows = [(name, [(format.plain(bars), ())]) for name, bars in found["warm_up"].items()]
    table = render("card_table.html", heads=["bars"], rows=rows)
    warm_up = [more("Warm-up: bars that each column needs before the start", table)] if rows else []
    title = f"Audit: {found['strategy']} on {found['symbol']} {found['interval']}"
    said = facts([("verdict", format.spaced(found["verdict"])), *_checks(found)])
    return card(title, said, *warm_up, symbol=found["symbol"])


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
