"""Shared parts of the panels of a page: palette, bars, time axis, crosshair, compact numbers."""

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
from markupsafe import Markup

from hermes.pages.rendering import render

# A palette that stays apart for colour-blind eyes, on white and on black: blue and orange, never green and red.
UP, DOWN = "#2f81c7", "#dd6b20"
LINES = ("#b07cc6", "#b8982f", "#4aa3a2", "#c76b8f", "#7d8bb5", "#8a9a5b")
HOLDING = "#8b93a1"
SHADE = 0.13
_SOFT, _GRID = "rgb(93, 101, 115)", "rgb(236, 238, 242)"  # base.css, light; the page's script changes them for dark
_EDGE = 66  # pixels kept for the y axis, the same on every panel, so that times stand below each other


class PanelBuilder:
    """Makes the panels of one page: they share the bars, the time axis, the crosshair.

    Args:
        bars: `datetime` and what the panels show over it, at least one row.
        interval: of one row.
    """

    def __init__(self, bars: pl.DataFrame, interval: timedelta) -> None:
        self.bars = bars
        self.times = milliseconds(bars["datetime"])
        self.width = interval.total_seconds() * 1000
        start, end = self.times[0] - self.width, self.times[-1] + self.width
        pad = (end - start) * 0.01
        bounds = (start - pad, end + pad)
        self.x_range = Range1d(start=bounds[0], end=bounds[1], bounds=bounds, min_interval=8 * self.width, name="time")
        self.cursor = Span(
            location=np.nan, dimension="height", line_width=1, line_color=_SOFT, line_dash="dotted", name="cursor"
        )

    def source(self, names: Iterable[str], decimals: int) -> ColumnDataSource:
        """The named columns over time, rounded to the precision shown."""
        columns = {name: small(self.bars[name], decimals) for name in names}
        return ColumnDataSource({"time": self.times, **columns})

    def empty(
        self,
        name: str,
        source: ColumnDataSource,
        values: str,
        *,
        log: bool = False,
        columns: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> figure:
        """An empty panel over one source.

        The page's script keeps the y axis to what is in view of the columns that the range is tagged with. (Bokeh's own
        `window_axis` does not work on log axes.)

        Args:
            name: by which the script and the style know it.
            values: number format of its axis.
            columns: that have to be in view; all of the source without them.
            tags: what else the script has to know: `rebased` makes the columns 100 where the view begins, `from 0`
                keeps 0 in view.
        """
        source.name = f"{name} bars"
        shown = list(columns or (str(column) for column in source.data if column != "time"))
        zoom = WheelZoomTool(dimensions="width", modifiers="ctrl")
        pan = PanTool(dimensions="width")
        plot = figure(
            name=name,
            x_range=self.x_range,
            x_axis_type="datetime",
            y_range=_around(source, shown, log=log),
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
            plot.yaxis.ticker = FixedTicker(ticks=[])  # the page's script finds round ones
        plot.tags = [*(["log"] if log else []), *tags]
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
        plot.add_tools(
            HoverTool(
                renderers=[renderer],
                tooltips=tip(rows),
                formatters={"@time": "datetime"},
                mode="vline",
                show_arrow=False,
            )
        )


def tip(rows: Sequence[tuple[str, str]], title: str = "") -> Markup:
    """A tooltip: a title, the time, and rows of a label and a field with its format, which Bokeh fills."""
    return render("tip.html", title=title, rows=rows)


def _around(source: ColumnDataSource, columns: list[str], *, log: bool) -> Range1d:
    """A range that covers all values of the columns with a margin, tagged with the columns."""
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
    """Times for Bokeh: milliseconds since 1970."""
    return times.dt.epoch("us").to_numpy() / 1000


def small(values: pl.Series, decimals: int) -> np.ndarray[Any, Any]:
    """Values rounded to the precision shown, as 32-bit floats if no digit is lost; null becomes NaN."""
    rounded = values.cast(pl.Float64).round(decimals).to_numpy()
    largest = np.float32(np.nanmax(np.abs(rounded), initial=0))
    return rounded.astype(np.float32) if np.spacing(largest) < 10.0**-decimals else rounded
