"""The commands of the pipeline: parse, call the step, print. Heavy imports are deferred until a command runs."""

from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes.cli import (
    compare,
    export,
    indicators,
    init,
    lake,
    live,
    portfolio,
    record,
    run,
    search,
    serve,
    strategies,
)
from hermes.cli.command import Invocation, command
from hermes.cli.help_text import Group
from hermes.cli.options import (
    ACCOUNT,
    ARCHIVE,
    CHUNKS,
    COLUMNS,
    EXCLUDE,
    FEATURE_SET,
    SPAN,
    STRATEGY,
    Execution,
    Frequency,
    OpenPage,
    PageOut,
    Since,
    Until,
)
from hermes.errors import AuditFault, UsageError

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.progress import Progress
    from hermes.settings import Settings
    from hermes.steps.run import Run

app = typer.Typer(
    name="hermes",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From an exchange's klines to trading signals you can trust: archive → bronze → silver → gold.",
    epilog="Start with [bold]hermes demo[/]; it needs no network. "
    "Settings come from flags, HERMES_* variables and hermes.toml: see [bold]hermes config[/].",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Cuts = Annotated[int, typer.Option(min=1, help="How many random bars the data is cut at.")]
Bytes = Annotated[bool, typer.Option("--bytes", help="Compare every file with its hash on record instead.")]

LIBRARIES = ("polars", "polars-talib", "numpy", "pyarrow", "obstore", "duckdb", "bokeh", "pydantic")
DEMO_ARCHIVE = Path("lake") / "archive"
DEMO_START, DEMO_MONTHS = date(2022, 1, 1), 42  # crosses the day on which the archive changed its time unit


@command(app, "demo", "demo --lake './try/{layer}'", "demo --live", symbols=False)
def demo(line: Invocation, live: live.DemoLive = False, seconds: live.DemoSeconds = None) -> None:
    """Simulate a market and run the full pipeline over it; needs no network."""
    from hermes import pipeline
    from hermes.cli.views import steps
    from hermes.stages.bronze.simulate import write_archive

    if seconds and not live:
        raise UsageError("--seconds is for --live", "add --live, or leave --seconds out")

    def work(settings: "Settings", lake: "Lake", progress: "Progress") -> "Run":
        rows = write_archive(DEMO_ARCHIVE, settings.dataset, DEMO_START, DEMO_MONTHS)
        if not line.json:
            steps.print_simulated_archive(settings, rows)
        return pipeline.run(settings, lake, progress=progress)

    names = {"dataset.symbol": "SIMUSDT", "archive.url": str(DEMO_ARCHIVE)}
    line.each_step(work, steps.print_run, names)
    if live:
        from hermes.cli.live import show

        show(line.settings(None, names), DEMO_START, DEMO_MONTHS, seconds or 60.0, as_json=line.json)


@command(
    app,
    "ingest BTCUSDT",
    "ingest BTCUSDT ETHUSDT --archive ./binance --since 2024-01-01 --frequency monthly --frequency daily",
    "ingest BTCUSDT --frequency recent",
    flags=ARCHIVE,
)
def ingest(line: Invocation, frequency: Frequency = None, since: Since = None, until: Until = None) -> None:
    """Bring the archive's files, or closed bars of the exchange, into bronze: only what is new or changed."""
    from hermes.cli.views import steps
    from hermes.pipeline import ingest as ingest_files

    first, last = since and since.date(), until and until.date()
    work = partial(ingest_files, frequencies=frequency or (), since=first, until=last)
    line.each_step(work, steps.print_ingested)


@command(app, "refine BTCUSDT --interval 4h", "refine BTCUSDT --exclude 2022-03", flags=(EXCLUDE,))
def refine(line: Invocation) -> None:
    """Merge bronze into one clean series, and print its quality."""
    from hermes.cli.views import steps
    from hermes.steps.refine import refine as refine_bars

    line.each_step(refine_bars, steps.print_refined)


@command(
    app,
    "features BTCUSDT --interval 4h",
    "features BTCUSDT --feature-set test --columns zscore_20,ema_50@1d",
    flags=(*FEATURE_SET, *COLUMNS),
)
def features(line: Invocation) -> None:
    """Compute the 23 indicators over silver; only the files that changed are written.

    A file's footer says what it was made from. A file that was edited in place keeps its footer, and is not written
    again: `hermes audit` finds it. Remove it, and the next run makes it anew.
    """
    from hermes.cli.views import steps
    from hermes.steps.features import features as make_features

    line.each_step(make_features, steps.print_featured)


@command(
    app,
    "signals BTCUSDT --interval 4h --start 2017-09-01",
    "signals BTCUSDT --set ema_fast=10 --set ema_slow=50 --fill next_open",
    flags=(*SPAN, *STRATEGY, *CHUNKS, *ACCOUNT),
)
def signals(line: Invocation) -> None:
    """Make trading signals from the gold features, and measure them on exactly these rows."""
    from hermes.cli.views import steps
    from hermes.steps.signals import signals as make_signals  # without the steps that it does not need

    line.each_step(make_signals, steps.print_signals)


@command(
    app,
    "backtest BTCUSDT --start 2023-01-01",
    "backtest BTCUSDT ETHUSDT --fees 0.002 --slippage-bps 5 --fill next_open --cash 50000",
    flags=(*SPAN, *STRATEGY, *ACCOUNT),
)
def backtest(line: Invocation) -> None:
    """Backtest the strategy on the gold features, beside buy-and-hold, without writing signals."""
    from hermes.cli.views import steps
    from hermes.steps.backtest import Backtested
    from hermes.steps.backtest import backtest as measure

    shown: list[Backtested] = []
    try:
        line.each_step(measure, shown.append)
    finally:  # side by side, and also where another symbol failed
        if shown:
            steps.print_backtests(shown)


@command(app, "audit BTCUSDT", "audit BTCUSDT --cuts 1000 --json", "audit --bytes", flags=(*STRATEGY, *CHUNKS))
def audit(line: Invocation, cuts: Cuts = 200, stored: Bytes = False) -> None:
    """Prove from their form that rules never look ahead, and test them on this data; exit code 3 for a fault.

    Each check ends as proven, tested, fault or not checked, and says what was looked at. With up to 20 random cuts the
    audit is the quick one of `hermes run`, without the warm-up table.

    With --bytes: read every file again, of the whole lake or of these symbols, and compare it with what was published.
    The files of a symbol include those that it shares with others: decisions, portfolios and comparisons.
    """
    if stored:
        lake.audit_bytes(line)
        return
    from hermes.cli.views import steps
    from hermes.steps.audit import audit as prove

    if any(made.faults for made in line.each_step(partial(prove, cuts=cuts), steps.print_audited)):
        raise typer.Exit(AuditFault.exit_code)


run.register(app)


@command(
    app,
    "report BTCUSDT",
    "report BTCUSDT --execution execution_20251005_214748",
    "report BTCUSDT --open",
    "report BTCUSDT --out btc.html",
    flags=(*SPAN, *STRATEGY, *ACCOUNT),
)
def report(line: Invocation, execution: Execution = None, out: PageOut = None, open_page: OpenPage = False) -> None:
    """Make the page of one execution: charts, measures, trades, quality and lineage in one HTML file."""
    from hermes.cli.views import console, steps
    from hermes.pipeline import report as make_page
    from hermes.steps.local_files import page_path

    def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
        path = out and page_path(out, settings.dataset.symbol if len(line.symbols) > 1 else "")
        made = make_page(settings, lake, execution=execution, out=path, progress=console.Bars())
        if not line.json:
            steps.print_reported(made)
        if open_page:
            console.open_page(made.path, made.execution, lambda: made.html)
        return made.as_json()

    line.each(work)


lake.register(app)
init.register(app)
search.register(app)
portfolio.register(app)
live.register(app)
record.register(app)
strategies.register(app)
indicators.register(app)
export.register(app)
compare.register(app)
serve.register(app)


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print all versions.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed
        from platform import python_version

        from hermes.version import __version__

        typer.echo(f"hermes {__version__}\npython {python_version()}")
        for library in LIBRARIES:  # what is installed says so itself: nothing is imported
            typer.echo(f"{library} {installed(library)}")
        raise typer.Exit
