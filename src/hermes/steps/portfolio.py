"""gold features of many symbols → one account that trades them all: measures, a table and a page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from logging import WARNING
from time import perf_counter
from typing import Any

import polars as pl

from hermes.dataset import is_simulated
from hermes.errors import StoreError, UsageError
from hermes.lake.executions import PORTFOLIO, publish
from hermes.lake.store import Lake, check_written
from hermes.logs import event
from hermes.pages.format import quote_currency
from hermes.pages.portfolio import PortfolioPage, portfolio_page
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.audit.causality import judge
from hermes.stages.backtest.portfolio_result import PortfolioBacktest, PortfolioResult
from hermes.stages.backtest.trading import columns_for
from hermes.steps.account import account_of, remarks
from hermes.steps.feature_set import features_read, merged
from hermes.steps.portfolio_series import frames_of, piece_of, ranks_of, selected, together
from hermes.steps.selection import Selection
from hermes.steps.warnings import warnings as measures_warnings
from hermes.strategies.columns import BARS
from hermes.version import __version__

MAX_POSITIONS = 10  # where nothing else is said
ROWS = 1_000_000  # bars of all symbols that are held in memory together, about
_Span = tuple[datetime, datetime]  # open times of the first and the last bar of a series


@dataclass(frozen=True, slots=True)
class MadePortfolio:
    """A portfolio: its result, and where it was published.

    Attributes:
        symbols: in alphabetical order; rank: what coinciding entries were ranked by, empty for the symbol.
        path: address of `portfolio.parquet`; page: of `report.html`.
        trial: the feature set that was read, as in the lineage; None without one.
    """

    settings: Settings
    strategy: str
    symbols: Sequence[str]
    max_positions: int
    rank: str
    result: PortfolioResult
    path: str
    page: str
    seconds: float
    warnings: Sequence[str] = ()
    trial: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The contract's names."""
        curve = self.result.curve
        return {
            "strategy": self.strategy,
            "market": self.settings.dataset.market,
            "interval": self.settings.dataset.interval,
            "max_positions": self.max_positions,
            "rank": self.rank or None,
            **features_read(self.trial),
            "account": {
                **self.settings.backtest.model_dump(mode="json"),
                **self.settings.account.model_dump(mode="json"),
            },
            "rows": curve.height,
            "first": curve["datetime"][0].isoformat(),
            "last": curve["datetime"][-1].isoformat(),
            **self.result.as_json(),
            "warnings": list(self.warnings),
            "path": self.path,
            "page": self.page,
            "seconds": round(self.seconds, 6),
        }


def portfolio(
    tasks: Sequence[Settings],
    lake: Lake,
    *,
    max_positions: int | None = None,
    rank: str = "",
    progress: Progress = SILENT,
) -> MadePortfolio:
    """Trade many symbols on one account, in one pass over time, and publish the result.

    Args:
        tasks: one for each dataset; they differ in the symbol alone.
        max_positions: limit of open positions; by default `MAX_POSITIONS`, or the number of symbols if lower.
        rank: what coinciding entries are ranked by, the highest first: a column of the bars or of the strategy, or
            one of its `ranks`; by default by symbol.

    Raises:
        UsageError: markets, intervals or quote currencies are mixed, a symbol is named twice, `rank` is not known or
            looks ahead, `max_positions` is not a number from 1 on.
        MissingTable, TableRefused, StrategyError: see `select`.
        NoBars: no symbol has a bar between start and end; one that has none is left out, with a warning.
        SourceChanged: features were replaced while they were read; nothing is published.
    """
    started = perf_counter()
    tasks = sorted(tasks, key=lambda each: each.dataset.symbol)
    _check(tasks)
    wanted = MAX_POSITIONS if max_positions is None else max_positions
    if wanted < 1:
        raise UsageError(f"--max-positions {wanted} is not a number of positions from 1 on", f"try {MAX_POSITIONS}")
    settings = tasks[0]
    account = account_of(settings)
    rows = max(1_024, ROWS // len(tasks))
    each, left_out = selected(tasks, lake, rank, rows)
    symbols = [one.settings.dataset.symbol for one in each]
    most = min(wanted, len(each))
    backtest = PortfolioBacktest(account, symbols, most, settings.dataset.interval)
    total = sum(selection.rows for selection in each)
    columns = [name for name in columns_for(account, ()) if name in BARS]
    spans: list[_Span | None] = [None] * len(each)
    with progress.task(f"portfolio of {len(each):,}", total, "rows") as advance:
        for pieces in together([frames_of(one, columns) for one in each], settings.dataset.interval_seconds, rows):
            spans = [_later(span, piece) for span, piece in zip(spans, pieces, strict=True)]
            backtest.update([piece_of(piece, one.funding) for piece, one in zip(pieces, each, strict=True)])
            advance(sum(piece.height for piece in pieces if piece is not None), "")
    result = backtest.finish()
    about: dict[str, list[str]] = {}
    for one, span in zip(each, spans, strict=True):
        assert span is not None
        dataset, side = one.settings.dataset, settings.account.side
        for said in (*remarks(dataset, side, one.funding, *span), *one.behind):
            about.setdefault(said, []).append(dataset.symbol)
    # An entry that is not made is no fault here: the limit of positions drops entries, too.
    figures = {**result.metrics.as_dict(), "refused_orders": 0}
    said_of_all = measures_warnings(settings.dataset, figures)
    warnings = [*said_of_all, *left_out, *(f"{', '.join(names)}: {said}" for said, names in about.items())]
    if rank and (doubts := judge(ranks_of(each[0].strategy)[rank]).reasons):
        warnings.append(f"--rank {rank} is not proven to look back only: {'; '.join(doubts)}")
    strategy = each[0].strategy.name
    path, page = _publish(each, lake, result, most, rank, warnings)
    seconds = perf_counter() - started
    return MadePortfolio(
        settings, strategy, symbols, most, rank, result, path, page, seconds, warnings,
        merged(one.trial for one in each),
    )  # fmt: skip


def _check(tasks: Sequence[Settings]) -> None:
    """Refuse mixed currencies and mixed intervals."""
    if not tasks:
        raise UsageError("a portfolio needs a symbol", "name some, or give --all")
    datasets = [task.dataset for task in tasks]
    names = [dataset.symbol for dataset in datasets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{twice[0]} is named twice", "name each symbol once")
    for what in ("market", "interval", "provider"):
        if len(found := sorted({getattr(dataset, what) for dataset in datasets})) > 1:
            raise UsageError(f"one portfolio cannot hold {what}s {' and '.join(found)}", f"take one {what}")
    if datasets[0].market == "cm" and len(names) > 1:
        raise UsageError("accounts of coin-margined contracts are in coins, one for each", "take one symbol")
    if unknown := [name for name in names if len(names) > 1 and not quote_currency(name)]:
        raise UsageError(f"the quote currency of {unknown[0]} is not known", "take symbols like BTCUSDT")
    quotes = [quote_currency(name) for name in names]
    if len(found := sorted(set(quotes))) > 1:
        raise UsageError(
            f"one cash cannot hold {' and '.join(found)}",
            f"take symbols of one quote currency: `hermes portfolio --all --quote {max(found, key=quotes.count)}`",
        )


def _later(span: _Span | None, piece: pl.DataFrame | None) -> _Span | None:
    """The span of a series with its next bars."""
    if piece is None:
        return span
    return span[0] if span else piece["datetime"][0], piece["datetime"][-1]


def _publish(
    each: Sequence[Selection], lake: Lake, result: PortfolioResult, most: int, rank: str, warnings: Sequence[str]
) -> tuple[str, str]:
    """Publish the table and the page as the next execution; returns their addresses, see `_write`."""
    settings, strategy = each[0].settings, each[0].strategy
    dataset, at = settings.dataset, datetime.now(UTC)
    table, trial = dataset.portfolio_table(strategy.name), merged(one.trial for one in each)
    about: Mapping[str, Any] = {
        "hermes": __version__,
        "layer": "gold",
        "generated_at": at.isoformat(),
        "strategy": strategy.name,
        "parameters": strategy.parameters.model_dump(mode="json"),
        "datasets": [asdict(one.settings.dataset) for one in each],
        "backtest": settings.backtest.model_dump(mode="json"),
        "account": settings.account.model_dump(mode="json"),
        "feature_set": trial and trial["name"],
        "trial": trial,
        "start": settings.signals.start and settings.signals.start.isoformat(),
        "end": settings.signals.end and settings.signals.end.isoformat(),
        "max_positions": most,
        "rank": rank or None,
        "warnings": list(warnings),
        "sources": [
            {"path": part.file.location, "size": part.file.size, "version": part.file.version, "rows": part.rows}
            for one in each
            for part in one.parts
        ],
        **{name: value for name, value in result.as_json().items() if name != "correlation"},
    }
    page = portfolio_page(
        PortfolioPage(
            strategy=strategy.name,
            market=dataset.market,
            interval=dataset.interval,
            simulated=any(is_simulated(one.settings.dataset.symbol) for one in each),
            backtest=settings.backtest.model_dump(mode="json"),
            account=settings.account.model_dump(mode="json"),
            max_positions=most,
            rank=rank,
            trial=trial,
            result=result.as_json(),
            curve=result.curve,
            trades=result.trades,
            monthly=result.monthly,
            yearly=result.yearly,
            warnings=warnings,
        )
    )
    trades = result.trades.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ")
    with lake.gold.staged() as staged:
        lake.gold.stage(staged, result.curve, about)
        check_written([staged], result.curve.height)
        for one in each:
            one.check_unchanged()
        folder = publish(lake.gold, table, PORTFOLIO, staged, at)
    _write(lake, f"{folder}/trades.csv", trades)
    written = _write(lake, f"{folder}/report.html", page)
    return lake.gold.locate(f"{folder}/{PORTFOLIO}"), written


def _write(lake: Lake, path: str, text: str) -> str:
    """Write a file beside the table, which is there, whole: no failure. Returns its address, empty if that fails."""
    try:
        lake.gold.write_bytes(path, text.encode())
    except StoreError as error:
        event("copy", level=WARNING, message=f"{path} was not written: {error}", path=lake.gold.locate(path))
        return ""
    return lake.gold.locate(path)
