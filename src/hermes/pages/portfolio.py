"""A portfolio as one self-contained HTML file: equity beside holding, drawdown, symbols, correlation, trades."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from hermes.pages import format
from hermes.pages.head import head
from hermes.pages.lines import STYLE, line_chart, table

MOST_TRADES, MOST_CORRELATED = 500, 40


@dataclass(frozen=True, slots=True)
class PortfolioPage:
    """Everything that the page says; `result` by the names of `PortfolioResult.as_json`."""

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


def portfolio_page(made: PortfolioPage) -> str:
    """The whole page."""
    banner = '<div class="banner">SIMULATED MARKET: synthetic prices.</div>' if made.simulated else ""
    title = f"{format.title(made.strategy)}: portfolio of {len(made.result['symbols'])}"
    ranked = f"ranked by {made.rank}" if made.rank else "ranked by symbol"
    few = format.few_trades(made.result["metrics"]["trades"])
    return f"""{head(title, style=STYLE)}
{banner}
<main>
<header><h1>{escape(title)}</h1>
<p class="soft">{escape(made.market)}, {escape(made.interval)}, at most {made.max_positions} positions, entries that
coincide {escape(ranked)}; {escape(format.terms({**made.backtest, **made.account}))}</p></header>
{f'<p class="warn">{escape(few)}</p>' if few else ""}
{table(["", "Portfolio", "Holding equal parts"], _measures(made.result))}
<h2>Equity</h2><p class="soft">Blue: the portfolio; grey: holding equal parts of all symbols, without fees.</p>
{line_chart(made.curve, ("equity", "benchmark"), ("equity", "held"))}
<h2>Drawdown</h2>
{line_chart(made.curve, ("drawdown_pct",), ("fall",))}
<h2>Symbols</h2>
{table(["Symbol", "Trades", "Won", "Contribution", "Fees", "Dropped"], _symbols(made.result["symbols"]))}
<h2>Correlation of returns</h2>
{_correlation(made.result["correlation"])}
<h2>Trades</h2>
{_trades(made.trades)}
</main>
</body>
</html>
"""


def _measures(result: Mapping[str, Any]) -> list[list[str]]:
    metrics, held = result["metrics"], result["benchmark"]
    rows = [
        ("Return", _change(metrics["total_return_pct"]), _change(held["total_return_pct"])),
        ("Sharpe", _number(metrics["sharpe"]), _number(held["sharpe"])),
        ("Largest drawdown", _percent(metrics["max_drawdown_pct"]), _percent(held["max_drawdown_pct"])),
        ("CAGR", _change(metrics["cagr_pct"]), ""),
        ("Trades", f"{metrics['trades']:,}", ""),
        ("Winning trades", _percent(metrics["win_rate_pct"]), ""),
        ("In the market", _percent(metrics["exposure_pct"]), ""),
        ("Turnover of a year", _number(metrics["turnover"]), ""),
        ("Fees paid", format.number(metrics["fees_paid"]), ""),
        ("Entries dropped", f"{metrics['refused_orders']:,}", ""),
        ("End value", format.number(metrics["end_value"]), ""),
    ]
    return [list(row) for row in rows]


def _symbols(symbols: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    ordered = sorted(symbols, key=lambda each: -each["contribution_pct"])
    return [
        [
            each["symbol"],
            f"{each['trades']:,}",
            f"{each['wins']:,}",
            format.change(each["contribution_pct"]),
            format.number(each["fees"]),
            f"{each['dropped']:,}",
        ]
        for each in ordered
    ]


def _correlation(found: Mapping[str, Any]) -> str:
    names, matrix = found["symbols"], found["matrix"]
    if len(names) > MOST_CORRELATED:
        known = [value for i, row in enumerate(matrix) for value in row[:i] if value is not None]
        mean = sum(known) / len(known) if known else None
        return f"<p>{len(names)} symbols: on average {_number(mean)}; the JSON has all pairs.</p>"
    rows = [[name, *(_number(value) for value in row)] for name, row in zip(names, matrix, strict=True)]
    return f'<div class="wide">{table(["", *names], rows)}</div>'


def _trades(trades: pl.DataFrame) -> str:
    shown = trades.tail(MOST_TRADES).reverse()
    said = f"<p>The latest {shown.height:,} of {trades.height:,}; trades.csv beside this page has all.</p>"
    rows = [
        [
            row["symbol"],
            row["side"],
            format.moment(row["entry_time"]),
            format.moment(row["exit_time"]) if row["exit_time"] else "open",
            row["reason"] or "",
            _change(row["return_pct"]),
            format.number(row["profit"]),
        ]
        for row in shown.iter_rows(named=True)
    ]
    return said + table(["Symbol", "Side", "Entry", "Exit", "Reason", "Return", "Profit"], rows)


def _change(value: float | None) -> str:
    return "" if value is None else format.change(value)


def _percent(value: float | None) -> str:
    return "" if value is None else format.percent(value)


def _number(value: float | None) -> str:
    return "" if value is None else format.number(value)
