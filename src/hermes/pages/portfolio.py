"""A portfolio as one self-contained HTML file: equity beside holding, drawdown, symbols, correlation, trades."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import polars as pl

from hermes.measures import select_measures
from hermes.pages import format, measures, tables
from hermes.pages.account_chart import ACCOUNT, drawdown_panel, equity_panel, positions_panel, sharpe_panel, suffixed
from hermes.pages.account_curve import account_builder
from hermes.pages.charts import Drawn, chart_page
from hermes.pages.rendering import Tile
from hermes.text import counted

MOST_TRADES, MOST_CORRELATED = 500, 40
_SHOWN = ("total_return_pct", "sharpe", "max_drawdown_pct", "cagr_pct", "trades", "win_rate_pct", "exposure_pct",
          "fees_paid", "funding_paid", "end_value")  # fmt: skip
_LINES = {name: ACCOUNT[name] for name in ("benchmark", "equity")}


@dataclass(frozen=True, slots=True)
class PortfolioPage:
    """The content of the page; `result` as in `PortfolioResult.as_json`.

    Attributes:
        curve: `datetime, equity, benchmark, positions` and others, one row per bar.
        monthly, yearly: returns, see `PeriodReturns`.
        trial: the feature set that was read, see `format.feature_set`.
        warnings: about the measures.
    """

    strategy: str
    market: str
    interval: str
    simulated: bool
    backtest: Mapping[str, Any]
    account: Mapping[str, Any]
    max_positions: int
    rank: str
    result: Mapping[str, Any]
    curve: pl.DataFrame
    trades: pl.DataFrame
    monthly: pl.DataFrame
    yearly: pl.DataFrame
    warnings: Sequence[str] = ()
    trial: Mapping[str, Any] | None = None


def portfolio_page(made: PortfolioPage) -> str:
    """The whole page."""
    symbols = [each["symbol"] for each in made.result["symbols"]]
    matrix = made.result["correlation"]["matrix"]
    known = [value for i, row in enumerate(matrix) for value in row[:i] if value is not None]
    shown = made.trades.tail(MOST_TRADES).reverse()
    return chart_page(
        "portfolio.html",
        f"{format.title(made.strategy)}: portfolio of {len(symbols)}",
        _charts(made.curve, made.interval),
        made=made,
        symbols=symbols,
        warnings=made.warnings,
        account={**made.backtest, **made.account},
        measures=_measures(made.result["metrics"], made.result["benchmark"]),
        tiles=_tiles(made.result["metrics"], made.result["benchmark"]),
        first=made.curve["datetime"][0],
        last=made.curve["datetime"][-1],
        bars=made.curve.height,
        months=tables.months(made.monthly, made.yearly),
        symbol_rows=[_symbol(each) for each in sorted(made.result["symbols"], key=_contribution, reverse=True)],
        correlation=_correlation(symbols, matrix) if len(symbols) <= MOST_CORRELATED else None,
        mean_correlation=fmean(known) if known else None,
        trade_rows=[_trade(row) for row in shown.iter_rows(named=True)],
        trades=made.trades.height,
    )


def _charts(curve: pl.DataFrame, interval: str) -> list[Drawn]:
    builder = account_builder(curve.select("datetime", "equity", "benchmark", "positions"), list(_LINES), interval)
    drawn = [
        equity_panel(builder, _LINES, ""),
        drawdown_panel(builder, suffixed(_LINES, "_drawdown_pct")),
        positions_panel(builder),
    ]
    if builder.bars["equity_sharpe"].is_not_nan().any():
        drawn.append(sharpe_panel(builder, "half a year", suffixed(_LINES, "_sharpe")))
    return drawn


def _tiles(metrics: Mapping[str, Any], held: Mapping[str, Any]) -> list[Tile]:
    few = format.few_trades(metrics["trades"])
    shown = {name: measures.shown(name, metrics[name]) for name in ("total_return_pct", "max_drawdown_pct", "sharpe")}
    beside = {name: measures.shown(name, held.get(name)) for name in shown}
    return [
        Tile("Portfolio", shown["total_return_pct"], f"ends at {format.number(metrics['end_value'])}", "main"),
        Tile("Holding equal parts", beside["total_return_pct"], "without fees"),
        Tile("Max drawdown", shown["max_drawdown_pct"], f"holding {beside['max_drawdown_pct']}"),
        Tile("Sharpe", shown["sharpe"], few or counted(metrics["trades"], "trade"), "warn" if few else ""),
    ]


def _measures(metrics: Mapping[str, Any], held: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for each in select_measures(_SHOWN):
        if not each.is_shown([metrics]):
            continue
        text, beside = measures.shown(each.name, metrics[each.name]), held.get(each.name)
        warned = "; ".join([text, *measures.warnings(each, metrics)])
        rows.append((each.label, warned, "" if beside is None else measures.show(each, beside)))
    turnover = "–" if metrics["turnover"] is None else format.number(metrics["turnover"])
    dropped = format.count(metrics["refused_orders"])
    return [*rows, ("Turnover of a year", turnover, ""), ("Entries dropped", dropped, "")]


def _contribution(symbol: Mapping[str, Any]) -> float:
    return float(symbol["contribution_pct"])


def _symbol(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        each["symbol"],
        format.count(each["trades"]),
        format.count(each["wins"]),
        format.change(each["contribution_pct"]),
        format.number(each["fees"]),
        format.count(each["dropped"]),
    )


def _correlation(names: Sequence[str], matrix: Sequence[Sequence[float | None]]) -> list[tuple[str, ...]]:
    return [
        (name, *("–" if value is None else format.number(value) for value in row))
        for name, row in zip(names, matrix, strict=True)
    ]


def _trade(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["symbol"],
        row["side"],
        format.moment(row["entry_time"]),
        format.moment(row["exit_time"]) if row["exit_time"] else "still open",
        format.spaced(row["reason"] or ""),
        format.change(row["return_pct"]),
        format.number(row["profit"]),
    )
