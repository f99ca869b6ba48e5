"""The tables of a page as HTML: monthly returns, trades, data quality and gaps, lineage."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from markupsafe import Markup

from hermes.lineage import Lineage
from hermes.pages import format
from hermes.pages.panel import milliseconds
from hermes.pages.rendering import render
from hermes.text import counted, exact

#: A page lists at most this many trades, the latest; `trades.csv` has them all.
MOST_TRADES = 2_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STRONG_PCT = 20.0  # a month's return that gets the strongest colour


def months(monthly: pl.DataFrame, yearly: pl.DataFrame) -> Markup:
    """Returns by year and month as a heatmap.

    Args:
        monthly: `month` (its first day), `return_pct`.
        yearly: `year`, `return_pct`.
    """
    cells = {(month.year, month.month): value for month, value in monthly.iter_rows()}
    rows = [
        (year, [*(_heat(cells.get((year, month))) for month in range(1, 13)), _heat(total, "total")])
        for year, total in yearly.iter_rows()
    ]
    return render("months.html", months=_MONTHS, rows=rows)


def _heat(value: float | None, kind: str = "") -> dict[str, Any] | None:
    if value is None:
        return None
    strength = 8 + 62 * min(1.0, abs(value) / _STRONG_PCT) ** 0.7
    return {"value": float(value), "kind": kind, "heat": f"{strength:.0f}"}


_REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "max_bars", "liquidation")  # as they are sorted


def trades(rows: pl.DataFrame, symbol: str) -> Markup:
    """The trades, sortable, each with a button that shows it in the charts.

    Args:
        rows: as `Records.frame` returns them.
        symbol: decides the precision of prices.
    """
    unit = format.quote_currency(symbol)
    money = f" ({unit})" if unit else ""
    highest: Any = rows["entry_price"].max()
    decimals = format.price_decimals(float(highest or 0))
    heads = ("#", "Entry (UTC)", f"Price{money}", "Exit (UTC)", f"Price{money}", "Bars held", "Return",
             f"Profit{money}", f"Fees{money}", "Side", "Reason")  # fmt: skip
    shown = rows.with_row_index("number", 1).tail(MOST_TRADES)
    begins, ends = milliseconds(shown["entry_time"]), milliseconds(shown["exit_time"])
    made = [
        _trade(row, begin, end, decimals)
        for row, begin, end in zip(shown.iter_rows(named=True), begins, ends, strict=True)
    ]
    return render("trades.html", heads=heads, rows=made, total=rows.height)


def exits(trades: pl.DataFrame) -> list[tuple[str, ...]]:
    """The results of closed trades by the reason of their exits; empty if signals ended all of them.

    Args:
        trades: as `Records.frame` returns them.
    """
    closed = trades.filter(~pl.col("open"))
    if set(closed["reason"]) <= {"signal"}:
        return []
    found = closed.group_by("reason").agg(
        pl.len().alias("trades"),
        (pl.col("profit") > 0).sum().alias("won"),
        pl.col("return_pct").mean(),
        pl.col("profit").sum(),
    )
    return [
        (
            format.spaced(row["reason"]),
            format.count(row["trades"]),
            format.count(row["won"]),
            format.change(row["return_pct"]),
            format.number(row["profit"]),
        )
        for row in found.sort("trades", descending=True).iter_rows(named=True)
    ]


def _trade(row: Mapping[str, Any], begin: float, end: float, decimals: int) -> dict[str, Any]:
    """One row for the template; trades still open sort last."""
    way, open_, never = "up" if row["profit"] > 0 else "down", row["open"], float("inf")
    reason = _REASONS.index(row["reason"]) if row["reason"] in _REASONS else never
    cells = (
        _cell(begin, format.moment(row["entry_time"])),
        _cell(row["entry_price"], format.number(row["entry_price"], decimals)),
        _cell(never, None) if open_ else _cell(end, format.moment(row["exit_time"])),
        _cell(never, "") if open_ else _cell(row["exit_price"], format.number(row["exit_price"], decimals)),
        _cell(row["bars"], format.count(row["bars"])),
        _cell(row["return_pct"], format.change(row["return_pct"]), way),
        _cell(row["profit"], format.number(row["profit"]), way),
        _cell(row["fees"], format.number(row["fees"])),
        _cell(row["side"] == "short", row["side"]),
        _cell(reason, format.spaced(row["reason"] or "")),
    )
    return {
        "number": row["number"],
        "begin": f"{begin:.0f}",
        "end": "" if open_ else f"{end:.0f}",
        "jumped": row.get("price_jump"),
        "cells": cells,
    }


def _cell(value: float, text: str | None, kind: str = "") -> dict[str, Any]:
    """One cell and its sort key; None stands for an exit still to come."""
    return {"sort": "Infinity" if value == float("inf") else f"{value:.17g}", "text": text, "kind": kind}


def quality(found: Mapping[str, Any]) -> Markup:
    """The quality table of the silver series.

    Args:
        found: the fields of `silver.quality.Quality`, times as datetimes.
    """
    tally = found["tally"]
    rejected = ", ".join(f"{count:,} {rule}" for rule, count in tally["rejected"].items()) or "none"
    hours = found["max_gap_hours"]
    conflicts = counted(tally["conflicts"], "bar")
    rows = [
        ("Bars", f"{found['rows']:,}, from {format.moment(found['first'])} to {format.moment(found['last'])} UTC"),
        ("Coverage", f"{found['coverage_pct']:.3f} %: {found['missing_bars']:,} of {found['expected_bars']:,} bars are "
                     "missing; nothing was filled in"),
        ("Gaps", f"{found['gap_count']:,}" + (f", at most {hours:g} h between two bars" if hours else "")),
        ("Bars without a trade", f"{found['zero_volume_bars']:,}, kept"),
        ("Off the grid, cut short", f"{found['off_grid_bars']:,} and {tally['short_bars']:,}"),
        ("Price jumps", _jumps(found.get("price_jumps", ()), found.get("price_jump_count", 0))),
        ("Rejected rows", rejected),
        ("Identical duplicates", f"{tally['identical_duplicates']:,}, kept once"),
        ("Monthly, daily and recent files differ", f"on {conflicts}; kept: daily, else monthly"),
        ("Files without CHECKSUM", ", ".join(found["missing_checksums"]) or "none"),
    ]  # fmt: skip
    return render("quality.html", facts=rows, gaps=found["gaps"], gap_count=found["gap_count"])


def _jumps(jumps: Sequence[Mapping[str, Any]], count: int) -> str:
    """The price jumps, the first ten of the largest."""
    told = ", ".join(
        f"{format.moment(jump['bar'])} ({exact(jump['close'])} → {exact(jump['open'])})" for jump in jumps[:10]
    )
    return f"{count:,}: {told}{' …' if count > 10 else ''}" if count else "none"


def _splits(splits: Sequence[Sequence[Any]]) -> str:
    """The splits that prices were adjusted for."""
    told = [f"{exact(ratio)} from {format.moment(datetime.fromisoformat(at))} UTC on" for at, ratio in splits]
    return f"before each, prices times the ratio and volumes over it: {', '.join(told)}"


def lineage(found: Lineage, execution: str, path: str) -> Markup:
    """The lineage of the execution, from the footer of its signal file."""
    dataset, account = found.dataset, {**found.backtest, **(found.account or {})}
    versions = {"hermes": found.hermes, "python": found.python, **found.libraries}
    rows = [
        ("Execution", execution),
        ("Signals", path),
        ("Made at", format.moment(datetime.fromisoformat(found.generated_at)) + " UTC"),
        ("Dataset", format.plain(dataset)),
        ("Strategy", found.strategy),
        ("Parameters", format.plain(found.parameters)),
        ("Asked for", f"from {found.start or 'the first bar'} to {found.end or 'the last bar'}"),
        ("Account", format.plain(account)),
        ("Features", format.feature_set(found.trial) or "production"),
        *([("Prices adjusted for splits", _splits(found.splits))] if found.splits else []),
        *([("Indicators of one's own", format.plain(found.indicators))] if found.indicators else []),
        (
            "Signals found",
            f"{found.buy_signals:,} to buy, {found.sell_signals:,} to sell, on {counted(found.rows, 'bar')}",
        ),
        *_audit(found.audit),
        ("Versions", format.plain(versions)),
    ]
    return render("lineage.html", facts=rows, sources=found.sources)


def _audit(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The results of the preceding audit, if there was one of these rules on these bars."""
    if not found or "checks" not in found:
        return [("Audit", f"not checked: {format.NO_AUDIT}")]
    return [
        ("Audit", f"{format.spaced(found['verdict'])}, on {found['bars']:,} of {counted(found['of_bars'], 'bar')}"),
        *(
            (f"Audit: {format.spaced(name)}", f"{format.spaced(check['verdict'])}: {check['detail']}")
            for name, check in found["checks"].items()
        ),
    ]
