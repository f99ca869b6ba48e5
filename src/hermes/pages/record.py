"""The section "On the record" of an execution's page: what was decided live, on paper beside the backtest."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from hermes.pages import format

_WIDTH, _HEIGHT = 960, 220
_EDGE = 8


def section(record: Mapping[str, Any]) -> str:
    """The section's content as HTML.

    Args:
        record: `rows, first, last, late, head`, and where the record was compared with today: `causes` (how many
            bars differ from each), `changes`, `account` (see `record.paper.Tracking.as_json`, or None) and `equity`,
            rows of `paper, backtest`; else `note`, which says why not.
    """
    parts = [_said(record)]
    if record.get("note"):
        parts.append(f'<p class="soft">Not compared with today: {escape(record["note"])}</p>')
    if account := record.get("account"):
        parts += [_chart(record["equity"]), _accounts(account), _causes(account)]
    for change in record.get("changes", ()):
        parts.append(
            f"<p>{escape(change['what'])} changed at {escape(change['datetime'])}: "
            f"<code>{escape(change['before'])}</code> → <code>{escape(change['after'])}</code></p>"
        )
    return "".join(parts)


def _said(record: Mapping[str, Any]) -> str:
    late = f", {record['late']:,} of them late" if record["late"] else ", none of them late"
    unexplained = record.get("causes", {}).get("unexplained", 0)
    warning = f'<p class="warn">{unexplained:,} differences from today have no cause.</p>' if unexplained else ""
    first, last, head = (escape(record[name]) for name in ("first", "last", "head"))
    return (
        f"<p>{record['rows']:,} decisions from {first} to {last}{late}. Newest hash: <code>{head}</code>. "
        f"Kept elsewhere, it proves later that nothing before it was changed.</p>{warning}"
    )


def _accounts(account: Mapping[str, Any]) -> str:
    paper, backtest = account["paper"], account["backtest"]
    rows = [
        ("Return", *(format.change(each["total_return_pct"]) for each in (paper, backtest))),
        ("Max drawdown", *(_or_none(each["max_drawdown_pct"]) for each in (paper, backtest))),
        ("Trades", *(f"{each['trades']:,}" for each in (paper, backtest))),
    ]
    error = account["tracking_error_pct"]
    told = "not known yet" if error is None else f"{format.percent(error)} a year"
    return (
        _table(("", "On paper", "Backtest"), rows)
        + f'<p class="soft">Both filled at the next open, over {account["bars"]:,} bars that both have. Tracking error '
        f"(deviation of the difference of their returns): {told}.</p>"
    )


def _causes(account: Mapping[str, Any]) -> str:
    rows = [
        (escape(each["cause"]), f"{each['bars']:,}", format.change(each["return_pct"]), f"{each['trades']:+,}")
        for each in account["by_cause"]
        if each["bars"]
    ]
    if not rows:
        return '<p class="soft">No bar differs from what today\'s bars and rules decide.</p>'
    return _table(("Why they differ", "Bars", "Return, points", "Trades"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{value}</td>" for value in row[1:])}</tr>' for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _chart(equity: Sequence[Mapping[str, float]]) -> str:
    """Both equities as lines; the backtest is dashed."""
    if len(equity) < 2:
        return ""
    lines = {name: np.array([row[name] for row in equity]) for name in ("backtest", "paper")}
    low = min(line.min() for line in lines.values())
    span = max(line.max() for line in lines.values()) - low or 1.0
    x = np.linspace(_EDGE, _WIDTH - _EDGE, len(equity))
    points = {
        name: " ".join(
            f"{a:.1f},{_HEIGHT - _EDGE - (b - low) / span * (_HEIGHT - 2 * _EDGE):.1f}"
            for a, b in zip(x, line, strict=True)
        )
        for name, line in lines.items()
    }
    return (
        f'<svg class="record" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" style="width:100%;height:auto" '
        f'aria-label="Equity on paper (solid) and in the backtest (dashed)" fill="none">'
        f'<polyline stroke="var(--soft)" stroke-width="1.5" stroke-dasharray="6 4" points="{points["backtest"]}"/>'
        f'<polyline stroke="var(--up)" stroke-width="2" points="{points["paper"]}"/></svg>'
        '<p class="soft">Equity on paper (solid) and in the backtest (dashed).</p>'
    )


def _or_none(value: float | None) -> str:
    return "–" if value is None else format.percent(value)
