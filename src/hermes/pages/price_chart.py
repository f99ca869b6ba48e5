"""The panels of prices: candles with the trades on them, volume, indicators."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.models.annotations import BoxAnnotation
from bokeh.plotting import figure
from bokeh.transform import linear_cmap

from hermes.pages import format
from hermes.pages.account_chart import shade
from hermes.pages.candles import Layout
from hermes.pages.charts import Drawn, Key
from hermes.pages.panel import DOWN, HOLDING, LINES, SHADE, UP, PanelBuilder, milliseconds, small, tip


class Marker(NamedTuple):
    """How one kind of order or signal is drawn: beside the candle, never on it."""

    label: str
    shape: str  # Bokeh's name; `sign` is what the legend shows
    sign: str
    color: str
    below: bool
    size: int = 12


_BUY, _SELL, _SHORT, _COVER, _FORCED = "#00897b", "#c2185b", "#8e5bd6", "#a97b00", "#e0474c"
#: In the order in which they are drawn: signals that changed nothing are small, hollow and lie below all others.
MARKERS = {
    "idle_buy": Marker("buy signal that changed nothing", "triangle", "△", _BUY, True, 6),
    "idle_sell": Marker("sell signal that changed nothing", "inverted_triangle", "▽", _SELL, False, 6),
    "idle_short": Marker("short signal that changed nothing", "diamond", "◇", _SHORT, False, 7),
    "idle_cover": Marker("cover signal that changed nothing", "square", "□", _COVER, True, 5),
    "sell": Marker("sell", "inverted_triangle", "▼", _SELL, False),
    "cover": Marker("cover", "square", "■", _COVER, True, 9),
    "forced_sell": Marker("sell by a stop or another limit", "x", "✕", _FORCED, False, 10),
    "forced_cover": Marker("cover by a stop or another limit", "x", "✕", _FORCED, True, 10),
    "short": Marker("short", "diamond", "◆", _SHORT, False, 14),
    "buy": Marker("buy", "triangle", "▲", _BUY, True),
}


def price_panel(builder: PanelBuilder, marks: pl.DataFrame, held: pl.DataFrame, layout: Layout, unit: str) -> Drawn:
    """Candles, the lines that have the unit of the price, the trend coloured by its direction, and the orders.

    Args:
        builder: of candles as `candles.aggregate` returns them, and the trend's line where it is known.
        marks: as `candles.marks` returns them.
        held: `start, end, side`: when a position was held.
        layout: the panel of each indicator.
        unit: the quote currency, empty where it is not known.
    """
    bars, decimals = builder.bars, format.price_decimals(_highest(builder.bars))
    trend = layout.trend if layout.trend in bars.columns else None
    shown = ["open", "high", "low", "close", *layout.price, *([trend] if trend else [])]
    source = builder.source(shown, decimals)
    plot = builder.empty("price", source, "0,0.[00000000]", log=True)
    shaded = shade(plot, held)
    candles = _candles(builder, plot, source)
    keys = [Key("bar up", UP, "candle"), Key("bar down", DOWN, "candle")]
    for name, color in zip(layout.price, cycle(LINES), strict=False):
        plot.line("time", name, source=source, line_color=color, line_width=1.4, name=name)
        keys.append(Key(format.indicator(name), color))
    if trend and layout.direction:
        for name, way, color in (("up", 1, UP), ("down", -1, DOWN)):
            column = f"{trend} {name}"
            source.data[column] = np.where(bars[layout.direction] == way, source.data[trend], np.nan)
            plot.line("time", column, source=source, line_color=color, line_width=2, line_alpha=0.85, name=column)
            keys.append(Key(f"{format.indicator(trend)} {name}", color))
    marked = _marks(plot, marks, decimals)
    digits = "{0,0." + "0" * decimals + "}"
    builder.hover(plot, candles, [(format.indicator(name), f"@{{{name}}}{digits}") for name in shown])
    note = ", ".join(each for each in (unit, "log scale") if each)
    return Drawn(plot, "Price", note, [*marked, *keys, *shaded])


def _candles(builder: PanelBuilder, plot: figure, source: ColumnDataSource) -> Any:
    """Wicks, bodies, and a dash for a body without height."""
    bars = builder.bars
    source.data["rising"] = _rising(bars)
    color = linear_cmap("rising", [DOWN, UP], 0, 1)
    plot.segment("time", "low", "time", "high", source=source, line_color=color)
    still = (bars["open"] == bars["close"]).to_numpy()
    left, right = (builder.times[still] + side * builder.width for side in (-0.35, 0.35))
    level = bars["close"].to_numpy()[still]
    plot.segment("left", "level", "right", "level", line_color=UP,
                 source=ColumnDataSource({"left": left, "right": right, "level": level}))  # fmt: skip
    return plot.vbar(
        "time", builder.width * 0.7, "open", "close", source=source, fill_color=color, line_color=None, name="candles"
    )


def _marks(plot: figure, marks: pl.DataFrame, decimals: int) -> list[Key]:
    """Orders at their exact times, and signals without an order; the page's script keeps them off the candles."""
    keys: dict[str, Key] = {}
    for kind, marker in MARKERS.items():
        of_kind = marks.filter(kind=kind)
        if of_kind.is_empty():
            continue
        idle = kind.startswith("idle")
        edge = small(of_kind["edge"], decimals)
        columns: dict[str, Any] = {"time": milliseconds(of_kind["datetime"]), "edge": edge, "y": edge}
        if not idle:
            columns |= {"price": small(of_kind["price"], decimals), "said": of_kind["said"].to_list()}
        source = ColumnDataSource(columns, tags=["mark", "below" if marker.below else "above"])
        outline = marker.color if idle or marker.shape == "x" else "white"
        drawn = plot.scatter(
            "time",
            "y",
            source=source,
            marker=marker.shape,
            size=marker.size,
            line_color=outline,
            line_width=2.5 if marker.shape == "x" else 1,
            line_alpha=0.7 if idle else 1,
            fill_color=None if idle else marker.color,
            name=kind,
        )
        if not idle:
            rows = [("price", "@price{0,0." + "0" * decimals + "}"), ("", "@said")]
            plot.add_tools(HoverTool(renderers=[drawn], tooltips=tip(rows, marker.label), mode="mouse",
                                     formatters={"@time": "datetime"}))  # fmt: skip
        keys[kind] = Key(marker.label, marker.color, "shape", marker.sign)
    if {"forced_sell", "forced_cover"} <= keys.keys():  # they look alike
        keys.pop("forced_cover")
        keys["forced_sell"] = keys["forced_sell"]._replace(label="exit by a stop or another limit")
    return list(keys.values())[::-1]


def volume_panel(builder: PanelBuilder) -> Drawn:
    """The volume of each candle, in its colour."""
    bars = builder.bars
    source = ColumnDataSource({
        "time": builder.times,
        "volume": bars["volume"].cast(pl.Float32).to_numpy(),
        "rising": _rising(bars),
    })  # fmt: skip
    plot = builder.empty("volume", source, "0.[0]a", columns=["volume"], tags=["from 0"])
    color = linear_cmap("rising", [DOWN, UP], 0, 1)
    # With a line, a bar that is narrower than a pixel is still seen.
    drawn = plot.vbar("time", builder.width * 0.7, "volume", 0, source=source, fill_color=color, line_color=color)
    builder.hover(plot, drawn, [("volume", "@volume{0,0.[00]}")])
    return Drawn(plot, "Volume", "base currency", [])


def bounded_panel(builder: PanelBuilder, names: Sequence[str], band: tuple[float, float] | None) -> Drawn:
    """Indicators from 0 to 100, and their neutral band."""
    plot, title, note, keys = indicator_panel(builder, "bounded", names)
    plot.y_range = Range1d(start=0, end=100)
    plot.yaxis.ticker = FixedTicker(ticks=[0, 20, 40, 60, 80, 100])
    if not band:
        return Drawn(plot, title, note, keys)
    plot.add_layout(
        BoxAnnotation(bottom=band[0], top=band[1], fill_color=HOLDING, fill_alpha=2 * SHADE, line_color=None)
    )
    return Drawn(plot, title, note, [*keys, Key("neutral band", HOLDING, "neutral")])


def indicator_panel(builder: PanelBuilder, name: str, names: Sequence[str]) -> Drawn:
    """A panel of lines, titled RSI if it has only RSIs."""
    source = builder.source(names, 4)
    plot = builder.empty(name, source, "0,0.[0000]")
    colors = dict(zip(names, cycle(LINES), strict=False))
    drawn = [plot.line("time", each, source=source, line_color=colors[each], line_width=1.2) for each in names]
    builder.hover(plot, drawn[0], [(format.indicator(each), f"@{{{each}}}{{0,0.00}}") for each in names])
    families = {format.family(each) for each in names}
    title = families.pop() if len(families) == 1 else {"bounded": "Oscillators"}.get(name, "Other indicators")
    return Drawn(plot, title, "", [Key(format.indicator(each), color) for each, color in colors.items()])


def _rising(bars: pl.DataFrame) -> np.ndarray[Any, Any]:
    return (bars["close"] >= bars["open"]).cast(pl.UInt8).to_numpy()


def _highest(bars: pl.DataFrame) -> float:
    highest: Any = bars["high"].max()
    return float(highest)
