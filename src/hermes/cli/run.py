"""The command that runs the pipeline: `run`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hermes.cli.command import Invocation, command, verbose
from hermes.cli.completion import choices
from hermes.cli.options import (
    ACCOUNT,
    ARCHIVE,
    CHUNKS,
    DATASET_PANEL,
    SPAN,
    STRATEGY,
    Cluster,
    Frequency,
    Since,
    Until,
    Workers,
)
from hermes.errors import AuditFault, HermesError, UsageError

if TYPE_CHECKING:
    from hermes.dataset import Dataset
    from hermes.market import Outcome
    from hermes.settings import Settings
    from hermes.steps.run import RunOptions

SymbolsFile = Annotated[
    Path | None,
    typer.Option(rich_help_panel=DATASET_PANEL, help="A file of symbols, one on a line; - reads stdin."),
]
All = Annotated[
    bool,
    typer.Option(
        "--all", rich_help_panel=DATASET_PANEL, help="Every symbol that the archive holds, or the layer of --from."
    ),
]
Quote = Annotated[
    str, typer.Option(rich_help_panel=DATASET_PANEL, help="With --all: only symbols quoted in it, like USDT.")
]
Match = Annotated[
    str, typer.Option(rich_help_panel=DATASET_PANEL, help="With --all: only symbols like this, as in 'BTC*'.")
]
Intervals = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=DATASET_PANEL,
        help="Bar length, like 4h; may be given several times.",
        autocompletion=choices("dataset.interval"),
    ),
]
From = Annotated[
    Literal["archive", "bronze", "silver", "gold"],
    typer.Option("--from", help="Where to start; the steps before it are skipped."),
]
Audit = Annotated[bool, typer.Option(help="Run a quick audit before the signals are made.")]
Report = Annotated[bool, typer.Option(help="Make the page of every execution.")]
IfChanged = Annotated[
    bool | None,
    typer.Option(
        "--if-changed/--always",
        help="Skip if inputs are unchanged. One dataset: always is the default; several: if changed.",
    ),
]

Wanted = Sequence[tuple[str | None, Mapping[str, Any]]]

EPOCH = datetime.fromtimestamp(0, UTC)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @command(
        app,
        "run BTCUSDT --interval 4h --archive ./binance --start 2017-09-01",
        "run BTCUSDT ETHUSDT --lake 's3://{layer}' --json",
        "run --all --quote USDT --match 'B*' --interval 4h --interval 1d --workers 8",
        "run --symbols-file mine.txt --from silver --no-report --cluster tcp://scheduler:8786",
        flags=(*ARCHIVE, *SPAN, *STRATEGY, *CHUNKS, *ACCOUNT),
    )
    def run(
        line: Invocation,
        symbols_file: SymbolsFile = None,
        all_symbols: All = False,
        quote: Quote = "",
        match: Match = "*",
        interval: Intervals = None,
        source: From = "archive",
        frequency: Frequency = None,
        since: Since = None,
        until: Until = None,
        audit: Audit = True,
        report: Report = True,
        if_changed: IfChanged = None,
        workers: Workers = None,
        cluster: Cluster = None,
    ) -> None:
        """Run the full pipeline, from the archive to signals and their page, for one dataset or for many."""
        from hermes.steps.run import RunOptions

        symbols: list[str | None] = [*named_symbols(line, symbols_file, quote, match, all_symbols=all_symbols)]
        layers = [{"dataset.interval": each} for each in interval or []] or [{}]
        if all_symbols:
            wanted: Wanted = [
                (each.symbol, on_top) for on_top in layers for each in _held(line, on_top, source, quote, match)
            ]
        else:
            wanted = [(symbol, on_top) for on_top in layers for symbol in symbols or [None]]
        many = len(wanted) > 1 or bool(workers or cluster)
        unchanged_stays = if_changed if if_changed is not None else many
        # What a cluster did twice finds the execution of this very run, and makes no other.
        fresh_after = EPOCH if unchanged_stays else datetime.now(UTC) if many else None
        days = {"since": since and since.date(), "until": until and until.date()}
        options = RunOptions(
            source, tuple(frequency or ()), **days, audited=audit, reported=report, fresh_after=fresh_after
        )
        if many:
            _run_many(line, wanted, options, workers, cluster)
        else:
            _run_one(line, *wanted[0], options)


def _run_one(line: Invocation, symbol: str | None, on_top: Mapping[str, Any], options: "RunOptions") -> None:
    from hermes import pipeline
    from hermes.cli.views import steps

    flags = {**on_top, **({"dataset.symbol": symbol} if symbol is not None else {})}
    line.each_step(partial(pipeline.run, **asdict(options)), steps.print_run, flags)


def _run_many(
    line: Invocation, wanted: Wanted, options: "RunOptions", workers: int | None, cluster: str | None
) -> None:
    from hermes.cli.views import console, market
    from hermes.market import run_market
    from hermes.workers.pool import place

    tasks, refused = _tasks(line, wanted)
    if cluster:  # workers elsewhere have a working folder of their own
        tasks = [each.with_absolute_paths() for each in tasks]
    with place(tasks[0], workers, cluster) as where:
        if where.dashboard:
            console.print_note(f"Dask's dashboard: {where.dashboard}")
        made = run_market(tasks, options, where, console.Bars(), refused)
    if line.json:
        console.print_json(made.as_json())
    else:
        market.print_market(made)
    for each in made.failed:
        if verbose():
            console.print_note(each.trace)
        console.print_error(HermesError(each.error, each.cure), f"{each.symbol} {each.interval}: ")
    if made.failed:
        only_faults = all(each.exit_code == AuditFault.exit_code for each in made.failed)
        raise typer.Exit(AuditFault.exit_code if only_faults else 1)


def _held(line: Invocation, on_top: Mapping[str, Any], source: str, quote: str, match: str) -> "list[Dataset]":
    from hermes.market import held

    return held(line.settings(None, on_top), source, quote=quote, match=match)


def _tasks(line: Invocation, wanted: Wanted) -> "tuple[list[Settings], list[Outcome]]":
    """The settings of every dataset, without duplicates, and the datasets with invalid names if others are valid."""
    from hermes.market import Outcome

    tasks: dict[Dataset, Settings] = {}
    refused: list[tuple[Outcome, HermesError]] = []
    for symbol, on_top in wanted:
        try:
            settings = line.settings(symbol, on_top)
        except HermesError as error:
            interval = on_top.get("dataset.interval", "")
            refused.append((Outcome.of_error(symbol or "", interval, "", error), error))
        else:
            tasks.setdefault(settings.dataset, settings)
    if not tasks:
        raise refused[0][1]
    return list(tasks.values()), [outcome for outcome, _ in refused]


def named_symbols(
    line: Invocation, symbols_file: Path | None, quote: str, match: str, *, all_symbols: bool
) -> list[str]:
    """The symbols on the line and in a file.

    Raises:
        UsageError: there are some beside --all; or there is no --all for --quote and --match to choose among.
    """
    if (quote or match != "*") and not all_symbols:
        raise UsageError("--quote and --match choose among --all symbols", "add --all, or leave them out")
    if all_symbols and (line.symbols or symbols_file):
        raise UsageError("--all cannot be combined with symbols", "name the symbols, or use --all")
    return [*line.symbols, *(symbols_in(symbols_file) if symbols_file else [])]


def symbols_in(path: Path) -> list[str]:
    """The symbols of a file, one per line; `#` begins a comment."""
    try:
        text = typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--symbols-file {path} cannot be read: {error}", "give a text file of symbols") from None
    found = [symbol for line in text.splitlines() if (symbol := line.partition("#")[0].strip())]
    if not found:
        raise UsageError(f"--symbols-file {path} holds no symbol", "write one on each line, like BTCUSDT")
    return found
