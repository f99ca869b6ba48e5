"""The outcomes of many datasets → one table in gold, and one page that compares them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

import polars as pl

from hermes.dataset import universe_table
from hermes.lake.executions import COMPARISON, next_sequence, publish
from hermes.lake.store import Lake, check_written
from hermes.pages.universe import multiple_tests, universe_page
from hermes.schemas import DATETIME
from hermes.settings import Settings
from hermes.stages.backtest.metrics import Metrics
from hermes.stages.backtest.overfitting import adjusted
from hermes.steps.account import FILLS
from hermes.strategies import strategy_name
from hermes.text import counted
from hermes.version import __version__

_TYPES: dict[Any, type[pl.DataType]] = {float: pl.Float64, int: pl.Int64, bool: pl.Boolean, str: pl.String}


def _type_of(annotation: Any) -> type[pl.DataType]:
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] or [annotation]
    return _TYPES.get(kinds[0], pl.String)


_MEASURES = {each.name: _type_of(get_type_hints(Metrics)[each.name]) for each in fields(Metrics)}

_BY_FILL = ("total_return_pct", "sharpe")  # shown with both fills

#: Columns of the table: one row for each dataset; measures are null where it failed, `error` where it did not.
#: `sharpe_low` and `sharpe_high` are the ends of the 95 % interval, `p_value_adjusted` is `p_value_over_holding` after
#: the correction for as many tests as there are datasets with one.
UNIVERSE: dict[str, Any] = {
    "symbol": pl.String,
    "interval": pl.String,
    "market": pl.String,
    "strategy": pl.String,
    "feature_set": pl.String,
    "features_version": pl.String,
    "rows": pl.Int64,
    "first": DATETIME,
    "last": DATETIME,
    "buy_signals": pl.Int64,
    "sell_signals": pl.Int64,
    **_MEASURES,
    **{f"{measure}_{fill}": pl.Float64 for fill in FILLS for measure in _BY_FILL},
    "sharpe_low": pl.Float64,
    "sharpe_high": pl.Float64,
    "p_value_adjusted": pl.Float64,
    "warnings": pl.String,
    "path": pl.String,
    "report": pl.String,
    "link": pl.String,
    "error": pl.String,
    "cure": pl.String,
}


@dataclass(frozen=True, slots=True)
class Universe:
    """The comparison: `table` has the columns of `UNIVERSE`; `path` and `page` (None without one) are addresses."""

    table: pl.DataFrame
    path: str
    page: str | None

    @property
    def tests(self) -> dict[str, Any]:
        """How many datasets stand out against holding with the same exposure, before and after the correction."""
        return multiple_tests(self.table)


def publish_universe(
    settings: Settings, lake: Lake, rows: Sequence[Mapping[str, Any]], *, page: bool = True
) -> Universe | None:
    """Publish the comparison of many datasets, unless all of them failed.

    Args:
        settings: of any of the datasets.
        rows: one for each dataset, by the names of `UNIVERSE`, with its measures under `metrics`.
        page: whether to make `universe.html` beside the table.
    """
    if all(row["error"] for row in rows):
        return None
    strategy = strategy_name(settings.signals.strategy)
    table = _with_adjusted(pl.DataFrame([_flat(row, strategy) for row in rows], schema=UNIVERSE))
    trial = _trial(table)
    at = datetime.now(UTC)
    executions = universe_table(strategy)
    about = {
        "hermes": __version__,
        "layer": "gold",
        "generated_at": at.isoformat(),
        "strategy": strategy,
        "backtest": settings.backtest.model_dump(mode="json"),
        "feature_set": trial and trial["name"],
        "trial": trial,
        "sequence": next_sequence(lake.gold, executions, COMPARISON),
    }
    with lake.gold.staged() as staged:
        lake.gold.stage(staged, table, about)
        check_written([staged], table.height)
        folder = publish(lake.gold, executions, COMPARISON, staged, at)
    html = None
    if page:
        text = universe_page(table, f"{counted(len(rows), 'dataset')} with {strategy}", at, trial)
        html = f"{folder}/universe.html"
        lake.gold.write_bytes(html, text.encode())
    return Universe(table, lake.gold.locate(f"{folder}/{COMPARISON}"), html and lake.gold.locate(html))


def _flat(row: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    """One row of the table, with the link to its page relative to `universe.html`."""
    report = row["report"]
    link = None if report is None else "../../" + "/".join(report.split("/")[-3:])
    metrics, fills = row["metrics"], row.get("fills") or {}
    measures = {name: metrics.get(name) for name in _MEASURES}
    both = {f"{name}_{fill}": fills.get(fill, {}).get(name) for fill in FILLS for name in _BY_FILL}
    low, high = (metrics.get("intervals") or {}).get("sharpe") or (None, None)
    more = {
        "sharpe_low": low,
        "sharpe_high": high,
        "warnings": "; ".join(row.get("warnings") or ()) or None,
        "strategy": strategy,
        "link": link,
    }
    return {**{name: row.get(name) for name in UNIVERSE}, **measures, **both, **more}


def _trial(table: pl.DataFrame) -> dict[str, Any] | None:
    """The feature set that the datasets read, with its version, or all of them where they differ."""
    read = table.select("feature_set", "features_version").drop_nulls().unique().sort("features_version")
    return {"name": read["feature_set"][0], "version": ", ".join(read["features_version"])} if read.height else None


def _with_adjusted(table: pl.DataFrame) -> pl.DataFrame:
    """The table with the p values of all datasets corrected for each other."""
    known = table["p_value_over_holding"].is_not_null()
    found = iter(adjusted(table.filter(known)["p_value_over_holding"].to_list()))
    values = [next(found) if each else None for each in known]
    return table.with_columns(p_value_adjusted=pl.Series(values, dtype=pl.Float64)).select(UNIVERSE.keys())
