"""The panels of a page as Bokeh figures: one time axis, one crosshair, y axes that follow what is in view."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Any

import numpy as np
import polars as pl
from bokeh.document import Document
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.models import ColumnDataSource, FixedTicker, Range1d
from bokeh.models.annotations import BoxAnnotation
from bokeh.plotting import figure
from bokeh.resources import Resources
from bokeh.transform import linear_cmap

from hermes.pages import format
from hermes.pages.candles import Layout
from hermes.pages.panel import DOWN, HOLDING, LINES, SHADE, UP, Board, milliseconds, small


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: the element it is drawn into, and the colour of everything on it, for the legend."""

    name: str
    element: str
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Charts:
    """All panels, and the JSON that the page's script hands to Bokeh."""

    panels: Mapping[str, Panel]
    json: str


def runtime() -> str:
    """Bokeh's own scripts, whole, to be part of the page: it asks no server for anything."""
    return Resources(mode="inline", components=["bokeh", "bokeh-gl"], log_level="error").render_js()


def charts(
    bars: pl.DataFrame,
    marks: pl.DataFrame,
    held: pl.DataFrame,
    layout: Layout,
    interval: timedelta,
    band: tuple[float, float] | None,
) -> Charts:
    """Draw the panels `price`, `bounded`, `other` (where there are such columns), `equity` and `drawdown`.

    Args:
        bars: as `frames.together` returns them, and the trend's line where it is known.
        marks: as `frames.marks` returns them.
        held: `start, end`: when the position was held.
        layout: which indicator goes where.
        interval: of one candle.
        band: the neutral part of the bounded indicators, or None.
    """
    board = Board(bars, interval)
    panels = [_price(board, marks, held, layout)]
    if layout.bounded:
        panels.append(_bounded(board, layout.bounded, band))
    if layout.other:
        panels.append(_lines(board, "other", layout.other))
    panels += [_equity(board, held), _drawdown(board)]
    document = Document()
    for plot, _ in panels:
        document.add_root(plot)
    documents, items = standalone_docs_json_and_render_items(document)
    item: dict[str, Any] = items[0].to_json()
    elements = item["roots"]
    return Charts(
        {name: Panel(name, elements[plot.id], keys) for plot, keys in panels if (name := plot.name)},
        # A "<" could end the script element that the JSON stands in.
        json.dumps({"documents": documents, "items": [item]}, separators=(",", ":")).replace("<", "\\u003c"),
    )


def _price(board: Board, marks: pl.DataFrame, held: pl.DataFrame, layout: Layout) -> tuple[figure, dict[str, str]]:
    """Candles, the lines that have the unit of the price, the trend coloured by its direction, and the signals."""
    trend = layout.trend if layout.trend in board.bars.columns else None
    source = board.source(["open", "high", "low", "close", *layout.price, *([trend] if trend else [])], board.decimals)
    plot = board.empty("price", source, "0,0.[00000000]", log=True)
    shaded = _shade(plot, held)
    candles = _candles(board, plot, source)
    keys = {"candle up": UP, "candle down": DOWN}
    for name, line_color in zip(layout.price, cycle(LINES), strict=False):
        plot.line("time", name, source=source, line_color=line_color, line_width=1.4, name=name)
        keys[format.indicator(name)] = line_color
    if trend and layout.direction:
        for name, way, line_color in (("up", 1, UP), ("down", -1, DOWN)):
            column = f"{trend} {name}"
            source.data[column] = np.where(board.bars[layout.direction] == way, source.data[trend], np.nan)
            plot.line("time", column, source=source, line_color=line_color, line_width=2, line_alpha=0.85, name=column)
            keys[f"{format.indicator(trend)} {name}"] = line_color
    keys = _marks(plot, marks, board.decimals) | keys | shaded

    digits = "{0,0." + "0" * board.decimals + "}"
    shown = ["open", "high", "low", "close", *layout.price, *([trend] if trend else [])]
    board.hover(plot, candles, [(format.indicator(name), f"@{{{name}}}{digits}") for name in shown])
    return plot, keys


def _candles(board: Board, plot: figure, source: ColumnDataSource) -> Any:
    """Wicks, bodies, and a dash where open and close are one price, which leaves no body."""
    bars = board.bars
    source.data["rising"] = (bars["close"] >= bars["open"]).cast(pl.UInt8).to_numpy()
    color = linear_cmap("rising", [DOWN, UP], 0, 1)
    plot.segment("time", "low", "time", "high", source=source, line_color=color)
    still = (bars["open"] == bars["close"]).to_numpy()
    left, right = (board.times[still] + side * board.width for side in (-0.35, 0.35))
    level = bars["close"].to_numpy()[still]
    plot.segment("left", "level", "right", "level", line_color=UP,
                 source=ColumnDataSource({"left": left, "right": right, "level": level}))  # fmt: skip
    return plot.vbar(
        "time", board.width * 0.7, "open", "close", source=source, fill_color=color, line_color=None, name="candles"
    )


def _marks(plot: figure, marks: pl.DataFrame, decimals: int) -> dict[str, str]:
    """Signals at their exact times: solid where they changed the position, hollow where there was nothing to change."""
    keys = {}
    styles = (
        ("idle_buy", "triangle", UP, 6),
        ("idle_sell", "inverted_triangle", DOWN, 6),
        ("sell", "inverted_triangle", DOWN, 11),
        ("buy", "triangle", UP, 11),
    )
    for kind, marker, color, size in styles:
        of_kind = marks.filter(kind=kind)
        if of_kind.is_empty():
            continue
        idle = kind.startswith("idle")
        plot.scatter(
            "time",
            "price",
            source=ColumnDataSource(
                {"time": milliseconds(of_kind["datetime"]), "price": small(of_kind["price"], decimals)}
            ),
            marker=marker,
            size=size,
            line_color=color if idle else "white",
            line_alpha=0.6 if idle else 1,
            fill_color=None if idle else color,
            name=kind,
        )
        keys[kind] = color
    return dict(reversed(keys.items()))


def _bounded(board: Board, names: Sequence[str], band: tuple[float, float] | None) -> tuple[figure, dict[str, str]]:
    """Indicators from 0 to 100, and the band in which they are neutral."""
    plot, keys = _lines(board, "bounded", names)
    plot.y_range = Range1d(start=0, end=100)
    plot.yaxis.ticker = FixedTicker(ticks=[0, 20, 40, 60, 80, 100])
    if band:
        plot.add_layout(
            BoxAnnotation(bottom=band[0], top=band[1], fill_color=HOLDING, fill_alpha=2 * SHADE, line_color=None)
        )
        keys["neutral band"] = HOLDING
    return plot, keys


def _lines(board: Board, name: str, names: Sequence[str]) -> tuple[figure, dict[str, str]]:
    """A panel of plain lines."""
    source = board.source(names, 4)
    plot = board.empty(name, source, "0,0.[0000]")
    colors = dict(zip(names, cycle(LINES), strict=False))
    drawn = [plot.line("time", each, source=source, line_color=colors[each], line_width=1.2) for each in names]
    board.hover(plot, drawn[0], [(format.indicator(each), f"@{{{each}}}{{0,0.00}}") for each in names])
    return plot, {format.indicator(each): color for each, color in colors.items()}


def _equity(board: Board, held: pl.DataFrame) -> tuple[figure, dict[str, str]]:
    """The account beside holding, on a log axis: equal steps are equal percentages."""
    source = board.source(["equity", "benchmark"], 2)
    plot = board.empty("equity", source, "0,0.[00]", log=True)
    keys = _shade(plot, held)
    plot.line("time", "benchmark", source=source, line_color=HOLDING, line_width=1.4)
    equity = plot.line("time", "equity", source=source, line_color=UP, line_width=2.2)
    board.hover(plot, equity, [("strategy", "@equity{0,0.00}"), ("holding", "@benchmark{0,0.00}")])
    return plot, {"equity": UP, "benchmark": HOLDING, **keys}


def _drawdown(board: Board) -> tuple[figure, dict[str, str]]:
    """How far the account and holding stand below their highest value so far."""
    below = {name: -small(board.bars[name], 2) for name in ("drawdown_pct", "benchmark_drawdown_pct")}
    source = ColumnDataSource({"time": board.times, **below})
    plot = board.empty("drawdown", source, "0,0.[00]")
    plot.line("time", "benchmark_drawdown_pct", source=source, line_color=HOLDING, line_width=1.2)
    plot.varea("time", "drawdown_pct", y2=0, source=source, fill_color=DOWN, fill_alpha=2 * SHADE)
    line = plot.line("time", "drawdown_pct", source=source, line_color=DOWN, line_width=1.6)
    rows = [("strategy", "@drawdown_pct{0.00} %"), ("holding", "@benchmark_drawdown_pct{0.00} %")]
    board.hover(plot, line, rows)
    return plot, {"drawdown": DOWN, "benchmark drawdown": HOLDING}


def _shade(plot: figure, held: pl.DataFrame) -> dict[str, str]:
    """Stripes behind the time in which the position was held."""
    if held.is_empty():
        return {}
    source = ColumnDataSource({"start": milliseconds(held["start"]), "end": milliseconds(held["end"])})
    plot.vstrip("start", "end", source=source, fill_color=UP, fill_alpha=SHADE, line_color=None, name="held")
    return {"held": UP}
