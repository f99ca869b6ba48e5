"""Two variants on the same bars as one self-contained HTML file: the verdict, both equities, the measures of both."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from hermes.measures import Measure, select_measures
from hermes.pages import format, measures
from hermes.pages.line_chart import line_chart
from hermes.pages.rendering import page

_SHOWN = ("total_return_pct", "sharpe", "max_drawdown_pct", "trades", "win_rate_pct", "exposure_pct", "fees_paid")


def compare_page(found: Mapping[str, Any], curve: pl.DataFrame, dataset: str, *, simulated: bool = False) -> str:
    """The whole page.

    Args:
        found: as in `steps.compare.Compared.as_json`.
        curve: `datetime, first, second`, equity, one row per bar.
        dataset: of the bars.
        simulated: whether their prices are synthetic.
    """
    first, second = found["first"], found["second"]
    return page(
        "compare.html",
        f"{dataset}: {first['name']} and {second['name']}",
        dataset=dataset,
        simulated=simulated,
        first=first,
        second=second,
        begin=curve["datetime"][0],
        end=curve["datetime"][-1],
        bars=curve.height,
        verdict=found["verdict"],
        warnings=found.get("warnings", ()),
        difference=found["difference"],
        differences=_differences(found["difference"]),
        rows=_rows(first, second),
        chart=line_chart(curve, ("first", "second"), ("first", "second")),
    )


def _rows(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, ...]]:
    both = [each["metrics"] for each in (first, second)]
    rows: list[tuple[str, ...]] = [
        ("Strategy", *(format.title(each["strategy"]) for each in (first, second))),
        ("Parameters", *(format.plain(each["parameters"]) for each in (first, second))),
        ("Features", *(_features(each) for each in (first, second))),
    ]
    rows.extend((each.label, *(_shown(each, values) for values in both)) for each in select_measures(_SHOWN))
    return rows


def _features(side: Mapping[str, Any]) -> str:
    """The feature set that was read, and its version."""
    if not side["feature_set"]:
        return "production"
    return f"{side['feature_set']}, version {side['features_version']}"


def _shown(measure: Measure, values: measures.Measures) -> str:
    """A value and its warning, in one text."""
    text, warnings = measures.cell(measure, values)
    return "; ".join([text, *warnings])


def _differences(found: Mapping[str, Any] | None) -> list[tuple[str, ...]]:
    if not found:
        return []
    rows: list[tuple[str, ...]] = [_difference("Log growth", found, "log_growth", "growth_p", 4)]
    if found["sharpe"] is not None:
        rows.append(_difference("Sharpe", found, "sharpe", "sharpe_p", 3))
    return rows


def _difference(label: str, found: Mapping[str, Any], name: str, p_value: str, decimals: int) -> tuple[str, ...]:
    low, high = (format.signed(each, decimals) for each in found[f"{name}_interval"])
    return label, format.signed(found[name], decimals), f"{low} to {high}", format.number(found[p_value], 3)
