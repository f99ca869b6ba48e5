"""One execution → its page, its trades and a thumbnail, published beside the signals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import repeat, tee
from math import isclose
from time import perf_counter
from typing import Any

import polars as pl

from hermes.dataset import Dataset, is_simulated
from hermes.errors import MissingTable, StoreError, TableRefused
from hermes.freshness import Freshness
from hermes.lake import catalog
from hermes.lake.executions import Execution as Found
from hermes.lake.store import NAMES_DAMAGE, Lake
from hermes.lake.tables import open_table
from hermes.lineage import Lineage
from hermes.pages import format, notebook
from hermes.pages.candles import MOST_IDLE_SIGNALS, Layout, bars_each, layout, marks, together
from hermes.pages.execution import Execution, page
from hermes.pages.thumbnail import thumbnail
from hermes.progress import SILENT, Progress
from hermes.schemas import DATETIME
from hermes.settings import Settings
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import Backtest, Result
from hermes.stages.backtest.funding import Funding
from hermes.stages.backtest.trading import BARS, equity_curve
from hermes.stages.signals.generate import pieces
from hermes.steps.account import FILLS, account_from, remarks
from hermes.steps.funding import funding_of
from hermes.steps.production import find_execution
from hermes.steps.refine import read_quality
from hermes.steps.results import StepResult
from hermes.steps.step import step
from hermes.steps.warnings import duration, freshness_of, warnings
from hermes.strategies import strategy_name
from hermes.text import counted

PIECE_ROWS = 250_000  # rows at once, about


@dataclass(frozen=True, slots=True, repr=False)
class Reported(StepResult):
    """What was published about one execution; a notebook shows its page whole, and asks no server for anything.

    Attributes:
        execution: its folder's name.
        path: address of the page; trades_path: of the trades as CSV; thumbnail_path: of the small chart as SVG.
        bytes: size of the page.
        rows: bars that were measured; drawn: candles that the page draws.
        trades: with the configured fill.
    """

    execution: str
    path: str
    trades_path: str
    thumbnail_path: str
    bytes: int
    rows: int
    drawn: int
    trades: int
    seconds: float

    @property
    def html(self) -> str:
        """The page itself; raises MissingTable where it is no longer in the settings' lake."""
        table = self.settings.dataset.signals_table(strategy_name(self.settings.signals.strategy))
        content = Lake.open(self.settings).gold.read(f"{table}/{self.execution}/report.html")
        if content is None:
            raise MissingTable(f"{self.path} is not there any more", "make it again with `hermes.report`")
        return content.decode()

    def __repr__(self) -> str:
        """Where the page is."""
        found = [("page", self.path), ("trades", self.trades_path), ("bars drawn", f"{self.drawn:,} of {self.rows:,}")]
        return notebook.listed(f"Page: {self.settings.dataset}", found, self.settings.dataset.symbol)

    def _repr_html_(self) -> str:
        """The page itself, in a frame of its own."""
        return notebook.inline(self.html)


@step()
def report(
    settings: Settings,
    lake: Lake,
    *,
    execution: str | None = None,
    record: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Reported:
    """Make the page of one execution, from its signal file alone.

    Every figure is measured anew on the rows of that file; a file whose stamped figures differ gets no page.

    Args:
        settings: name the dataset and the strategy.
        lake: where the execution is.
        execution: its folder's name; without it the one that production reads.
        progress: told how far the work is.
        record: what was decided live, for the page, see `pages.record.section`.

    Raises:
        MissingTable: there is no such execution.
        StoreError: the file was made by another tool, or its figures are not those of its rows.
    """
    started = perf_counter()
    found = find_execution(settings, lake, execution)
    measured = replace(measure(lake, found, settings.dataset, progress), record=record)
    folder = found.file.key.rpartition("/")[0]
    trades = measured.trades.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()
    content = {
        "trades.csv": trades,
        "report.svg": _thumbnail(measured).encode(),
        "report.html": page(measured).encode(),
    }
    for name, data in content.items():
        lake.gold.write_bytes(f"{folder}/{name}", data)
    return Reported(
        settings,
        found.name,
        lake.gold.locate(f"{folder}/report.html"),
        lake.gold.locate(f"{folder}/trades.csv"),
        lake.gold.locate(f"{folder}/report.svg"),
        len(content["report.html"]),
        measured.lineage.rows,
        measured.bars.height,
        measured.trades.height,
        perf_counter() - started,
    )


def _thumbnail(measured: Execution) -> str:
    strategy, holding = (format.change(each["total_return_pct"]) for each in (measured.measured, measured.holding))
    return thumbnail(measured.bars, measured.title, strategy, holding, simulated=measured.simulated)


def measure(lake: Lake, found: Found, dataset: Dataset, progress: Progress = SILENT) -> Execution:
    """What the page of one execution shows, from one pass over its file; nothing is written.

    Raises:
        StoreError: the file was made by another tool, or its figures are not those of its rows.
    """
    lineage = Lineage.read(catalog.checked_lineage(lake.gold, found), found.file.location)
    with lake.gold.errors():
        scan = lake.gold.scan([found.file])
        columns = layout(scan.collect_schema())
        wanted = [*BARS, "high", "low", "position", *columns.columns]
        each = bars_each(lineage.rows)
        size = PIECE_ROWS // each * each  # so that no candle is cut in two
        read = scan.select(wanted).collect_batches(chunk_size=size, maintain_order=True, engine="streaming")
        funding = funding_of(dataset, lake)
        run = _Run(lineage, dataset, columns, each, funding)
        with progress.task(f"report {dataset}", lineage.rows, "rows") as advance:
            for rows in run.through(_sound(pieces(read, repeat(size)), found.file.location)):
                advance(rows, "")
    results = dict(zip(FILLS, run.fills.finish(), strict=True))
    (holding,) = run.holding.finish()
    stamped = results[lineage.backtest["fill"]]
    _check(lineage, found.file.location, stamped)
    bars, note = _with_trend(lake, dataset, pl.concat(run.bars), columns)
    shown, left_out = _shown(pl.concat(run.marks))
    quality = read_quality(dataset, lake)
    fresh = freshness_of(dataset, lake, lineage.newest_bar)
    side = (lineage.account or {}).get("side", "long")
    said = remarks(dataset, side, funding, datetime.fromisoformat(lineage.first), datetime.fromisoformat(lineage.last))
    return Execution(
        lineage=lineage,
        name=found.name,
        path=found.file.location,
        simulated=is_simulated(dataset.symbol),
        results={fill: result.as_dict() for fill, result in results.items()},
        holding=holding.as_dict(),
        trades=stamped.trades,
        monthly=stamped.monthly,
        yearly=stamped.yearly,
        bars=bars,
        bars_each=each,
        marks=shown,
        layout=columns,
        interval=timedelta(seconds=dataset.interval_seconds),
        quality=quality.model_dump() if quality else None,
        notes=[*note, *left_out, _newest(fresh)],
        warnings=[*warnings(dataset, stamped.as_dict(), fresh), *said],
    )


def _sound(pieces: Iterator[pl.DataFrame], path: str) -> Iterator[pl.DataFrame]:
    """Pass rows through that can be measured and drawn: in order, prices above zero, signals and position known."""
    prices = pl.col("open", "high", "low", "close")
    known = pl.all_horizontal(
        (prices.is_finite() & (prices > 0)),
        pl.col("buy_signal", "sell_signal").is_not_null(),
        pl.col("position").is_in([-1, 0, 1]),
    )
    for piece in pieces:
        in_order = (piece["datetime"].diff().dt.total_microseconds() > 0).sum() == piece.height - 1
        if not in_order or not piece.select(known.fill_null(value=False).all()).item():
            raise StoreError(f"{path} holds bars that cannot be measured or drawn", NAMES_DAMAGE)
        yield piece


class _Run:
    """The bars on their way through the backtests and into candles."""

    def __init__(self, lineage: Lineage, dataset: Dataset, columns: Layout, each: int, funding: Funding | None) -> None:
        terms = lineage.backtest, lineage.account or {}, dataset
        self._account, self._funding = account_from(*terms), funding
        self.fills = Backtest(dataset.interval, *(account_from(*terms, fill=fill) for fill in FILLS), funding=funding)
        # Holding is an account, too: it buys at the first close, pays nothing, and never sells.
        self.holding = Backtest(dataset.interval, Account(initial_cash=lineage.backtest["initial_cash"], fees=0))
        self.bars: list[pl.DataFrame] = []
        self.marks: list[pl.DataFrame] = []
        self._columns, self._each = columns, each
        self._position, self._peak = 0, 0.0

    def through(self, pieces: Iterator[pl.DataFrame]) -> Iterator[int]:
        """Take every piece in; yields its rows."""
        ours, theirs = tee(pieces)
        for piece, curve in zip(ours, equity_curve(theirs, self._account, self._funding), strict=True):
            self.fills.update(piece)
            first = pl.int_range(pl.len()) == (0 if not self.bars else -1)
            self.holding.update(piece.with_columns(buy_signal=first, sell_signal=pl.lit(value=False)))
            self.marks.append(marks(piece, self._position))
            self._position = piece["position"][-1]
            self.bars.append(self._candles(piece, curve))
            yield piece.height

    def _candles(self, piece: pl.DataFrame, curve: pl.DataFrame) -> pl.DataFrame:
        peak = pl.col("benchmark").cum_max().clip(lower_bound=self._peak)
        curve = curve.select("equity", "benchmark", "drawdown_pct", peak=peak)
        self._peak = curve["peak"][-1]
        fall = 100 * (pl.col("peak") - pl.col("benchmark")) / pl.col("peak")
        both = pl.concat([piece, curve.with_columns(benchmark_drawdown_pct=fall)], how="horizontal")
        return together(both, self._each, self._columns.columns)


def _newest(fresh: Freshness) -> str:
    age = duration(fresh.age.total_seconds())
    return f"The newest bar, of {format.moment(fresh.newest)} UTC, had been closed for {age} when this page was made."


#: Measures that were made of bars instead of calendar time before Hermes measured `elapsed_days`.
_BY_TIME = {
    "cagr_pct",
    "calmar",
    "max_drawdown_duration_s",
    "avg_winning_trade_duration_s",
    "avg_losing_trade_duration_s",
    "sharpe",
    "sortino",
    "periods_per_year",
}


def _check(lineage: Lineage, path: str, measured: Result) -> None:
    """Refuse a file whose stamped figures are not those of its rows."""
    found = measured.metrics.as_dict()
    older = "elapsed_days" not in lineage.metrics  # made when time was still counted in bars
    for name, stamped in lineage.metrics.items():
        if name == "intervals" or (older and name in _BY_TIME):
            continue
        value = found.get(name)
        same = value == stamped or (
            isinstance(value, float) and isinstance(stamped, int | float) and isclose(value, stamped, rel_tol=1e-9)
        )
        if not same:
            raise StoreError(
                f"{path} is stamped {name} {stamped}, but its rows make it {value}",
                "do not trust this file: make the signals again with `hermes signals`",
            )


def _with_trend(lake: Lake, dataset: Dataset, bars: pl.DataFrame, columns: Layout) -> tuple[pl.DataFrame, list[str]]:
    """Add the trend's line from the feature table, if that still holds the bars that the signals were made from."""
    if columns.trend is None or columns.direction is None:
        return bars, []
    wanted = {"datetime": DATETIME, "close": pl.Float64(), columns.trend: pl.Float64(), columns.direction: pl.Int8()}
    try:
        files = lake.gold.files(dataset.features_table)
        table = open_table(lake.gold, files, {"symbol": pl.String(), **wanted}, dataset.symbol)
    except (MissingTable, TableRefused) as error:
        return bars, [f"The line {columns.trend} is not drawn: {error.message}."]
    now = table.plan.select(*wanted).join(bars.lazy().select(datetime="last_time"), on="datetime", how="semi")
    with lake.gold.errors():
        line = now.collect(engine="streaming")
    joined = bars.join(line, left_on="last_time", right_on="datetime", how="left", suffix=" now", maintain_order="left")
    then = joined.select("close", columns.direction)
    again = joined.select(pl.col("close now"), pl.col(f"{columns.direction} now"))
    if not all(a.equals(b, check_dtypes=False, check_names=False) for a, b in zip(then, again, strict=True)):
        return bars, [f"The line {columns.trend} is not drawn: the feature table is no longer that of the signals."]
    return joined.drop("close now", f"{columns.direction} now"), []


def _shown(found: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Without the signals that changed nothing, where they are too many to draw."""
    idle = pl.col("kind").str.starts_with("idle")
    count = found.select(idle.sum()).item()
    if count <= MOST_IDLE_SIGNALS:
        return found, []
    return found.filter(~idle), [f"The chart leaves out {counted(count, 'signal')} that changed nothing."]
