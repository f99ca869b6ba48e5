"""Equity against holding as one small SVG, for a README or a chat."""

import numpy as np
import polars as pl

from hermes.pages.panel import HOLDING, UP
from hermes.pages.rendering import render

WIDTH, HEIGHT = 640, 240
_TOP, _BOTTOM = 64, 16
_POINTS = 320  # of each line; half a pixel on most screens


def thumbnail(bars: pl.DataFrame, title: str, strategy: str, holding: str, *, simulated: bool) -> str:
    """An SVG on no background, whose text is readable on white and on black.

    Args:
        bars: `equity, benchmark`, one row per bar.
        title: the symbol and the strategy.
        strategy, holding: the return of each, as text.
        simulated: whether the prices are synthetic.
    """
    rows = np.linspace(0, bars.height - 1, min(bars.height, _POINTS)).astype(int)
    lines = {name: np.log(np.maximum(bars[name].to_numpy()[rows], 1e-9)) for name in ("benchmark", "equity")}
    low = min(line.min() for line in lines.values())
    span = max(line.max() for line in lines.values()) - low or 1.0
    x = np.linspace(16, WIDTH - 16, len(rows))
    points = {
        name: " ".join(f"{a:.1f},{HEIGHT - _BOTTOM - (b - low) / span * (HEIGHT - _TOP - _BOTTOM):.1f}"
                       for a, b in zip(x, line, strict=True))
        for name, line in lines.items()
    }  # fmt: skip
    colors = {"equity": UP, "benchmark": HOLDING}
    return render("thumbnail.svg", width=WIDTH, height=HEIGHT, title=title, strategy=strategy, holding=holding,
                  simulated=simulated, colors=colors, points=points)  # fmt: skip
