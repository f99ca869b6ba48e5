"""The commands about indicators: list them, promote their columns, and start one of your own."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.options import FEATURE_SET, INDICATORS
from hermes.text import counted

if TYPE_CHECKING:
    from hermes.steps.feature_tables import PromotedFeatures

Columns = Annotated[str, typer.Argument(metavar="COLUMNS", help="Like zscore_20,ema_50@1d.")]
Withdraw = Annotated[bool, typer.Option("--withdraw", help="Remove them from production's definition.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by _, like range_high.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @command(app, "indicators", "indicators --indicators ./range_high.py --json", flags=INDICATORS, symbols=False)
    def indicators(line: Invocation) -> None:
        """List the indicators: formula, source, look-back, and whether they are proven to look only backwards."""
        from hermes.cli.views import console
        from hermes.steps.indicators import listed

        found = listed(line.settings())
        if line.json:
            console.print_json({"indicators": found})
            return
        for each in found:
            judged = f"{each['verdict'].replace('_', ' ')}{': ' if each['reasons'] else ''}{'; '.join(each['reasons'])}"
            facts = [
                ("", each["formula"]),
                ("source", each["source"]),
                ("from", each["from"]),
                ("look-back", f"{counted(each['look_back'], 'bar')} of {each['example']}"),
                ("looks back only", judged),
            ]
            console.print_facts(each["usage"], facts)

    @command(
        app,
        "promote-features zscore_20,ema_50@1d BTCUSDT --feature-set test",
        "promote-features zscore_20 --withdraw",
        flags=FEATURE_SET,
    )
    def promote_features(line: Invocation, columns: Columns, withdraw: Withdraw = False) -> None:
        """Move columns of a feature set into production's definition; `hermes features` then writes them."""
        from hermes.steps.feature_tables import promote_features as move

        names = [name for name in columns.split(",") if name]
        line.each_step(partial(move, columns=names, withdraw=withdraw), _print_promoted)

    @command(app, "new-indicator range_high", symbols=False)
    def new_indicator(line: Invocation, name: NewName) -> None:
        """Write a commented indicator to start from, and its test, into this folder."""
        from hermes.cli.views import console
        from hermes.indicators.starter import write_starter

        indicator, test = write_starter(name, Path())
        then = [
            f"pytest {test}",
            f"hermes indicators --indicators ./{indicator}",
            f"hermes features SIMUSDT --feature-set test --indicators ./{indicator} --columns {name}_20",
        ]
        console.print_starter({"indicator": indicator, "test": test}, then, as_json=line.json)


def _print_promoted(made: "PromotedFeatures") -> None:
    from hermes.cli.views import console

    facts = [("promoted", " ".join(made.columns) or "none"), ("definition", made.path)]
    console.print_facts("Columns of production beside the 23 indicators", facts)
    console.print_note("run `hermes features` for each dataset: its files are written anew")
