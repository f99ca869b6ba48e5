"""The section "On the record" of an execution's page: live decisions, and the paper account beside the backtest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from hermes.pages import format
from hermes.pages.rendering import render

_WIDTH, _HEIGHT = 960, 220
_EDGE = 8


def section(record: Mapping[str, Any]) -> Markup:
    """The section's content as HTML.

    Args:
        record: `rows, first, last, late, head`, and where the record was compared with today: `causes` (how many
            bars differ from each), `changes`, `account` (see `record.paper.Tracking.as_json`, or None) and `equity`,
            rows of `paper, backtest`; else `note`, which says why not.
    """
    account = record.get("account")
    return render(
        "record.html",
        record=record,
        unexplained=record.get("causes", {}).get("unexplained", 0),
        note=record.get("note"),
        account=account,
        chart=account and _chart(record["equity"]),
        accounts=account and _accounts(account["paper"], account["backtest"]),
        causes=account and _causes(account["by_cause"]),
        changes=record.get("changes", ()),
    )


def _accounts(paper: Mapping[str, Any], backtest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    both = paper, backtest
    return [
        ("Return", *(format.change(each["total_return_pct"]) for each in both)),
        ("Max drawdown", *(_or_dash(each["max_drawdown_pct"]) for each in both)),
        ("Trades", *(format.count(each["trades"]) for each in both)),
    ]


def _causes(causes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (each["cause"], format.count(each["bars"]), format.change(each["return_pct"]), f"{each['trades']:+,}")
        for each in causes
        if each["bars"]
    ]


def _chart(equity: Sequence[Mapping[str, float]]) -> Markup | None:
    """Both equities as lines; the backtest is dashed."""
    if len(equity) < 2:
        return None
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
    return render("record_chart.svg", width=_WIDTH, height=_HEIGHT, **points)


def _or_dash(value: float | None) -> str:
    return "–" if value is None else format.percent(value)
