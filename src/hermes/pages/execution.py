"""One execution as one HTML file that asks nobody for anything: headline, charts, tables, and where it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any

import polars as pl

from hermes.lineage import Lineage
from hermes.pages import charts, format, measures, record, tables
from hermes.pages.candles import Layout
from hermes.pages.head import head, resource
from hermes.pages.measures import Measures

_FILLS = {"close": "Filled at the close", "next_open": "Filled at the next open"}
_NAMES = {
    "held": "position held",
    "candle up": "bar up",
    "candle down": "bar down",
    "buy": "buy",
    "sell": "sell",
    "idle_buy": "buy signal while long",
    "idle_sell": "sell signal while flat",
    "equity": "strategy",
    "benchmark": "holding",
    "drawdown": "strategy",
    "benchmark drawdown": "holding",
}
_SHAPES = {"buy": "▲", "sell": "▼", "idle_buy": "△", "idle_sell": "▽"}
_TITLES = {
    "price": "Price",
    "bounded": "Oscillators",
    "other": "Other indicators",
    "equity": "Equity against holding",
    "drawdown": "Drawdown",
}


@dataclass(frozen=True, slots=True)
class Execution:
    """Everything that a page says about one execution.

    Attributes:
        lineage: what the signal file's footer says.
        name: the execution's folder; path: address of its signals.
        simulated: whether the market is one that never was.
        results: by fill, `close` and `next_open`, the measures.
        holding: the measures of holding the asset from the first close on, without fees.
        trades, monthly, yearly: of the configured fill, as the backtest gives them.
        bars: what is drawn, as `frames.together` returns it, with the trend's line where it is known.
        bars_each: how many bars one of those stands for.
        marks: the signals, as `frames.marks` returns them.
        layout: which indicator goes where.
        interval: length of a bar.
        quality: the fields of the series' quality table, or None.
        notes: what the reader should know about how the page was made.
        record: what was decided live, see `record.section`; None where nothing is on record.
        warnings: what has to be known before the figures are trusted.
    """

    lineage: Lineage
    name: str
    path: str
    simulated: bool
    results: Mapping[str, Measures]
    holding: Measures
    trades: pl.DataFrame
    monthly: pl.DataFrame
    yearly: pl.DataFrame
    bars: pl.DataFrame
    bars_each: int
    marks: pl.DataFrame
    layout: Layout
    interval: timedelta
    quality: Mapping[str, Any] | None
    notes: Sequence[str] = ()
    record: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()

    @property
    def measured(self) -> Measures:
        """The measures of the configured fill: those stamped on the signals."""
        return self.results[self.lineage.backtest["fill"]]

    @property
    def symbol(self) -> str:
        """What was traded."""
        return str(self.lineage.dataset["symbol"])

    @property
    def title(self) -> str:
        """Strategy, symbol and interval."""
        return f"{format.title(self.lineage.strategy)} on {self.symbol} {self.lineage.dataset['interval']}"

    @property
    def unit(self) -> str:
        """The quote currency, where its name is known."""
        return format.quote_currency(self.symbol)


def page(execution: Execution) -> str:
    """The whole page."""
    drawn = charts.charts(
        execution.bars,
        execution.marks,
        _held(execution),
        execution.layout,
        execution.interval * execution.bars_each,
        _band(execution.lineage.parameters),
    )
    return f"""{head(execution.title, "script-src 'unsafe-inline'; img-src data: blob:")}
{_banner(execution)}
<main>
{_headline(execution)}
{_panels(execution, drawn)}
{_section("measures", "Measures", _measures(execution))}
{_section("months", "Monthly returns", tables.months(execution.monthly, execution.yearly), "in percent, UTC months")}
{_section("trades", "Trades", tables.trades(execution.trades, execution.symbol), _trades_note(execution))}
{_record(execution)}
{_section("quality", "Data quality and gaps", _quality(execution), "of the whole silver series, as last refined")}
{_section("lineage", "Where this came from", tables.lineage(execution.lineage, execution.name, execution.path))}
</main>
<footer>Made by Hermes {escape(execution.lineage.hermes)}. All times are UTC, the open times of bars. Past results \
say little about the future, and this page is no advice.</footer>
<script type="application/json" id="charts-json">{drawn.json}</script>
{charts.runtime()}
<script>{resource("theme.js")}</script>
<script>{resource("execution.js")}</script>
</body>
</html>
"""


def _banner(execution: Execution) -> str:
    if not execution.simulated:
        return ""
    return (
        '<p class="banner" role="note"><b>Simulated market.</b> Synthetic prices; nothing here says how a '
        "strategy trades.</p>"
    )


def _headline(execution: Execution) -> str:
    lineage, measured = execution.lineage, execution.measured
    dataset, account = lineage.dataset, {**lineage.backtest, **(lineage.account or {})}
    parameters = format.plain(lineage.parameters)
    few = format.few_trades(measured["trades"]) if measured["trades"] else "it never traded"
    sharpe = "–" if measured["sharpe"] is None else format.number(measured["sharpe"])
    benchmark = measured["benchmark_return_pct"]
    tiles = [
        ("Strategy", format.change(measured["total_return_pct"]), _money(execution, measured), "main"),
        ("Holding instead", format.change(benchmark), _money(execution, execution.holding), ""),
        ("Max drawdown", _fall(measured), f"holding {_fall(execution.holding)}", ""),
        ("Sharpe", sharpe, few or f"{measured['trades']:,} trades", "warn" if few else ""),
    ]
    cells = "".join(
        f'<div class="tile {kind}"><span class="label">{label}</span><span class="figure">{figure}</span>'
        f'<span class="note">{note}</span></div>'
        for label, figure, note, kind in tiles
    )
    return f"""<header>
<button id="theme" title="Light or dark" aria-label="Light or dark">◐</button>
<p class="over">{escape(dataset["provider"])} {escape(dataset["market"])} · {escape(dataset["interval"])} bars</p>
<h1>{escape(format.title(lineage.strategy))} <span class="soft">on</span> {escape(dataset["symbol"])}</h1>
<p class="soft">{escape(parameters)}</p>
<div class="tiles">{cells}</div>
<p class="lead">{_story(execution)}</p>
{"".join(f'<p class="warn">{escape(each[:1].upper() + each[1:])}.</p>' for each in execution.warnings)}
<p class="soft">{format.terms(account)}{"".join(f" {escape(note)}" for note in execution.notes)}</p>
</header>"""


def _story(execution: Execution) -> str:
    """What happened, in two sentences."""
    lineage, measured, holding = execution.lineage, execution.measured, execution.holding
    first, last = (datetime.fromisoformat(each) for each in (lineage.first, lineage.last))
    span = f"From {format.day(first)} to {format.day(last)} ({lineage.rows:,} bars)"
    start = format.amount(measured["initial_cash"], execution.unit)
    held = f"holding would have made it {format.amount(holding['end_value'], execution.unit)}"
    if not measured["trades"]:
        return (
            f"{span} <b>the strategy never traded</b>: its {start} stayed what they were, while {held}. "
            "Measures of trades and of risk do not exist here and are shown as –."
        )
    difference = measured["end_value"] - holding["end_value"]
    verdict = "less than holding" if difference < 0 else "more than holding"
    trades = f"{measured['trades']:,} trade{'' if measured['trades'] == 1 else 's'}"
    open_ = ", the last still open" if measured["open_trade"] else ""
    return (
        f"{span}, {start} became <b>{format.amount(measured['end_value'], execution.unit)}</b> in {trades}{open_}; "
        f"{held}. That is <b>{format.amount(abs(difference), execution.unit)} {verdict}</b>, with the asset in hand "
        f"{format.percent(measured['exposure_pct'], 1)} of the time."
    )


def _money(execution: Execution, values: Measures) -> str:
    return f"ends at {format.amount(values['end_value'], execution.unit)}"


def _fall(values: Measures) -> str:
    fall = values["max_drawdown_pct"]
    return "–" if fall is None else format.change(-fall, 1)


def _panels(execution: Execution, drawn: charts.Charts) -> str:
    """The charts with their legends; the buttons set the time in view of all of them."""
    spans = "".join(
        f'<button data-days="{days}"{" class=on" if not days else ""}>{label}</button>'
        for label, days in (("All", 0), ("3Y", 1095), ("1Y", 365), ("3M", 91), ("1M", 30))
    )
    bar = (
        '<nav class="spans" aria-label="Time in view"><button data-step="-1" aria-label="Earlier">‹</button>'
        f'{spans}<button data-step="1" aria-label="Later">›</button>'
        '<span class="soft hint">Drag to move, pinch or Ctrl + wheel to zoom: all charts move together.</span></nav>'
    )
    figures = "".join(
        f'<figure class="chart {name}"><figcaption><h2>{_title(execution, name)}{_unit(execution, name)}</h2>'
        f'{_legend(panel)}</figcaption><div class="plot" id="{panel.element}"></div></figure>'
        for name, panel in drawn.panels.items()
    )
    return f'<section id="charts">{bar}{_together(execution)}{figures}</section>'


def _title(execution: Execution, name: str) -> str:
    """A panel of nothing but RSIs is called RSI, one of MACDs MACD."""
    columns = {"bounded": execution.layout.bounded, "other": execution.layout.other}.get(name, ())
    families = {format.family(column) for column in columns}
    return families.pop() if len(families) == 1 else _TITLES[name]


def _unit(execution: Execution, name: str) -> str:
    unit = {"price": execution.unit, "equity": execution.unit, "drawdown": "%"}.get(name, "")
    scale = ", log scale" if name in ("price", "equity") else ""
    return f' <small class="soft">{unit}{scale}</small>'.replace(">, ", ">") if unit or scale else ""


def _legend(panel: charts.Panel) -> str:
    keys = "".join(
        f'<li style="--key:{color}"><i class="{"shape" if name in _SHAPES else name.split()[0]}">'
        f"{_SHAPES.get(name, '')}</i>{escape(_NAMES.get(name, name))}</li>"
        for name, color in panel.keys.items()
    )
    return f'<ul class="legend">{keys}</ul>'


def _together(execution: Execution) -> str:
    if execution.bars_each == 1:
        return ""
    return (
        f'<p class="together">The {execution.lineage.rows:,} bars are drawn as {execution.bars.height:,} candles of '
        f"{execution.bars_each} bars each: first open, highest high, lowest low, last close; lines show the last "
        "value, the drawdown its deepest. Signals stand at their exact times, and every measure is of all bars.</p>"
    )


def _measures(execution: Execution) -> str:
    fill = execution.lineage.backtest["fill"]
    order = sorted(execution.results, key=lambda each: each != fill)
    columns = {_FILLS[each]: execution.results[each] for each in order}
    return measures.table({**columns, "Holding": execution.holding}, execution.unit)


def _quality(execution: Execution) -> str:
    if execution.quality is None:
        return '<p class="empty">No quality table is stored beside silver; `hermes refine` makes one.</p>'
    return tables.quality(execution.quality)


def _trades_note(execution: Execution) -> str:
    return '<a href="trades.csv">trades.csv</a>; a click on a heading sorts, one on a number shows the trade'


def _record(execution: Execution) -> str:
    """What was decided live, where anything was."""
    if execution.record is None:
        return ""
    return _section("record", "On the record", record.section(execution.record), "decided live, as bars closed")


def _section(name: str, title: str, content: str, note: str = "") -> str:
    beside = f'<p class="soft">{note}</p>' if note else ""
    return f'<section id="{name}"><div class="title"><h2>{title}</h2>{beside}</div>{content}</section>'


def _held(execution: Execution) -> pl.DataFrame:
    """When the position was held; a trade still open is held until the last bar."""
    last = execution.bars["last_time"][-1]
    return execution.trades.select(start="entry_time", end=pl.col("exit_time").fill_null(last))


def _band(parameters: Mapping[str, Any]) -> tuple[float, float] | None:
    """The neutral band of the RSI, where the strategy has one."""
    if "rsi_low" not in parameters or "rsi_high" not in parameters:
        return None
    return float(parameters["rsi_low"]), float(parameters["rsi_high"])
