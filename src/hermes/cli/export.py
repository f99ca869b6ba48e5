"""The commands that hand tables to other engines: `export iceberg`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.help_text import Group
from hermes.cli.options import STRATEGY

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.settings import Settings

Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="signals|features|record", help="May be given several times; default: all three."),
]
Keep = Annotated[
    int | None, typer.Option("--keep", min=1, help="Expire all but this many of the newest snapshots of each table.")
]


def register(app: typer.Typer) -> None:
    """Add the group `export` to `app`."""
    group = typer.Typer(
        name="export",
        cls=Group,
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Export the lake's tables for other engines.",
    )
    app.add_typer(group)

    @command(group, "export iceberg BTCUSDT", "export iceberg BTCUSDT --table signals --keep 20", flags=STRATEGY)
    def iceberg(line: Invocation, table: Tables = None, keep: Keep = None) -> None:
        """Bring Iceberg tables up to date with the lake: signals in place, features and the record as copies."""
        from hermes.cli.views import console
        from hermes.iceberg import TABLES, export_iceberg

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            made = export_iceberg(settings, lake, tables=table or TABLES, keep=keep, progress=console.Bars())
            if not line.json:
                for each in made.tables:
                    counts = f"{each.snapshots:,}, {each.added:,} of them new; {each.expired:,} expired"
                    facts = [("rows", f"{each.rows:,}"), ("snapshots", counts), ("metadata", each.location)]
                    console.print_facts(each.name, facts)
            return made.as_json()

        line.each(work)
