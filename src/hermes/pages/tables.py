"""The tables of a page as HTML: monthly returns, trades, data quality and gaps, lineage."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

import polars as pl

from hermes.lineage import Lineage
from hermes.pages import format
from hermes.pages.panel import milliseconds

#: A page lists at most this many trades, the latest; `trades.csv` has them all.
MOST_TRADES = 2_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
JUMPED = '<small class="warn" title="an open was 5 times the close before, or a fifth of it">price jump</small>'
_STRONG_PCT = 20.0  # a month's return that gets the strongest colour


def months(monthly: pl.DataFrame, yearly: pl.DataFrame) -> str:
    """Returns by year and month as a heatmap.

    Args:
        monthly: `month` (its first day), `return_pct`.
        yearly: `year`, `return_pct`.
    """
    cells = {(month.year, month.month): value for month, value in monthly.iter_rows()}
    head = "".join(f'<th scope="col">{name}</th>' for name in (*_MONTHS, "Year"))
    rows = []
    for year, total in yearly.iter_rows():
        row = "".join(_heat(cells.get((year, month))) for month in range(1, 13))
        rows.append(f'<tr><th scope="row">{year}</th>{row}{_heat(total, "total")}</tr>')
    return (
        f'<div class="scroll"><table class="heat"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heat(value: float | None, kind: str = "") -> str:
    if value is None:
        return '<td class="none" title="no bar"></td>'
    shown = format.number(value, 1)
    if float(value) == 0:
        return f'<td class="{kind} flat" title="equity did not move">0</td>'
    strength = 8 + 62 * min(1.0, abs(value) / _STRONG_PCT) ** 0.7
    way = "up" if value > 0 else "down"
    return f'<td class="{kind} {way}" style="--heat:{strength:.0f}%" title="{format.change(value)}">{shown}</td>'


_REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "max_bars", "liquidation")  # as they are sorted


def trades(rows: pl.DataFrame, symbol: str) -> str:
    """The trades, sortable; the button of each shows it in the charts.

    Args:
        rows: as `Trades.frame` returns them.
        symbol: what was traded, to write prices with enough digits.
    """
    if rows.is_empty():
        return '<p class="empty">The strategy never traded on these rows: there is no trade to show.</p>'
    unit = format.quote_currency(symbol)
    money = f" ({unit})" if unit else ""
    decimals = format.price_decimals(float(rows["entry_price"].max()))  # type: ignore[arg-type]
    heads = ("#", "Entry (UTC)", f"Price{money}", "Exit (UTC)", f"Price{money}", "Bars held", "Return",
             f"Profit{money}", f"Fees{money}", "Side", "Reason")  # fmt: skip
    head = "".join(
        f'<th scope="col" aria-sort="{"ascending" if name == "#" else "none"}"><button>{escape(name)}</button></th>'
        for name in heads
    )
    shown = rows.with_row_index("number", 1).tail(MOST_TRADES)
    begins, ends = milliseconds(shown["entry_time"]), milliseconds(shown["exit_time"])
    body = "".join(
        _trade(row, begin, end, decimals)
        for row, begin, end in zip(shown.iter_rows(named=True), begins, ends, strict=True)
    )
    cut = ""
    if rows.height > shown.height:
        cut = f"<p>The latest {shown.height:,} of {rows.height:,} trades; trades.csv beside this page has all.</p>"
    return (
        f'{cut}<div class="scroll tall"><table class="trades sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _trade(row: Mapping[str, Any], begin: float, end: float, decimals: int) -> str:
    way = "up" if row["profit"] > 0 else "down"
    number, open_ = row["number"], row["open"]
    span = f'data-from="{begin:.0f}"' + ("" if open_ else f' data-to="{end:.0f}"')
    button = f'<button class="go" {span} title="Show trade {number} in the charts">{number}</button>'
    never = float("inf")  # an exit that is still to come sorts last
    cells = (
        _value(number, button + (JUMPED if row.get("price_jump") else "")),
        _value(begin, format.moment(row["entry_time"])),
        _value(row["entry_price"], format.number(row["entry_price"], decimals)),
        _value(never, "<em>still open</em>") if open_ else _value(end, format.moment(row["exit_time"])),
        _value(never, "") if open_ else _value(row["exit_price"], format.number(row["exit_price"], decimals)),
        _value(row["bars"], format.number(row["bars"], 0)),
        _value(row["return_pct"], format.change(row["return_pct"]), way),
        _value(row["profit"], format.number(row["profit"]), way),
        _value(row["fees"], format.number(row["fees"])),
        _value(row["side"] == "short", row["side"]),
        _value(
            _REASONS.index(row["reason"]) if row["reason"] in _REASONS else never, format.spaced(row["reason"] or "")
        ),
    )
    return f"<tr>{''.join(cells)}</tr>"


def _value(value: float, shown: str, way: str = "") -> str:
    """One cell, and what it is sorted by."""
    kind = f' class="{way}"' if way else ""
    key = "Infinity" if value == float("inf") else f"{value:.17g}"
    return f'<td data-v="{key}"{kind}>{shown}</td>'


def quality(found: Mapping[str, Any]) -> str:
    """What the quality table of the whole silver series says.

    Args:
        found: the fields of `silver.quality.Quality`, times as datetimes.
    """
    tally = found["tally"]
    rejected = ", ".join(f"{count:,} {rule}" for rule, count in tally["rejected"].items()) or "none"
    hours = found["max_gap_hours"]
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
        ("Monthly, daily and recent files differ", f"on {tally['conflicts']:,} bars; kept: daily, else monthly"),
        ("Files without CHECKSUM", ", ".join(found["missing_checksums"]) or "none"),
    ]  # fmt: skip
    return facts(rows) + _gaps(found["gaps"], found["gap_count"])


def _jumps(jumps: Sequence[Mapping[str, Any]], count: int) -> str:
    """The opens that are far from the close before, the first ten of the largest."""
    told = ", ".join(f"{format.moment(jump['bar'])} ({jump['close']:g} → {jump['open']:g})" for jump in jumps[:10])
    return f"{count:,}: {told}{' …' if count > 10 else ''}" if count else "none"


def _gaps(gaps: Sequence[Mapping[str, Any]], count: int) -> str:
    if not gaps:
        return ""
    rows = "".join(
        f"<tr><td>{format.moment(gap['after'])}</td><td>{format.moment(gap['before'])}</td>"
        f"<td>{gap['missing_bars']:,}</td><td>{gap['hours']:g}{format.THIN}h</td></tr>"
        for gap in gaps
    )
    what = f"{count:,} gaps" if count == len(gaps) else f"The {len(gaps)} longest of {count:,} gaps"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Last bar before (UTC)", "Next bar (UTC)", "Missing",
                                                               "Apart"))  # fmt: skip
    return (
        f'<details><summary>{what}</summary><div class="scroll tall"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def lineage(found: Lineage, execution: str, path: str) -> str:
    """What the execution was made from and how: the footer of its signal file."""
    dataset, account = found.dataset, found.backtest
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
        (
            "Signals found",
            f"{found.buy_signals:,} to buy, {found.sell_signals:,} to sell, on {found.rows:,} bars",
        ),
        *_audit(found.audit),
        ("Versions", format.plain(versions)),
    ]
    sources = "".join(
        f"<tr><td>{escape(source.path)}</td><td>{source.rows:,}</td><td>{source.size:,}</td>"
        f"<td><code>{escape(source.fingerprint)}</code></td></tr>"
        for source in found.sources
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Feature file", "Rows", "Bytes", "Fingerprint"))
    return facts(rows) + (
        f'<details><summary>{len(found.sources)} source files</summary><div class="scroll tall">'
        f'<table class="sources"><thead><tr>{head}</tr></thead><tbody>{sources}</tbody></table></div></details>'
    )


def _audit(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """How each check of the audit that went before ended, where there was one of these rules on these bars."""
    if not found or "checks" not in found:
        return [("Audit", f"not checked: {format.NO_AUDIT}")]
    return [
        ("Audit", f"{format.spaced(found['verdict'])}, on {found['bars']:,} of {found['of_bars']:,} bars"),
        *(
            (f"Audit: {format.spaced(name)}", f"{format.spaced(check['verdict'])}: {check['detail']}")
            for name, check in found["checks"].items()
        ),
    ]


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values."""
    return f'<dl class="facts">{"".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows)}</dl>'
