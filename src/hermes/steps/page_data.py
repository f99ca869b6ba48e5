"""One execution → the data of its page, measured in one pass over its signal file."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import repeat, tee
from math import isclose

import polars as pl

from hermes.dataset import Dataset, is_simulated
from hermes.errors import MissingTable, StoreError, TableRefused, UsageError, first_line
from hermes.freshness import Freshness
from hermes.lake import catalog
from hermes.lake.executions import Execution as Found
from hermes.lake.store import DAMAGE_CURE, Lake
from hermes.lake.tables import open_table
from hermes.lineage import Lineage
from hermes.measures import revised_since
from hermes.pages import format
from hermes.pages.candles import MOST_IDLE_SIGNALS, Layout, aggregate, bars_each, layout, marks, signals
from hermes.pages.execution import Execution
from hermes.progress import SILENT, Progress
from hermes.schemas import DATETIME
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import Backtest, Result
from hermes.stages.backtest.funding import Funding
from hermes.stages.backtest.rolling import rolling_sharpe
from hermes.stages.backtest.trading import BARS, SHORTS, equity_curve
from hermes.stages.signals.generate import pieces
from hermes.steps.account import FILLS, account_from, remarks
from hermes.steps.funding import funding_of
from hermes.steps.refine import read_quality
from hermes.steps.warnings import closed, duration, freshness_of, warnings
from hermes.text import counted

PIECE_ROWS = 250_000  # rows at once, about


def measured_execution(lake: Lake, found: Found, dataset: Dataset, progress: Progress = SILENT) -> Execution:
    """The data of the page of one execution, from one pass over its file; nothing is written.

    Args:
        found: the execution; dataset: of its bars.

    Raises:
        StoreError: the file was made by another tool, its figures are not those of its rows, or rows cannot be drawn.
    """
    lineage = Lineage.read(catalog.checked_lineage(lake.gold, found), found.file.location)
    with lake.gold.errors():
        scan = lake.gold.scan([found.file])
        columns = layout(scan.collect_schema())
        there = scan.collect_schema().names()
        shorts = [name for name in SHORTS if name in there]
        wanted = [*BARS, *shorts, "high", "low", "volume", "position", *columns.columns]
        each = bars_each(lineage.rows)
        size = PIECE_ROWS // each * each  # so that no candle is cut in two
        read = scan.select(wanted).collect_batches(chunk_size=size, maintain_order=True, engine="streaming")
        funding = funding_of(dataset, lake)
        account, fills = _accounts(lineage, dataset, found.file.location)
        run = _Run(account, fills, dataset, columns, each, funding)
        with progress.task(f"report {dataset}", lineage.rows, "rows") as advance:
            for rows in run.through(_sound(pieces(read, repeat(size)), found.file.location)):
                advance(rows, "")
    results = dict(zip(FILLS, run.fills.finish(), strict=True))
    (holding,) = run.holding.finish()
    stamped = results[lineage.backtest["fill"]]
    _check(lineage, found.file.location, stamped)
    candles = _with_sharpe(pl.concat(run.bars), each, stamped)
    bars, note = _with_trend(lake, dataset, candles, columns)
    shown, left_out = _shown(marks(run.signals(), stamped.trades, candles))
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
        sharpe_window="half a year",
        marks=shown,
        layout=columns,
        interval=timedelta(seconds=dataset.interval_seconds),
        quality=quality.model_dump() if quality else None,
        notes=[*note, *left_out, _newest(fresh)],
        warnings=[*warnings(dataset, stamped.as_dict(), fresh), *said],
    )


def _accounts(lineage: Lineage, dataset: Dataset, path: str) -> tuple[Account, list[Account]]:
    """The account of a lineage, and the same with each fill."""
    terms = lineage.backtest, lineage.account or {}, dataset
    try:
        return account_from(*terms), [account_from(*terms, fill=fill) for fill in FILLS]
    except (UsageError, TypeError) as error:  # another Hermes took what this one refuses
        what = error.message if isinstance(error, UsageError) else first_line(str(error))
        raise StoreError(
            f"{path} was measured with an account that is none: {what}", "make the signals again"
        ) from error


def _sound(pieces: Iterator[pl.DataFrame], path: str) -> Iterator[pl.DataFrame]:
    """Check that rows can be measured and drawn: in order, prices above zero, no null signal or position."""
    prices = pl.col("open", "high", "low", "close")
    known = pl.all_horizontal(
        (prices.is_finite() & (prices > 0)),
        pl.col("buy_signal", "sell_signal").is_not_null(),
        pl.col("position").is_in([-1, 0, 1]),
    )
    for piece in pieces:
        in_order = (piece["datetime"].diff().dt.total_microseconds() > 0).sum() == piece.height - 1
        if not in_order or not piece.select(known.fill_null(value=False).all()).item():
            raise StoreError(f"{path} holds bars that cannot be measured or drawn", DAMAGE_CURE)
        yield piece


class _Run:
    """Feeds the bars to the backtests and merges them into candles."""

    def __init__(
        self,
        account: Account,
        fills: Sequence[Account],
        dataset: Dataset,
        columns: Layout,
        each: int,
        funding: Funding | None,
    ) -> None:
        self._account, self._funding = account, funding
        self.fills = Backtest(dataset.interval, *fills, funding=funding)
        # Holding is an account, too: it buys at the first close, pays nothing, and never sells.
        self.holding = Backtest(dataset.interval, Account(initial_cash=account.initial_cash, fees=0))
        self.bars: list[pl.DataFrame] = []
        self._signals: list[pl.DataFrame] = []
        self._columns, self._each = columns, each
        self._peak = 0.0
        self._waiting = pl.DataFrame()  # the last row: the next one says when its signals are filled
        self._before: Mapping[str, float] = {}  # the last equities

    def through(self, pieces: Iterator[pl.DataFrame]) -> Iterator[int]:
        """Take every piece in; yields its rows."""
        ours, theirs = tee(pieces)
        for piece, curve in zip(ours, equity_curve(theirs, self._account, self._funding), strict=True):
            self.fills.update(piece)
            first = pl.int_range(pl.len()) == (0 if not self.bars else -1)
            self.holding.update(piece.with_columns(buy_signal=first, sell_signal=pl.lit(value=False)))
            rows = pl.concat([self._waiting, piece]) if self._waiting.height else piece
            self._waiting = piece.tail(1)
            self._signals.append(self._signals_in(rows).filter(pl.col("datetime") < piece["datetime"][-1]))
            self.bars.append(self._candles(piece, curve))
            yield piece.height

    def signals(self) -> pl.DataFrame:
        """Every signal of all pieces, see `candles.signals`."""
        return pl.concat([*self._signals, self._signals_in(self._waiting)])

    def _signals_in(self, rows: pl.DataFrame) -> pl.DataFrame:
        return signals(rows, at_open=self._account.fill == "next_open")

    def _candles(self, piece: pl.DataFrame, curve: pl.DataFrame) -> pl.DataFrame:
        peak = pl.col("benchmark").cum_max().clip(lower_bound=self._peak)
        before = self._before or {"equity": self._account.initial_cash, "benchmark": curve["benchmark"][0]}
        curve = curve.select(
            "equity",
            "benchmark",
            "drawdown_pct",
            _returns("equity", before).alias("return"),
            _returns("benchmark", before).alias("benchmark_return"),
            peak=peak,
        )
        self._peak, self._before = curve["peak"][-1], {name: curve[name][-1] for name in ("equity", "benchmark")}
        fall = 100 * (pl.col("peak") - pl.col("benchmark")) / pl.col("peak")
        both = pl.concat([piece, curve.with_columns(benchmark_drawdown_pct=fall)], how="horizontal")
        return aggregate(both, self._each, self._columns.columns)


def _returns(name: str, before: Mapping[str, float]) -> pl.Expr:
    """Returns of each bar, as fractions; 0 where no equity is left."""
    last = pl.col(name).shift(1, fill_value=before[name])
    return pl.when(last > 0).then(pl.col(name) / last - 1).otherwise(0.0)


def _with_sharpe(candles: pl.DataFrame, each: int, measured: Result) -> pl.DataFrame:
    """Add the Sharpe ratios of the half year up to each candle; NaN where there are fewer bars."""
    periods = measured.metrics.periods_per_year
    groups = max(1, round(periods / 2 / each))
    counts = candles["bars"].cast(pl.Float64).to_numpy()
    sharpes = {
        name: rolling_sharpe(candles[of].to_numpy(), candles[f"{of}_squares"].to_numpy(), counts, groups, periods)
        for name, of in (("sharpe", "return"), ("benchmark_sharpe", "benchmark_return"))
    }
    return candles.with_columns(**{name: pl.Series(values) for name, values in sharpes.items()})


def _newest(fresh: Freshness) -> str:
    newest = f"The newest bar, of {format.moment(fresh.newest)} UTC,"
    if fresh.age < timedelta():
        return f"{newest} {closed(fresh)}, as of the making of this page."
    return f"{newest} had been closed for {duration(fresh.age.total_seconds())} when this page was made."


def _check(lineage: Lineage, path: str, measured: Result) -> None:
    """Refuse a file whose stored measures differ from those of its rows, where their formulas are still the same."""
    found = measured.metrics.as_dict()
    by_bars = "elapsed_days" not in lineage.metrics  # the first executions did not stamp a revision
    revised = revised_since(0 if by_bars else lineage.measures_revision)
    for name, stamped in lineage.metrics.items():
        if name == "intervals" or name in revised:
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
    """Add the trend line from the feature table, if its bars are still those of the signals."""
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
    """Without signals that had no effect, if there are too many to draw."""
    idle = pl.col("kind").str.starts_with("idle")
    count = found.select(idle.sum()).item()
    if count <= MOST_IDLE_SIGNALS:
        return found, []
    return found.filter(~idle), [f"The chart leaves out {counted(count, 'signal')} that changed nothing."]
