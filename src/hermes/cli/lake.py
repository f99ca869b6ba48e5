"""The commands about a lake: list, show, query, diagnose, verify, promote and prune."""
# ruff: noqa: PLC0415, PLR0915 (heavy imports wait until a command runs; `register` is a list of commands)

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.options import ACCOUNT, ARCHIVE, SPAN, STRATEGY, Execution
from hermes.errors import AuditFault, UsageError
from hermes.text import counted

if TYPE_CHECKING:
    from hermes.dataset import Dataset

Query = Annotated[str, typer.Argument(metavar="QUERY", help="DuckDB SQL over the tables that `hermes ls` lists.")]
Format = Annotated[
    Literal["table", "csv", "json", "parquet"] | None,
    typer.Option(help="Default: table, or the format that the suffix of --out names."),
]
Out = Annotated[Path | None, typer.Option(help="Write all rows to this file instead: .csv, .json or .parquet.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many rows.")]
MOST_ROWS = 1_000  # of a table on a terminal
Keep = Annotated[int, typer.Option("--keep", min=1, help="How many of the newest executions of each table to keep.")]
Promotable = Annotated[
    str, typer.Argument(metavar="EXECUTION", help="Folder of an execution, TABLE/EXECUTION or its path.")
]
Withdraw = Annotated[bool, typer.Option("--withdraw", help="Undo the promotion of the TABLE that is given instead.")]
Yes = Annotated[bool, typer.Option("--yes", help="Remove them; without it, only show what would be removed.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @command(app, "ls", "ls --lake 's3://{layer}' --json", symbols=False)
    def ls(line: Invocation) -> None:
        """List every table of the lake: rows, span, size, executions, and its name in SQL."""
        from hermes.cli.views import console, steps
        from hermes.steps.query import ls as listing

        found = listing(line.settings())
        if line.json:
            console.print_json(found.as_json())
        elif found.tables or not found.broken:
            steps.print_tables(found.tables)
        for error in found.broken:
            console.print_error(error)
        if found.broken:
            raise typer.Exit(1)

    @command(
        app,
        "show BTCUSDT",
        "show BTCUSDT --execution execution_20251005_214748",
        flags=(*SPAN, *STRATEGY, *ACCOUNT),
    )
    def show(line: Invocation, execution: Execution = None) -> None:
        """Show one execution: what it was made from, how, and its measures."""
        from hermes.cli.views import steps
        from hermes.steps.show import show as show_execution

        line.each_step(
            lambda settings, lake, **_: show_execution(settings, lake, execution=execution), steps.print_shown
        )

    @command(
        app,
        "sql 'select count(*) from signals_BTCUSDT_4h'",
        "sql 'show tables'",
        "sql 'select * from signals_BTCUSDT_4h where buy_signal' --out buys.parquet",
        "sql 'select datetime, close from signals_BTCUSDT_4h where buy_signal' --format csv",
        symbols=False,
    )
    def sql(line: Invocation, query: Query, format: Format = None, out: Out = None, limit: Limit = None) -> None:
        """Query the lake with DuckDB; filters and columns are pushed down to the Parquet files.

        On the terminal a table is cut after 1,000 rows, with a note; --json, --format and --out give all rows.
        """
        from hermes.cli.views import console
        from hermes.cli.views import lake as view
        from hermes.lake.sql import check_format
        from hermes.steps.query import export_sql
        from hermes.steps.query import sql as ask

        wanted = "json" if line.json and out is None and format is None else check_format(format, out)
        if out is not None:
            rows = export_sql(line.settings(), query=query, path=out, format=wanted, limit=limit)
            if line.json:
                console.print_json({"rows": rows, "path": str(out), "format": wanted})
            else:
                console.say("Wrote {} to {}", counted(rows, "row"), out)
            return
        most = limit if limit is not None or wanted != "table" else MOST_ROWS
        answer = ask(line.settings(), query=query, limit=most)
        if wanted == "json":
            console.print_json(answer.as_json())
        elif wanted == "csv":
            console.print_csv(answer.columns, answer.rows)
        else:
            view.print_answer(answer)

    @command(app, "config", "config ETHUSDT --interval 1h --lake 's3://{layer}'", flags=(*ARCHIVE, *STRATEGY))
    def config(line: Invocation) -> None:
        """Show every setting with its origin, and every path that follows from them."""
        from hermes.cli.views import console
        from hermes.strategies import strategy_name

        settings = line.settings(line.symbols[0] if line.symbols else None)
        paths = settings.paths(strategy_name(settings.signals.strategy))
        if line.json:
            rows = {name: {"value": value, "origin": origin} for name, value, origin in settings.items()}
            console.print_json({"settings": rows, "paths": paths})
        else:
            console.print_rows(("setting", "value", "from"), list(settings.items()))
            console.print_facts("Paths", list(paths.items()))

    @command(app, "doctor", "doctor --lake 's3://{layer}' --json", symbols=False)
    def doctor(line: Invocation) -> None:
        """Test the lake's address: reachable, keys, create-only names, clock, space …, each with its cure."""
        from hermes.cli.views import console
        from hermes.cli.views import lake as view
        from hermes.steps.maintenance.doctor import diagnose

        made = diagnose(line.settings(), progress=console.Bars())
        line.print(made, view.print_diagnosis)
        if not made.healthy:
            raise typer.Exit(1)

    @command(app, "prune --keep 10", "prune BTCUSDT ETHUSDT --interval 4h --keep 3 --yes")
    def prune(line: Invocation, keep: Keep, yes: Yes = False) -> None:
        """Remove old executions, recent files that the archive repeats, and leftovers of dead runs.

        The newest of a table, and of what production reads, always stay.

        Without --yes it only shows what would be removed.
        Without symbols it covers the whole lake. Files of live runs and of other tools stay.
        """
        from hermes.cli.views import console
        from hermes.cli.views import lake as view
        from hermes.steps.maintenance.prune import prune as remove_old

        made = remove_old(line.settings(), keep=keep, datasets=_datasets(line), remove=yes, progress=console.Bars())
        line.print(made, view.print_pruned)

    @command(
        app,
        "promote execution_20251005_214748",
        "promote trading_signals_smart_momentum_spot_BTCUSDT_4h/execution_20251005_214748",
        "promote --withdraw trading_signals_smart_momentum_spot_BTCUSDT_4h",
        symbols=False,
    )
    def promote(line: Invocation, execution: Promotable, withdraw: Withdraw = False) -> None:
        """Promote an execution: production reads the newest one that was made with the same settings.

        Strategy, parameters, configured start and end, and account are pinned. `show`, `report`, `sql`, `ls` and
        `read_signals` then read the newest execution of those, whatever else is published.
        """
        from hermes.cli.views import lake as view
        from hermes.steps import promotion

        settings = line.settings()
        if withdraw:
            made = promotion.withdraw(settings, table=execution)
        else:
            made = promotion.promote(settings, execution=execution)
        line.print(made, view.print_promoted)


def audit_bytes(line: Invocation) -> None:
    """`hermes audit --bytes`: every published file against the SHA-256 on record.

    Raises:
        typer.Exit: with code 3 where a file differs, is missing or cannot be read.
    """
    from hermes.cli.views import console
    from hermes.cli.views import lake as view
    from hermes.steps.maintenance.verify import verify

    made = verify(line.settings(), datasets=_datasets(line), progress=console.Bars())
    line.print(made, view.print_verified)
    if made.faults:
        raise typer.Exit(AuditFault.exit_code)


def _datasets(line: Invocation) -> "list[Dataset]":
    """The datasets of the given symbols; none means all."""
    if not line.symbols and any(name.startswith("dataset.") for name in line.flags):
        raise UsageError(
            "--interval and --market have no effect without a symbol", "name the symbols, or leave them out"
        )
    return [line.settings(symbol).dataset for symbol in line.symbols]
