"""The commands about the record: show, verify, reconcile and export what was decided live."""
# ruff: noqa: PLC0415, PLR0915 (heavy imports wait until a command runs; `register` is a list of commands)

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes.cli.command import Invocation, command, group
from hermes.cli.options import ACCOUNT, STRATEGY
from hermes.errors import AuditFault, MissingTable, UsageError

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.settings import Settings

Limit = Annotated[int, typer.Option("--limit", min=1, help="How many of the newest rows to show.")]
Kept = Annotated[
    list[str] | None,
    typer.Option("--head", help="A hash that you kept from `record head` and that must be on record; may be repeated."),
]
Csv = Annotated[
    Path | None, typer.Option("--csv", help="Write canonical texts, which can be verified in any language.")
]
Parquet = Annotated[Path | None, typer.Option("--parquet", help="Write typed values.")]


def register(app: typer.Typer) -> None:
    """Add the group `record` to `app`."""
    records = group(
        app,
        "record",
        "Live decisions as they were made: show, verify, export, reconcile with today. Without symbols, "
        "everything on record for the strategy, market and interval.",
    )

    @command(records, "record show BTCUSDT --limit 50", flags=STRATEGY)
    def show(line: Invocation, limit: Limit = 20) -> None:
        """Show the newest decisions: when they were made, on which bar, and what they were."""
        from hermes.cli.views import record as views
        from hermes.record.review import Record, rows_json

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            rows = Record(settings, lake).rows.tail(limit)
            if not line.json:
                views.print_decisions(settings, rows)
            return {"symbol": settings.dataset.symbol, "interval": settings.dataset.interval, "rows": rows_json(rows)}

        _on_record(line).each(work)

    @command(records, "record head", "record head BTCUSDT --json", flags=STRATEGY)
    def head(line: Invocation) -> None:
        """Print the newest hash of each chain: keep it where the owner of the lake cannot change it."""
        from hermes.cli.views import record as views
        from hermes.record.ledger import head_json
        from hermes.record.review import Record

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            record = Record(settings, lake)
            end = record.head()
            if not line.json:
                views.print_head(record.chain, end)
            return {**record.chain._asdict(), **head_json(end)}

        _on_record(line).each(work)

    @command(records, "record verify", "record verify BTCUSDT --head 4b1f…", flags=STRATEGY)
    def verify(line: Invocation, kept: Kept = None) -> None:
        """Check every hash, link, file and bar of the record; exit code 3 if something was changed or is missing."""
        from hermes.cli.views import record as views
        from hermes.dataset import normalize_symbol
        from hermes.lake.store import Lake
        from hermes.record import review

        settings = line.settings()
        symbols = [normalize_symbol(symbol) for symbol in line.symbols]
        made = review.verify(settings, Lake.open(settings), symbols, kept or [])
        line.print(made, views.print_verified)
        if not made.sound:
            raise typer.Exit(AuditFault.exit_code)

    @command(records, "record reconcile", "record reconcile BTCUSDT --json", flags=(*STRATEGY, *ACCOUNT))
    def reconcile(line: Invocation) -> None:
        """Decide again from today's silver; exit code 3 if a difference has no known cause.

        Causes are: bar revised, rules or parameters changed, missed, late. The paper account, which trades the record
        as it was, is compared with a backtest of the same bars, and the difference is attributed to the causes.
        """
        from hermes.cli.views import record as views
        from hermes.record.review import Record

        unexplained = []

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            made = Record(settings, lake).reconcile()
            unexplained.append(made.unexplained)
            if not line.json:
                views.print_reconciled(made)
            return made.as_json()

        _on_record(line).each(work)
        if any(unexplained):
            raise typer.Exit(AuditFault.exit_code)

    @command(records, "record export BTCUSDT --csv record.csv", "record export --parquet all.parquet", flags=STRATEGY)
    def export(line: Invocation, csv: Csv = None, parquet: Parquet = None) -> None:
        """Write the record to a file that can be verified without Hermes, with docs/verify_record.py."""
        from hermes.cli.views import record as views
        from hermes.dataset import normalize_symbol
        from hermes.lake.store import Lake
        from hermes.record.export import export as write

        path = csv or parquet
        if path is None or (csv and parquet):
            raise UsageError("export needs either --csv FILE or --parquet FILE", "give one, like --csv record.csv")
        settings = line.settings()
        symbols = [normalize_symbol(symbol) for symbol in line.symbols]
        made = write(settings, Lake.open(settings), path, "csv" if csv else "parquet", symbols)
        line.print(made, views.print_exported)


def _on_record(line: Invocation) -> Invocation:
    """The same command line, with every symbol on record if it names none."""
    if line.symbols:
        return line
    from hermes.lake.store import Lake
    from hermes.record.review import Record

    settings = line.settings()
    record = Record(settings, Lake.open(settings))
    symbols = record.symbols()
    if not symbols:
        of = record.chain
        raise MissingTable(
            f"nothing is on record for {of.strategy}, {of.market} {of.interval}",
            "run `hermes live` first, or pass the --strategy, --market and --interval that it was run with",
        )
    return replace(line, symbols=symbols)
