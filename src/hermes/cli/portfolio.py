"""The command that trades many symbols on one account: `portfolio`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from typing import TYPE_CHECKING, Annotated

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.options import ACCOUNT, DATASET_PANEL, SPAN, STRATEGY
from hermes.cli.run import Match, Quote, SymbolsFile, named_symbols
from hermes.errors import UsageError
from hermes.text import counted

if TYPE_CHECKING:
    from hermes.steps.portfolio import MadePortfolio

All = Annotated[
    bool,
    typer.Option(
        "--all",
        rich_help_panel=DATASET_PANEL,
        help="Every symbol of the market and interval whose features gold holds.",
    ),
]
MaxPositions = Annotated[
    int | None,
    typer.Option(min=1, help="Most positions held at once; default: 10, or the number of symbols if that is less."),
]
Rank = Annotated[
    str, typer.Option(help="Rank entries that coincide by a column or a named rank of the strategy, the highest first.")
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @command(
        app,
        "portfolio BTCUSDT ETHUSDT SOLUSDT --max-positions 2 --stop-loss 0.02 --take-profit 0.06",
        "portfolio --all --quote USDT --size fraction:0.1 --rank volume --start 2023-01-01 --json",
        flags=(*SPAN, *STRATEGY, *ACCOUNT),
    )
    def portfolio(
        line: Invocation,
        symbols_file: SymbolsFile = None,
        all_symbols: All = False,
        quote: Quote = "",
        match: Match = "*",
        max_positions: MaxPositions = None,
        rank: Rank = "",
    ) -> None:
        """Trade many symbols with one account: shared cash, correlation, and the contribution of each symbol."""
        from hermes.cli.views import console
        from hermes.lake.store import Lake
        from hermes.market import held
        from hermes.steps.portfolio import portfolio

        named = named_symbols(line, symbols_file, quote, match, all_symbols=all_symbols)
        if all_symbols:
            named = [each.symbol for each in held(line.settings(), "gold", quote=quote, match=match)]
        if not named:
            raise UsageError("a portfolio needs a symbol", "name some, or give --all")
        tasks = [line.settings(symbol) for symbol in named]
        lake = Lake.open(tasks[0])
        made = portfolio(tasks, lake, max_positions=max_positions, rank=rank, progress=console.Bars())
        line.print(made, _print)


def _print(made: "MadePortfolio") -> None:
    from hermes.cli.views import console, measures
    from hermes.pages import format

    result, figures, held = made.result, made.result.metrics, made.result.benchmark

    def plain(text: str) -> str:
        return text.replace(format.THIN, " ")

    terms = {**made.settings.backtest.model_dump(), **made.settings.account.model_dump()}
    times = result.curve["datetime"]
    rows = [
        [row["symbol"], f"{row['trades']:,}", plain(format.change(row["contribution_pct"])), f"{row['dropped']:,}"]
        for row in result.symbols.sort("contribution_pct", descending=True).iter_rows(named=True)
    ]
    title = f"Portfolio of {len(made.symbols)} with {made.strategy}, at most {counted(made.max_positions, 'position')}"
    console.print_simulated(*made.symbols)
    console.print_rows(["symbol", "trades", "contribution", "dropped"], rows, title)

    def shown(value: float | None, kind: str = "change") -> str:
        return "" if value is None else plain(str(getattr(format, kind)(value)))

    paid = [("fees paid", shown(figures.fees_paid, "number"))]
    if figures.funding_paid:
        paid.append(("funding paid", shown(figures.funding_paid, "number")))
    measures.print_warnings(made.warnings)
    console.print_facts(
        "Portfolio",
        [
            ("bars", f"{len(times):,} from {times[0]} to {times[-1]} UTC"),
            ("account", plain(format.terms(terms))),
            ("ranked by", made.rank or "symbol"),
            ("return", f"{shown(figures.total_return_pct)}, holding equal parts {shown(held['total_return_pct'])}"),
            ("Sharpe", f"{shown(figures.sharpe, 'number')}, holding equal parts {shown(held['sharpe'], 'number')}"),
            ("largest drawdown", shown(figures.max_drawdown_pct, "percent")),
            ("trades", format.few_trades(figures.trades) or f"{figures.trades:,}"),
            ("in the market", shown(figures.exposure_pct, "percent")),
            *paid,
            ("turnover of a year", shown(result.turnover, "number")),
            ("entries dropped", f"{figures.refused_orders:,}"),
            ("written to", made.path),
            ("page", made.page),
            ("seconds", f"{made.seconds:.2f}"),
        ],
    )
