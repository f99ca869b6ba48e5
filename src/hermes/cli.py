"""One command per step of the road: parses, calls the pipeline, prints. Heavy imports wait until a command runs."""

import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from hermes.errors import HermesError, UsageError

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.settings import Settings

app = typer.Typer(
    name="hermes",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From an exchange's klines to trading signals you can trust: archive → bronze → silver → gold.",
    epilog="Start with [bold]hermes demo[/]; it needs no network. "
    "Settings come from flags, HERMES_* variables and hermes.toml: see [bold]hermes config[/].",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Symbols = Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Like BTCUSDT or BTC/USDT.")]
Since = Annotated[
    datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Take archive files from this day on.")
]
Until = Annotated[
    datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Take archive files up to this day.")
]
Frequency = Annotated[
    list[str] | None, typer.Option("--frequency", help="Archive files to take: monthly, daily; may be given twice.")
]
Archive = Annotated[
    str | None, typer.Option("--archive", help="The archive: a folder, an http(s) or an s3:// address.")
]
Start = Annotated[str | None, typer.Option("--start", help="First bar to write, like 2017-09-01.")]
End = Annotated[str | None, typer.Option("--end", help="Last bar to write; a day counts to its end.")]
StrategyName = Annotated[str | None, typer.Option("--strategy", help="Which strategy to apply.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A strategy parameter, like ema_fast=10.")
]
ChunkRows = Annotated[
    int | None, typer.Option("--chunk-rows", help="Rows per chunk; the result does not depend on it.")
]
ContextRows = Annotated[
    int | None, typer.Option("--context-rows", help="Rows before a chunk that rules can look back at.")
]
Fees = Annotated[
    float | None, typer.Option("--fees", help="Fraction of the traded value, on each side (0.001 = 0.1 %).")
]
Fill = Annotated[str | None, typer.Option("--fill", help="Fill at the signal bar's close, or at the next_open.")]
Cash = Annotated[float | None, typer.Option("--cash", help="Cash to start with.")]
Slippage = Annotated[float | None, typer.Option("--slippage-bps", help="Basis points that each fill is worse.")]


_OWN = "strategy.own."  # parameters of whatever strategy the settings name


@dataclass(frozen=True, slots=True)
class Line:
    """What the command line says apart from a command's own options."""

    symbols: list[str]
    flags: Mapping[str, Any]
    config: Path | None
    json: bool

    def settings(self, symbol: str | None = None, **flags: Any) -> "Settings":
        """The resolved settings for one symbol; flags are named like `signals__start`."""
        from hermes.settings import Settings

        given = {**self.flags, **{name.replace("__", "."): value for name, value in flags.items()}}
        if symbol or self.symbols:
            given["dataset.symbol"] = symbol or self.symbols[0]
        given = {name: value for name, value in given.items() if value is not None}
        own = {name: given.pop(name) for name in list(given) if name.startswith(_OWN)}
        settings = Settings.load(given, file=self.config)
        if not own:
            return settings
        section = f"strategy.{settings.signals.strategy}."
        return Settings.load(given | {section + n.removeprefix(_OWN): v for n, v in own.items()}, file=self.config)

    def each(self, work: Callable[["Settings", "Lake"], dict[str, Any]], **flags: Any) -> None:
        """Do `work` for every symbol; one that fails is reported and does not stop the others."""
        from hermes import view
        from hermes.lake.store import Lake

        done: list[dict[str, Any]] = []
        failed: list[HermesError] = []
        for symbol in self.symbols or [None]:
            try:
                settings = self.settings(symbol, **flags)
                done.append(work(settings, Lake.open(settings)))
            except HermesError as error:
                if _verbose():
                    traceback.print_exc()
                view.print_error(error, f"{symbol}: " if len(self.symbols) > 1 else "")
                failed.append(error)
        if self.json:
            document: dict[str, Any] = {"datasets": done}
            if failed:
                document["errors"] = [{"error": error.message, "cure": error.cure} for error in failed]
            view.print_json(document)
        if failed:
            raise typer.Exit(failed[0].exit_code if len(self.symbols) <= 1 else 1)


_COMMON: dict[str, Any] = {
    "interval": Annotated[str | None, typer.Option("--interval", "-i", help="Bar length, like 4h.")],
    "market": Annotated[str | None, typer.Option("--market", help="spot, um or cm (futures).")],
    "lake": Annotated[str | None, typer.Option("--lake", help="Where the lake is: ./lake/{layer} or s3://{layer}.")],
    "config": Annotated[Path | None, typer.Option("--config", help="Settings file; default hermes.toml, if there.")],
    "json": Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")],
    "verbose": Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")],
}


def command(*examples: str, symbols: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command: its first argument is the `Line`; common options and examples are added."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(signature(function).parameters.values())[1:]
        common = [Parameter(n, Parameter.KEYWORD_ONLY, annotation=kind, default=None) for n, kind in _COMMON.items()]
        common = [option.replace(default=False) if option.name in ("json", "verbose") else option for option in common]
        names = [Parameter("symbols", Parameter.KEYWORD_ONLY, annotation=Symbols, default=None)] if symbols else []

        @wraps(function)
        def wrapper(**given: Any) -> None:
            line = Line(
                symbols=given.pop("symbols", None) or [],
                flags={
                    "dataset.interval": given.pop("interval"),
                    "dataset.market": given.pop("market"),
                    "lake.url": given.pop("lake"),
                },
                config=given.pop("config"),
                json=given.pop("json"),
            )
            given.pop("verbose")
            function(line, **given)

        parameters = [*names, *(p.replace(kind=Parameter.KEYWORD_ONLY) for p in own), *common]
        wrapper.__signature__ = signature(function).replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        epilog = "\n\n".join(("[bold]Examples[/]", *(f"  hermes {example}" for example in examples)))
        app.command(function.__name__, epilog=epilog)(wrapper)
        return wrapper

    return register


def _verbose() -> bool:
    return "-v" in sys.argv or "--verbose" in sys.argv


def _day(value: datetime | None) -> date | None:
    return value.date() if value else None


def _parameters(pairs: list[str] | None) -> dict[str, Any]:
    """`--set` pairs as settings of the strategy."""
    given = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--set {pair!r} is not NAME=VALUE", "write it like --set ema_fast=10")
        given[_OWN + key] = value
    return given


def _signal_flags(
    start: str | None, end: str | None, strategy: str | None, pairs: list[str] | None, **more: Any
) -> dict[str, Any]:
    return {
        "signals__start": start,
        "signals__end": end,
        "signals__strategy": strategy,
        **_parameters(pairs),
        **more,
    }


@command("demo", "demo --lake './try/{layer}'", symbols=False)
def demo(line: Line) -> None:
    """Simulate a market and walk the whole road over it; needs no network."""
    from hermes import pipeline, view
    from hermes.bronze.simulate import write_archive

    archive = Path("lake") / "archive"

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        rows = write_archive(archive, settings.dataset, date(2022, 1, 1), 42)
        if not line.json:
            view.out.print(f"Simulated {rows:,} bars of {settings.dataset} in the archive's format under {archive}")
        made = pipeline.run(settings, lake, progress=view.Bars())
        if not line.json:
            _print_run(made)
        return made.as_json()

    line.each(work, dataset__symbol="SIMUSDT", archive__url=str(archive))


@command(
    "ingest BTCUSDT",
    "ingest BTCUSDT ETHUSDT --archive ./binance --since 2024-01-01 --frequency monthly --frequency daily",
)
def ingest(
    line: Line, archive: Archive = None, frequency: Frequency = None, since: Since = None, until: Until = None
) -> None:
    """Bring the archive's files into bronze: only what is new or changed."""
    from hermes import pipeline, view

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        made = pipeline.ingest(
            settings, lake, frequencies=frequency or (), since=_day(since), until=_day(until), progress=view.Bars()
        )
        if not line.json:
            view.print_ingested(settings, made)
        return {"symbol": settings.dataset.symbol, "interval": settings.dataset.interval, **view.facts(made)}

    line.each(work, archive__url=archive)


@command("refine BTCUSDT --interval 4h")
def refine(line: Line) -> None:
    """Make one clean series of bronze, and print its quality."""
    from hermes import pipeline, view

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        made = pipeline.refine(settings.dataset, lake, view.Bars())
        if not line.json:
            view.print_files(f"Silver of {settings.dataset}", made.written, made.unchanged)
            view.print_quality(made.quality)
        return {
            "symbol": settings.dataset.symbol,
            "interval": settings.dataset.interval,
            **view.facts(made, "quality"),
            "quality": made.quality.model_dump(mode="json"),
        }

    line.each(work)


@command("features BTCUSDT --interval 4h")
def features(line: Line) -> None:
    """Compute the 23 indicators over silver; only the files that changed are written."""
    from hermes import pipeline, view

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        made = pipeline.features(settings.dataset, lake, view.Bars())
        if not line.json:
            view.print_files(f"Features of {settings.dataset}, {made.rows:,} rows", made.written, made.unchanged)
        return {"symbol": settings.dataset.symbol, "interval": settings.dataset.interval, **view.facts(made)}

    line.each(work)


@command(
    "signals BTCUSDT --interval 4h --start 2017-09-01",
    "signals BTCUSDT --set ema_fast=10 --set ema_slow=50 --fill next_open",
)
def signals(
    line: Line,
    start: Start = None,
    end: End = None,
    strategy: StrategyName = None,
    parameters: Set = None,
    chunk_rows: ChunkRows = None,
    context_rows: ContextRows = None,
    fees: Fees = None,
    fill: Fill = None,
    cash: Cash = None,
    slippage_bps: Slippage = None,
) -> None:
    """Make trading signals from the gold features, with what they earned on exactly these rows."""
    from hermes import pipeline, view

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        made = pipeline.signals(settings, lake, view.Bars())
        if not line.json:
            view.print_signals(made)
        return made.as_json()

    account = _account(fees, fill, cash, slippage_bps)
    chunks = {"signals__chunk_rows": chunk_rows, "signals__context_rows": context_rows}
    line.each(work, **_signal_flags(start, end, strategy, parameters, **chunks, **account))


@command(
    "run BTCUSDT --interval 4h --archive ./binance --start 2017-09-01",
    "run BTCUSDT ETHUSDT --lake 's3://{layer}' --json",
)
def run(
    line: Line,
    archive: Archive = None,
    frequency: Frequency = None,
    since: Since = None,
    until: Until = None,
    start: Start = None,
    end: End = None,
    strategy: StrategyName = None,
    parameters: Set = None,
    chunk_rows: ChunkRows = None,
    context_rows: ContextRows = None,
    fees: Fees = None,
    fill: Fill = None,
    cash: Cash = None,
    slippage_bps: Slippage = None,
) -> None:
    """Walk the whole road, from the archive to signals."""
    from hermes import pipeline, view

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        made = pipeline.run(
            settings, lake, frequencies=frequency or (), since=_day(since), until=_day(until), progress=view.Bars()
        )
        if not line.json:
            _print_run(made)
        return made.as_json()

    account = _account(fees, fill, cash, slippage_bps)
    chunks = {"signals__chunk_rows": chunk_rows, "signals__context_rows": context_rows}
    line.each(work, archive__url=archive, **_signal_flags(start, end, strategy, parameters, **chunks, **account))


def _account(fees: float | None, fill: str | None, cash: float | None, slippage_bps: float | None) -> dict[str, Any]:
    return {
        "backtest__fees": fees,
        "backtest__fill": fill,
        "backtest__initial_cash": cash,
        "backtest__slippage_bps": slippage_bps,
    }


def _print_run(made: Any) -> None:
    from hermes import view

    view.print_steps(made)
    view.print_quality(made.refined.quality)
    view.print_signals(made.signalled)


@command("ls", "ls --lake 's3://{layer}' --json", symbols=False)
def ls(line: Line) -> None:
    """List every table of the lake: rows, span, size, executions, and its name in SQL."""
    from hermes import view
    from hermes.lake import catalog
    from hermes.lake.store import Lake

    lake = Lake.open(line.settings())
    found = [catalog.described(lake, table) for table in catalog.tables(lake)]
    if line.json:
        view.print_json({"tables": found})
    else:
        view.print_tables(found)


@command("show BTCUSDT", "show BTCUSDT --execution execution_20251005_214748")
def show(
    line: Line,
    execution: Annotated[
        str | None, typer.Option("--execution", help="Folder of one execution; default the latest.")
    ] = None,
    strategy: StrategyName = None,
) -> None:
    """Show one execution: what it was made from, how, and what it found."""
    from hermes import view
    from hermes.lake import catalog

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        found = catalog.lineage(lake, settings.dataset, settings.signals.strategy, execution)
        if not line.json:
            view.print_lineage(found)
        return found

    line.each(work, signals__strategy=strategy)


@command(
    "sql 'select count(*) from signals_BTCUSDT_4h'",
    "sql 'select datetime, close from signals_BTCUSDT_4h where buy_signal' --json",
    symbols=False,
)
def sql(
    line: Line, query: Annotated[str, typer.Argument(help="DuckDB SQL over the tables that `hermes ls` names.")]
) -> None:
    """Ask the lake with DuckDB; filters and columns reach down into the Parquet files."""
    from hermes import view
    from hermes.lake import catalog
    from hermes.lake.store import Lake

    answer = catalog.query(Lake.open(line.settings()), query)
    if line.json:
        view.print_json({"columns": answer.columns, "rows": answer.rows})
    else:
        view.print_rows(answer.columns, answer.rows)


@command("config", "config ETHUSDT --interval 1h --lake 's3://{layer}'")
def config(line: Line) -> None:
    """Show every setting with its origin, and every path that follows from them."""
    from hermes import view

    settings = line.settings()
    if line.json:
        rows = {name: {"value": value, "origin": origin} for name, value, origin in settings.items()}
        view.print_json({"settings": rows, "paths": settings.paths()})
    else:
        view.print_rows(("setting", "value", "from"), list(settings.items()))
        view.print_facts("Paths", list(settings.paths().items()))


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from hermes import __version__

        typer.echo(f"hermes {__version__}")
        raise typer.Exit


def main() -> None:
    """The `hermes` command: every error is one line on stderr and an exit code."""
    sys.exit(_run())


def _run() -> int:
    try:
        result = app(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        typer.echo("interrupted: nothing is half done; run the same command again to go on", err=True)
        return 130
    except BrokenPipeError:
        return 1
    except HermesError as error:
        from hermes import view

        if _verbose():
            traceback.print_exc()
        view.print_error(error)
        return error.exit_code
    except Exception as error:
        if _verbose():
            traceback.print_exc()
        first = (str(error).splitlines() or [""])[0][:300]
        typer.echo(f"error: unexpected {type(error).__name__}: {first} → run again with -v and report it", err=True)
        return 1
    return result if isinstance(result, int) else 0
