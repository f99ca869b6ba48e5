"""Histograms as inline SVG in the page's colours, one strip per group."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from hermes.pages import format
from hermes.pages.rendering import render
from hermes.text import counted, power_of_ten

_BINS = 24  # at most about so many
_TICKS = 6
_LEFT, _RIGHT, _WIDTH = 46, 66, 440
_TOP, _GAP, _BOTTOM = 26, 8, 42
_HEIGHT = 150  # of a single strip; several share it, but none is lower than `_LOWEST`
_LOWEST = 28


@dataclass(frozen=True, slots=True)
class Axis:
    """The values of a histogram.

    Attributes:
        label: name, with the unit.
        show: formats one value.
        whole: whether values are whole numbers.
    """

    label: str
    show: Callable[[float], str]
    whole: bool = False


def histogram(groups: Mapping[str, pl.Series], axis: Axis) -> Markup:
    """One strip per group on one scale of values; each strip has its own scale of counts, to keep all of them readable.

    Values far outside (Tukey's outer fences, three quartile distances from the quartiles) are counted in the outermost
    bars, and a line below says how many they are.

    Args:
        groups: name → values without null and not all empty, in the order of the strips.
        axis: what the values are.
    """
    every = pl.concat(list(groups.values()))
    first, step, count = _bins(every, axis.whole)
    edges = step * np.arange(first, first + count + 1)
    scale = (_WIDTH - _LEFT - _RIGHT) / count
    height = max(_LOWEST, (_HEIGHT - _GAP * (len(groups) - 1)) / len(groups))
    strips, y = [], float(_TOP)
    for name, values in groups.items():
        strips.append(_strip(name, values, edges, axis, y, height, scale))
        y += height + _GAP
    bottom = y - _GAP
    return render(
        "histogram.svg",
        width=_WIDTH,
        height=f"{bottom + _BOTTOM:.0f}",
        said=f"{axis.label}: {_said(every, axis)}",
        zero=f"M{_LEFT - first * scale:.1f} {_TOP}V{bottom:.1f}" if edges[0] < 0 < edges[-1] else "",
        strips=strips,
        ticks=_ticks(first, step, count, scale, bottom, whole=axis.whole),
        middle=(_LEFT + _WIDTH - _RIGHT) / 2,
        label_y=f"{bottom + 36:.1f}",
        label=axis.label,
        outside=_outside(every, edges, axis),
    )


def _bins(values: pl.Series, whole: bool) -> tuple[int, float, int]:
    """First bin, width and number of bins: bin `i` reaches from `i × width` up to the next, so one begins at 0."""
    low, high = (_number(values.min()), _number(values.max()))
    quarter, three = (_number(values.quantile(share, "linear")) for share in (0.25, 0.75))
    if reach := 3 * (three - quarter):
        low, high = max(low, quarter - reach), min(high, three + reach)
    span = high - low
    step = _round_up(span / _BINS) if span > 0 else 1.0
    step = max(1.0, step) if whole else step
    first = floor(low / step)
    return first, step, max(1, floor(high / step) + 1 - first)


def _round_up(value: float) -> float:
    """Round up to the next of 1, 2, 5, 10 … ×10ⁿ."""
    ten = floor(log10(value))
    digit = next(digit for digit in (1, 2, 5, 10) if digit * 10.0**ten >= value * (1 - 1e-9))
    return digit * 10.0**ten


def _strip(
    name: str, values: pl.Series, edges: np.ndarray, axis: Axis, y: float, height: float, scale: float
) -> dict[str, Any]:  # fmt: skip
    """The bars of one group, how many the highest stands for, and the median."""
    bins = np.clip(np.searchsorted(edges, values.to_numpy(), side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(bins, minlength=len(edges) - 1)
    most, base, right = int(counts.max()), y + height, _WIDTH - _RIGHT
    strip = {"name": name, "name_y": f"{base - 16:.1f}", "base": f"M{_LEFT} {base:.1f}H{right}", "bars": (),
             "median": None}  # fmt: skip
    if values.is_empty():
        return strip
    median = _number(values.median())
    x = _LEFT + min(max(median / (edges[1] - edges[0]) - edges[0] / (edges[1] - edges[0]), 0), len(counts)) * scale
    return strip | {
        "base": f"M{_LEFT} {base:.1f}H{right}M{_LEFT - 4} {y:.1f}h4",
        "bars": [
            _bar(edges, at, int(count), axis, (base, max(1.0, float(height * count / most)), scale))
            for at, count in enumerate(counts)
            if count
        ],
        "most": most,
        "most_y": f"{y + 4:.1f}",
        "left": _LEFT - 6,
        "median": {"line": f"M{x:.1f} {y - 2:.1f}V{base:.1f}", "y": f"{base - 2:.1f}", "text": axis.show(median)},
    }


def _bar(edges: np.ndarray, at: int, count: int, axis: Axis, place: tuple[float, float, float]) -> dict[str, Any]:
    base, height, scale = place
    return {
        "way": "down" if edges[at + 1] <= 0 else "up",
        "x": f"{_LEFT + at * scale + 0.5:.1f}",
        "y": f"{base - height:.1f}",
        "width": f"{scale - 1:.1f}",
        "height": f"{height:.1f}",
        "bounds": _from_to(edges, at, axis),
        "count": count,
    }


def _from_to(edges: np.ndarray, at: int, axis: Axis) -> str:
    low, high = (axis.show(float(edge)) for edge in edges[at : at + 2])
    if axis.whole:
        last = edges[at + 1] - 1
        return low if last == edges[at] else f"{low} to {axis.show(float(last))}"
    return f"from {low} to under {high}"


def _ticks(first: int, step: float, count: int, scale: float, bottom: float, *, whole: bool) -> list[Any]:
    """Round values below the lowest strip."""
    each = _round_up(step * count / _TICKS)
    each = max(1.0, each) if whole else each
    decimals = max(0, -floor(log10(each) + 1e-9))
    marks = []
    for at in range(ceil(first * step / each - 1e-9), floor((first + count) * step / each + 1e-9) + 1):
        x, value = _LEFT + (at * each / step - first) * scale, at * each
        shown = format.number(value, decimals) if abs(value) < 1e7 else power_of_ten(value)
        marks.append({"line": f"M{x:.1f} {bottom:.1f}v4", "x": f"{x:.1f}", "y": f"{bottom + 17:.1f}", "text": shown})
    return marks


def _said(values: pl.Series, axis: Axis) -> str:
    """The distribution in words, for screen readers."""
    low, quarter, half, three, high = (
        axis.show(_number(values.quantile(share, "linear"))) for share in (0, 0.25, 0.5, 0.75, 1)
    )
    datasets = counted(len(values), "dataset")
    return f"{datasets}, median {half}, half of them from {quarter} to {three}, all from {low} to {high}"


def _outside(values: pl.Series, edges: np.ndarray, axis: Axis) -> str:
    below, above = int((values < edges[0]).sum()), int((values >= edges[-1]).sum())
    parts = []
    if below:
        parts.append(f"{below:,} below {axis.show(float(edges[0]))}, down to {axis.show(_number(values.min()))}")
    if above:
        parts.append(f"{above:,} above {axis.show(float(edges[-1]))}, up to {axis.show(_number(values.max()))}")
    return "; ".join(parts)


def _number(value: object) -> float:
    """An aggregate of a non-empty numeric series as a float."""
    return float(value)  # type: ignore[arg-type]
