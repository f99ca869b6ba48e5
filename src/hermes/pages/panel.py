"""What the panels of a page share: palette, bars, time axis, crosshair, and numbers in few bytes."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
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
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from hermes.pages import format

# A palette that stays apart for colour-blind eyes, on white and on black: blue and orange, never green and red.
UP, DOWN = "#2f81c7", "#dd6b20"
LINES = ("#b07cc6", "#b8982f", "#4aa3a2", "#c76b8f", "#7d8bb5", "#8a9a5b")
HOLDING = "#8b93a1"
SHADE = 0.13
_SOFT, _GRID = "rgb(93, 101, 115)", "rgb(236, 238, 242)"  # page.css, light; the page's script changes them for dark
_EDGE = 66  # pixels kept for the y axis, the same on every panel, so that times stand below each other


class Board:
    """What the panels share: the bars, the time axis, the crosshair."""

    def __init__(self, bars: pl.DataFrame, interval: timedelta) -> None:
        self.bars = bars
        self.times = milliseconds(bars["datetime"])
        self.width = interval.total_seconds() * 1000
        self.decimals = format.price_decimals(_number(bars["high"].max()))
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
        columns = [str(column) for column in source.data if column != "time"]
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


def _around(source: ColumnDataSource, columns: list[str], *, log: bool) -> Range1d:
    """A range with all values of the columns in it and some room, tagged with the columns."""
    shown = [np.asarray(source.data[each]) for each in columns]
    if log:  # where there is no place for a band that has fallen to zero or below
        shown = [values[values > 0] for values in shown]
    low = min((float(np.nanmin(values, initial=np.inf)) for values in shown), default=0.0)
    high = max(float(np.nanmax(values, initial=-np.inf)) for values in shown)
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
