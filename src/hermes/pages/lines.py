"""Plain tables and lines over time, for pages that need no script."""

from collections.abc import Sequence
from html import escape

import polars as pl

from hermes.pages import format

POINTS = 1_000  # of a line: more than a screen can show
_WIDTH, _HEIGHT = 960, 220
STYLE = """
.list { border-collapse: collapse; font-size: .8125rem; width: 100%; margin-bottom: 2rem; }
.list td, .list th { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
.list td:first-child, .list th:first-child { text-align: left; }
.wide { overflow-x: auto; }
.chart { width: 100%; height: auto; margin: .5rem 0 1.5rem; }
.chart path { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.equity { stroke: #2962ff; } .held { stroke: #888; } .fall { stroke: #c62828; }
"""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    begun = "".join(f"<th>{escape(each)}</th>" for each in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="list"><thead><tr>{begun}</tr></thead><tbody>{lines}</tbody></table>'


def line_chart(curve: pl.DataFrame, names: Sequence[str], classes: Sequence[str]) -> str:
    """Lines over time, thinned to what a screen can show."""
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
        paths.append(f'<path class="{kind}" d="M{" L".join(points)}"/>')
    first, last = format.day(curve["datetime"][0]), format.day(curve["datetime"][-1])
    label = f"from {format.number(low)} to {format.number(high)}, {first} to {last}"
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(label)}">{"".join(paths)}</svg><p class="soft">{escape(label)}</p>'
    )
