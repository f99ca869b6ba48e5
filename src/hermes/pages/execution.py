"""One execution as one self-contained HTML file: headline, charts, tables, lineage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from markupsafe import Markup

from hermes.lineage import Lineage
from hermes.pages import format, measures, record, tables
from hermes.pages.account_chart import ACCOUNT, drawdown_panel, equity_panel, sharpe_panel
from hermes.pages.candles import Layout
from hermes.pages.charts import Drawn, chart_page
from hermes.pages.measures import Measures
from hermes.pages.panel import PanelBuilder
from hermes.pages.price_chart import bounded_panel, indicator_panel, price_panel, volume_panel
from hermes.pages.rendering import Tile
from hermes.text import counted

_FILLS = {"close": "Filled at the close", "next_open": "Filled at the next open"}


@dataclass(frozen=True, slots=True)
class Execution:
    """The content of the page of one execution.

    Attributes:
        lineage: from the footer of the signal file.
        name: the execution's folder; path: address of its signals.
        simulated: whether the prices are synthetic.
        results: the measures by fill, `close` and `next_open`.
        holding: the measures of holding the asset from the first close on, without fees.
        trades, monthly, yearly: of the configured fill, as the backtest gives them.
        bars: the candles, as `candles.aggregate` returns them, with the rolling Sharpe ratios `sharpe` and
            `benchmark_sharpe`, and with the trend's line where it is known.
        bars_each: bars per candle.
        sharpe_window: length of the window of the rolling Sharpe ratios, in words.
        marks: orders and signals, as `candles.marks` returns them.
        layout: the panel of each indicator.
        interval: length of a bar.
        quality: the fields of the series' quality table, or None.
        notes: remarks for the reader about how the page was made.
        record: live decisions, see `record.section`; None if nothing is on record.
        warnings: about the measures.
        trades_file: name of the file beside the page that has all trades.
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
    sharpe_window: str
    marks: pl.DataFrame
    layout: Layout
    interval: timedelta
    quality: Mapping[str, Any] | None
    notes: Sequence[str] = ()
    record: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    trades_file: str = "trades.csv"

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
        """The quote currency, empty if unknown."""
        return format.quote_currency(self.symbol)


def execution_page(execution: Execution) -> str:
    """The whole page."""
    lineage, measured = execution.lineage, execution.measured
    return chart_page(
        "execution.html",
        execution.title,
        _charts(execution),
        lineage=lineage,
        simulated=execution.simulated,
        account={**lineage.backtest, **(lineage.account or {})},
        warnings=execution.warnings,
        notes=execution.notes,
        tiles=_tiles(execution),
        first=datetime.fromisoformat(lineage.first),
        last=datetime.fromisoformat(lineage.last),
        measured=measured,
        holding=execution.holding,
        unit=execution.unit,
        bars_each=execution.bars_each,
        drawn_bars=execution.bars.height,
        measures=_measures(execution),
        months=tables.months(execution.monthly, execution.yearly),
        trades=tables.trades(execution.trades, execution.symbol),
        trades_file=execution.trades_file,
        record=None if execution.record is None else record.section(execution.record),
        quality=None if execution.quality is None else tables.quality(execution.quality),
        origin=tables.lineage(lineage, execution.name, execution.path),
        exits=tables.exits(execution.trades),
    )


def _charts(execution: Execution) -> list[Drawn]:
    layout, held = execution.layout, _held(execution)
    builder = PanelBuilder(execution.bars, execution.interval * execution.bars_each)
    drawn = [price_panel(builder, execution.marks, held, layout, execution.unit), volume_panel(builder)]
    if layout.bounded:
        drawn.append(bounded_panel(builder, layout.bounded, _band(execution.lineage.parameters)))
    if layout.other:
        drawn.append(indicator_panel(builder, "other", layout.other))
    drawn += [equity_panel(builder, ACCOUNT, execution.unit, held), drawdown_panel(builder)]
    if execution.bars["sharpe"].is_not_nan().any():
        drawn.append(sharpe_panel(builder, execution.sharpe_window))
    return drawn


def _tiles(execution: Execution) -> list[Tile]:
    measured, holding = execution.measured, execution.holding
    few = format.few_trades(measured["trades"]) if measured["trades"] else "it never traded"
    sharpe = "–" if measured["sharpe"] is None else format.number(measured["sharpe"])
    return [
        Tile("Strategy", format.change(measured["total_return_pct"]), _money(execution, measured), "main"),
        Tile("Holding instead", format.change(measured["benchmark_return_pct"]), _money(execution, holding)),
        Tile("Max drawdown", _fall(measured), f"holding {_fall(holding)}"),
        Tile("Sharpe", sharpe, few or counted(measured["trades"], "trade"), "warn" if few else ""),
    ]


def _money(execution: Execution, values: Measures) -> str:
    return f"ends at {format.amount(values['end_value'], execution.unit)}"


def _fall(values: Measures) -> str:
    fall = values["max_drawdown_pct"]
    return "–" if fall is None else format.change(-fall, 1)


def _measures(execution: Execution) -> Markup:
    fill = execution.lineage.backtest["fill"]
    order = sorted(execution.results, key=lambda each: each != fill)
    columns = {_FILLS[each]: execution.results[each] for each in order}
    return measures.table({**columns, "Holding": execution.holding}, execution.unit)


def _held(execution: Execution) -> pl.DataFrame:
    """When the position was held; a trade still open is held until the last bar."""
    last = execution.bars["last_time"][-1]
    return execution.trades.select("side", start="entry_time", end=pl.col("exit_time").fill_null(last))


def _band(parameters: Mapping[str, Any]) -> tuple[float, float] | None:
    """The neutral band of the RSI, where the strategy has one."""
    if "rsi_low" not in parameters or "rsi_high" not in parameters:
        return None
    return float(parameters["rsi_low"]), float(parameters["rsi_high"])
