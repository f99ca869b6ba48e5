"""The panels of a page as Bokeh figures: one time axis, one crosshair, y axes that follow what is in view."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Any

import numpy as np
import polars as pl
from bokeh.document import Document
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.models import (
    ColumnDataSource,
    CrosshairTool,
    DatetimeTickFormatter,
    FixedTicker,
    HoverTool,
    NumeralTickFormatter,
    PanTool,
    Range1d,
    WheelZoomTool,
)
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.plotting import figure
from bokeh.resources import Resources
from bokeh.transform import linear_cmap

from hermes.report import words
from hermes.report.frames import Layout

# A palette that stays apart for colour-blind eyes, on white and on black: blue and orange, never green and red.
UP, DOWN = "#2f81c7", "#dd6b20"
LINES = ("#b07cc6", "#b8982f", "#4aa3a2", "#c76b8f", "#7d8bb5", "#8a9a5b")
HOLDING = "#8b93a1"
SHADE = 0.13
_SOFT, _GRID = "rgb(93, 101, 115)", "rgb(236, 238, 242)"  # page.css, light; the page's script changes them for dark
_EDGE = 66  # pixels kept for the y axis, the same on every panel, so that times stand below each other


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
    board = _Board(bars, interval)
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


class _Board:
    """What the panels share: the bars, the time axis, the crosshair."""

    def __init__(self, bars: pl.DataFrame, interval: timedelta) -> None:
        self.bars = bars
        self.times = milliseconds(bars["datetime"])
        self.width = interval.total_seconds() * 1000
        self.decimals = words.price_decimals(_number(bars["high"].max()))
        start, end = self.times[0] - self.width, self.times[-1] + self.width
        pad = (end - start) * 0.01
        bounds = (start - pad, end + pad)
        self.x_range = Range1d(start=bounds[0], end=bounds[1], bounds=bounds, min_interval=8 * self.width, name="time")
        self.cursor = Span(
            location=np.nan, dimension="height", line_width=1, line_color=_SOFT, line_dash="dotted", name="cursor"
        )

    def source(self, names: Iterable[str], decimals: int) -> ColumnDataSource:
        """The named columns over time, rounded to what is shown of them."""
        columns = {name: small(self.bars[name], decimals) for name in names}
        return ColumnDataSource({"time": self.times, **columns})

    def empty(self, name: str, source: ColumnDataSource, values: str, *, log: bool = False) -> figure:
        """An empty panel over one source, with all its columns in view; `values` is how its axis writes numbers.

        The page's script keeps the y axis to what is in view of the columns that the range is tagged with. (Bokeh's own
        `window_axis` does not work on log axes.)
        """
        source.name = f"{name} bars"
        columns = [column for column in source.data if column != "time"]
        zoom = WheelZoomTool(dimensions="width", modifiers="ctrl")
        pan = PanTool(dimensions="width")
        plot = figure(
            name=name,
            x_range=self.x_range,
            x_axis_type="datetime",
            y_range=_around(source, columns, log=log),
            y_axis_type="log" if log else "linear",
            y_axis_location="right",
            tools=[pan, zoom, CrosshairTool(overlay=self.cursor)],
            active_drag=pan,
            active_scroll=zoom,
            toolbar_location=None,
            sizing_mode="stretch_both",
            output_backend="webgl",
            min_border_left=24,  # half a date
            min_border_right=_EDGE,
            min_border_top=6,
            min_border_bottom=24,
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
        )
        plot.xaxis.formatter = DatetimeTickFormatter(
            minutes="%H:%M",
            hourmin="%H:%M",
            hours="%H:%M",
            days="%d %b",
            months="%b %Y",
            years="%Y",
            strip_leading_zeros=["days"],
        )
        plot.yaxis.formatter = NumeralTickFormatter(format=values)
        if log:
            plot.yaxis.ticker = FixedTicker(ticks=[], tags=["log"])  # the page's script finds round ones
        plot.axis.axis_line_color = None
        plot.axis.major_tick_line_color = None
        plot.axis.minor_tick_line_color = None
        plot.axis.major_label_text_font_size = "11px"
        plot.axis.major_label_text_font = "system-ui, sans-serif"
        plot.axis.major_label_text_color = _SOFT
        plot.ygrid.grid_line_color = _GRID
        plot.xgrid.grid_line_color = None
        return plot

    def hover(self, plot: figure, renderer: Any, rows: Sequence[tuple[str, str]]) -> None:
        """Show values at the bar under the pointer: (label, field with its format)."""
        cells = "".join(
            f'<span style="color:var(--soft)">{label}</span><span style="text-align:right">{value}</span>'
            for label, value in rows
        )
        tip = (
            '<div style="margin:-5px;padding:8px 10px;background:var(--card);color:var(--ink);border-radius:4px;'
            "font:12px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums;display:grid;"
            'grid-template-columns:auto auto;gap:0 14px">'
            f'<b style="grid-column:1/-1">@time{{%F %H:%M}} UTC</b>{cells}</div>'
        )
        plot.add_tools(
            HoverTool(
                renderers=[renderer], tooltips=tip, formatters={"@time": "datetime"}, mode="vline", show_arrow=False
            )
        )


def _price(board: _Board, marks: pl.DataFrame, held: pl.DataFrame, layout: Layout) -> tuple[figure, dict[str, str]]:
    """Candles, the lines that have the unit of the price, the trend coloured by its direction, and the signals."""
    trend = layout.trend if layout.trend in board.bars.columns else None
    source = board.source(["open", "high", "low", "close", *layout.price, *([trend] if trend else [])], board.decimals)
    plot = board.empty("price", source, "0,0.[00000000]", log=True)
    shaded = _shade(plot, held)
    candles = _candles(board, plot, source)
    keys = {"candle up": UP, "candle down": DOWN}
    for name, line_color in zip(layout.price, cycle(LINES), strict=False):
        plot.line("time", name, source=source, line_color=line_color, line_width=1.4, name=name)
        keys[words.indicator(name)] = line_color
    if trend and layout.direction:
        for name, way, line_color in (("up", 1, UP), ("down", -1, DOWN)):
            column = f"{trend} {name}"
            source.data[column] = np.where(board.bars[layout.direction] == way, source.data[trend], np.nan)
            plot.line("time", column, source=source, line_color=line_color, line_width=2, line_alpha=0.85, name=column)
            keys[f"{words.indicator(trend)} {name}"] = line_color
    keys = _marks(plot, marks, board.decimals) | keys | shaded

    digits = "{0,0." + "0" * board.decimals + "}"
    shown = ["open", "high", "low", "close", *layout.price, *([trend] if trend else [])]
    board.hover(plot, candles, [(words.indicator(name), f"@{{{name}}}{digits}") for name in shown])
    return plot, keys


def _candles(board: _Board, plot: figure, source: ColumnDataSource) -> Any:
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


def _bounded(board: _Board, names: Sequence[str], band: tuple[float, float] | None) -> tuple[figure, dict[str, str]]:
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


def _lines(board: _Board, name: str, names: Sequence[str]) -> tuple[figure, dict[str, str]]:
    """A panel of plain lines."""
    source = board.source(names, 4)
    plot = board.empty(name, source, "0,0.[0000]")
    colors = dict(zip(names, cycle(LINES), strict=False))
    drawn = [plot.line("time", each, source=source, line_color=colors[each], line_width=1.2) for each in names]
    board.hover(plot, drawn[0], [(words.indicator(each), f"@{{{each}}}{{0,0.00}}") for each in names])
    return plot, {words.indicator(each): color for each, color in colors.items()}


def _equity(board: _Board, held: pl.DataFrame) -> tuple[figure, dict[str, str]]:
    """The account beside holding, on a log axis: equal steps are equal percentages."""
    source = board.source(["equity", "benchmark"], 2)
    plot = board.empty("equity", source, "0,0.[00]", log=True)
    keys = _shade(plot, held)
    plot.line("time", "benchmark", source=source, line_color=HOLDING, line_width=1.4)
    equity = plot.line("time", "equity", source=source, line_color=UP, line_width=2.2)
    board.hover(plot, equity, [("strategy", "@equity{0,0.00}"), ("holding", "@benchmark{0,0.00}")])
    return plot, {"equity": UP, "benchmark": HOLDING, **keys}


def _drawdown(board: _Board) -> tuple[figure, dict[str, str]]:
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


def _around(source: ColumnDataSource, columns: list[str], *, log: bool) -> Range1d:
    """A range with all values of the columns in it and some room, tagged with the columns."""
    low = min((float(np.nanmin(source.data[each], initial=np.inf)) for each in columns), default=0.0)
    high = max(float(np.nanmax(source.data[each], initial=-np.inf)) for each in columns)
    if log:
        room = (high / low) ** 0.06
        return Range1d(start=low / room, end=high * room, tags=columns)
    room = 0.06 * (high - low)
    return Range1d(start=low - room, end=high + room, tags=columns)


def milliseconds(times: pl.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Times as Bokeh has them: milliseconds since 1970."""
    return times.dt.epoch("us").to_numpy() / 1000


def small(values: pl.Series, decimals: int) -> np.ndarray[Any, Any]:
    """Values rounded to what is shown of them, in half the bytes where that loses no digit; null becomes NaN."""
    rounded = values.cast(pl.Float64).round(decimals).to_numpy()
    largest = np.float32(np.nanmax(np.abs(rounded), initial=0))
    return rounded.astype(np.float32) if np.spacing(largest) < 10.0**-decimals else rounded


def _number(value: Any) -> float:
    """A reduction of a column of numbers, which Polars types as anything a column can hold."""
    return float(value)
