"""Static line charts as inline SVG."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
from markupsafe import Markup

from hermes.pages import format
from hermes.pages.rendering import render

POINTS = 1_000  # of a line: more than a screen can show
_WIDTH, _HEIGHT = 960, 220


class Chart(NamedTuple):
    """The SVG, and its content in words."""

    svg: Markup
    label: str


def line_chart(curve: pl.DataFrame, names: Sequence[str], classes: Sequence[str]) -> Chart:
    """Lines over time, thinned to the resolution of a screen."""
    each = -(-curve.height // POINTS)
    thin = curve.gather_every(each)
    low = min(float(thin[name].min()) for name in names)  # type: ignore[arg-type]
    high = max(float(thin[name].max()) for name in names)  # type: ignore[arg-type]
    reach = (high - low) or 1.0
    step = _WIDTH / max(1, thin.height - 1)
    paths = []
    for name, kind in zip(names, classes, strict=True):
        points = (
            f"{number * step:.1f},{_HEIGHT * (1 - (value - low) / reach):.1f}"
            for number, value in enumerate(thin[name])
        )
        paths.append((kind, " L".join(points)))
    first, last = format.day(curve["datetime"][0]), format.day(curve["datetime"][-1])
    label = f"from {format.number(low)} to {format.number(high)}, {first} to {last}"
    return Chart(render("line_chart.svg", width=_WIDTH, height=_HEIGHT, paths=paths, label=label), label)
