"""The panels of an account: equity beside others on one scale, drawdown, rolling Sharpe ratio, positions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from bokeh.models import BasicTicker, ColumnDataSource
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from hermes.pages.charts import Drawn, Key
from hermes.pages.panel import DOWN, HOLDING, SHADE, UP, PanelBuilder, milliseconds, small


class Line(NamedTuple):
    """A line over time: its name in the legend, and its style."""

    label: str
    color: str
    width: float = 1.4


#: The account itself is the last of them, and so lies over the others.
ACCOUNT: Mapping[str, Line] = {"benchmark": Line("holding", HOLDING), "equity": Line("strategy", UP, 2.2)}
DRAWDOWNS: Mapping[str, Line] = {
    "benchmark_drawdown_pct": Line("holding", HOLDING, 1.2),
    "drawdown_pct": Line("strategy", DOWN, 1.6),
}
SHARPES: Mapping[str, Line] = {"benchmark_sharpe": Line("holding", HOLDING, 1.2), "sharpe": Line("strategy", UP, 1.6)}


def suffixed(lines: Mapping[str, Line], suffix: str) -> dict[str, Line]:
    """The same lines over the columns with this suffix."""
    return {f"{name}{suffix}": line for name, line in lines.items()}


def equity_panel(
    builder: PanelBuilder, lines: Mapping[str, Line], unit: str, held: pl.DataFrame | None = None
) -> Drawn:
    """Equities on a log axis, all of them 100 where the view begins: the page's script rebases them as it moves.

    Args:
        builder: its rows have the columns named in `lines`, in the account's money.
        held: `start, end, side`: when a position was held.
    """
    amounts = {name: small(builder.bars[name], 2) for name in lines}
    indexed = {f"{name} index": _rebased(builder.bars[name]) for name in lines}
    source = ColumnDataSource({"time": builder.times, **amounts, **indexed})
    plot = builder.empty("equity", source, "0,0.[00]", log=True, columns=list(indexed), tags=["rebased"])
    shaded = [] if held is None else shade(plot, held)
    for name, line in lines.items():
        drawn = plot.line("time", f"{name} index", source=source, line_color=line.color, line_width=line.width)
    rows = [(line.label, f"@{{{name}}}{{0,0.00}} (@{{{name} index}}{{0,0.0}})") for name, line in lines.items()]
    builder.hover(plot, drawn, rows[::-1])
    note = ", ".join(each for each in ("100 where the view begins", "log scale", unit) if each)
    return Drawn(plot, "Equity against holding", note, [*_keys(lines), *shaded])


def drawdown_panel(builder: PanelBuilder, lines: Mapping[str, Line] = DRAWDOWNS) -> Drawn:
    """How far accounts stand below their highest value so far; the last of the lines is filled."""
    below = {name: -small(builder.bars[name], 2) for name in lines}
    source = ColumnDataSource({"time": builder.times, **below})
    plot = builder.empty("drawdown", source, "0,0.[00]")
    *_, main = lines
    plot.varea("time", main, y2=0, source=source, fill_color=lines[main].color, fill_alpha=2 * SHADE)
    for name, line in lines.items():
        drawn = plot.line("time", name, source=source, line_color=line.color, line_width=line.width)
    rows = [(line.label, f"@{{{name}}}{{0.00}} %") for name, line in lines.items()]
    builder.hover(plot, drawn, rows[::-1])
    return Drawn(plot, "Drawdown", "%", _keys(lines))


def sharpe_panel(builder: PanelBuilder, window: str, lines: Mapping[str, Line] = SHARPES) -> Drawn:
    """The rolling Sharpe ratio; `window` is its length in words."""
    source = builder.source(lines, 3)
    plot = builder.empty("sharpe", source, "0.[00]")
    plot.add_layout(Span(location=0, dimension="width", line_color=HOLDING, line_dash="dotted", line_width=1))
    for name, line in lines.items():
        drawn = plot.line("time", name, source=source, line_color=line.color, line_width=line.width)
    builder.hover(plot, drawn, [(line.label, f"@{{{name}}}{{0.00}}") for name, line in lines.items()][::-1])
    return Drawn(plot, "Rolling Sharpe", f"of {window} up to each bar, per year", _keys(lines))


def positions_panel(builder: PanelBuilder) -> Drawn:
    """How many positions were held."""
    source = ColumnDataSource({"time": builder.times, "positions": small(builder.bars["positions"], 0)})
    plot = builder.empty("positions", source, "0", tags=["from 0"])
    plot.yaxis.ticker = BasicTicker(min_interval=1)
    drawn = plot.step("time", "positions", source=source, line_color=UP, line_width=1.2, mode="after")
    builder.hover(plot, drawn, [("positions", "@positions")])
    return Drawn(plot, "Positions held", "", [])


def mark_times(plot: figure, times: Sequence[datetime]) -> None:
    """Vertical lines at these times."""
    for each in milliseconds(pl.Series(times, dtype=pl.Datetime("us"))).tolist():
        plot.add_layout(Span(location=each, dimension="height", line_color=HOLDING, line_dash="dotted", line_width=1))


def shade(plot: figure, held: pl.DataFrame) -> list[Key]:
    """Shade the periods in which a position was held: `start, end, side`."""
    keys = []
    for side, color, label in (("long", UP, "long"), ("short", DOWN, "short")):
        of_side = held.filter(side=side)
        if of_side.is_empty():
            continue
        source = ColumnDataSource({"start": milliseconds(of_side["start"]), "end": milliseconds(of_side["end"])})
        plot.vstrip("start", "end", source=source, fill_color=color, fill_alpha=SHADE, line_color=None, name=label)
        keys.append(Key(f"{label} position held", color, "held"))
    return keys


def _rebased(values: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Values scaled to 100 at the first bar; null if that is not above 0."""
    first = values[0]
    amounts = values.to_numpy()
    return (100 * amounts / first if first > 0 else np.full(len(amounts), np.nan)).astype(np.float32)


def _keys(lines: Mapping[str, Line]) -> list[Key]:
    return [Key(line.label, line.color) for line in lines.values()][::-1]
