"""A walk forward as one self-contained HTML file: out-of-sample results of parameters chosen in the past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from hermes.pages import format, measures
from hermes.pages.account_chart import Line, drawdown_panel, equity_panel, mark_times, suffixed
from hermes.pages.account_curve import account_builder
from hermes.pages.charts import Drawn, chart_page
from hermes.pages.measures import Measures
from hermes.pages.panel import DOWN, HOLDING, UP
from hermes.pages.rendering import Tile
from hermes.text import counted

_LINES = {
    "holding": Line("holding", HOLDING),
    "in_sample": Line("best in hindsight", DOWN),
    "out_of_sample": Line("out of sample", UP, 2.2),
}


@dataclass(frozen=True, slots=True)
class WalkForwardPage:
    """The content of the page of a walk forward.

    Attributes:
        interval: of the bars; account: its terms, as in `format.terms`.
        by: the measure to choose by; train, test: spans, as given; anchored: whether the training window
            always begins at the first bar.
        trials: number of combinations tried; skipped: number that the strategy refused.
        varied: the parameters that have several values; fixed: the others.
        trial: the feature set that was read, see `format.feature_set`.
        windows: as `steps.search.walkforward.Walked.windows` gives them.
        columns: heading → measures, the first of them out of sample with the configured fill.
        findings: the verdict, as pairs of a heading and a text.
        curve: see `WalkForward.curve`.
    """

    title: str
    simulated: bool
    interval: str
    account: Mapping[str, Any]
    by: str
    train: str
    test: str
    anchored: bool
    trials: int
    skipped: int
    varied: Sequence[str]
    fixed: Mapping[str, Any]
    windows: Sequence[Mapping[str, Any]]
    columns: Mapping[str, Measures]
    findings: Sequence[tuple[str, str]]
    curve: pl.DataFrame
    trial: Mapping[str, Any] | None = None


def walk_forward_page(made: WalkForwardPage) -> str:
    """The whole page."""
    out_of_sample = next(iter(made.columns.values()))
    return chart_page(
        "walk_forward.html",
        f"{made.title}: walk forward",
        _charts(made),
        made=made,
        tiles=_tiles(made, out_of_sample),
        first=made.curve["datetime"][0],
        last=made.curve["datetime"][-1],
        bars=made.curve.height,
        few=format.few_trades(out_of_sample["trades"]),
        measures=measures.table(made.columns, ""),
        by=measures.label(made.by),
        windows=[_window(each, made.by) for each in made.windows],
    )


def _charts(made: WalkForwardPage) -> list[Drawn]:
    """Equities and drawdowns, with a line where each window begins."""
    names = [name for name in _LINES if made.curve[name].null_count() == 0]
    lines = {name: _LINES[name] for name in names}
    builder = account_builder(made.curve.select("datetime", *names), names, made.interval)
    drawn = [equity_panel(builder, lines, ""), drawdown_panel(builder, suffixed(lines, "_drawdown_pct"))]
    for each in drawn:
        mark_times(each.plot, [datetime.fromisoformat(window["first"]) for window in made.windows])
    return drawn


def _tiles(made: WalkForwardPage, found: Measures) -> list[Tile]:
    few = format.few_trades(found["trades"]) if found["trades"] else "it never traded"
    best = made.columns.get("Best in hindsight")
    hindsight = measures.shown("total_return_pct", best["total_return_pct"]) if best else "–"
    returned, held, fall, sharpe = (
        measures.shown(name, found[name])
        for name in ("total_return_pct", "benchmark_return_pct", "max_drawdown_pct", "sharpe")
    )
    return [
        Tile("Out of sample", returned, f"best in hindsight {hindsight}", "main"),
        Tile("Holding instead", held, "over the same bars"),
        Tile("Max drawdown", fall, "out of sample"),
        Tile("Sharpe", sharpe, few or counted(found["trades"], "trade"), "warn" if few else ""),
    ]


def _window(each: Mapping[str, Any], by: str) -> tuple[str, ...]:
    chosen = each["parameters"]
    return (
        f"{each['first'][:10]} to {each['last'][:10]}",
        "none" if chosen is None else ", ".join(f"{name} = {format.plain(value)}" for name, value in chosen.items()),
        measures.shown(by, each[f"train_{by}"]),
        measures.shown(by, each[by]),
        measures.shown("total_return_pct", each["total_return_pct"]),
        measures.shown("benchmark_return_pct", each["benchmark_return_pct"]),
        format.few_trades(each["trades"]) or format.count(each["trades"]),
    )
