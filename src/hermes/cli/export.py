"""The commands that hand tables to other engines: `export iceberg`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from hermes.cli.command import Invocation, command, group
from hermes.cli.options import STRATEGY

if TYPE_CHECKING:
    from hermes.iceberg import Exported

Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="signals|features|record", help="May be given several times; default: all three."),
]
Keep = Annotated[
    int | None, typer.Option("--keep", min=1, help="Expire all but this many of the newest snapshots of each table.")
]


def register(app: typer.Typer) -> None:
    """Add the group `export` to `app`."""
    exports = group(app, "export", "Export the lake's tables for other engines.")

    @command(exports, "export iceberg BTCUSDT", "export iceberg BTCUSDT --table signals --keep 20", flags=STRATEGY)
    def iceberg(line: Invocation, table: Tables = None, keep: Keep = None) -> None:
        """Bring Iceberg tables up to date with the lake: signals in place, features and the record as copies."""
        from hermes.iceberg import TABLES, export_iceberg

        line.each_step(partial(export_iceberg, tables=table or TABLES, keep=keep), _print)


def _print(made: "Exported") -> None:
    from hermes.cli.views import console

    for each in made.tables:
        counts = f"{each.snapshots:,}, {each.added:,} of them new; {each.expired:,} expired"
        facts = [("rows", f"{each.rows:,}"), ("snapshots", counts), ("metadata", each.location)]
        console.print_facts(each.name, facts)
