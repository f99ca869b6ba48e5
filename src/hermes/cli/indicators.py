"""The commands about indicators: which there are, and how to start one."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from pathlib import Path
from typing import Annotated

import typer

from hermes.cli.command import Line, command
from hermes.cli.options import INDICATORS

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by _, like range_high.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @command(app, "indicators", "indicators --indicators ./range_high.py --json", flags=INDICATORS, symbols=False)
    def indicators(line: Line) -> None:
        """List the indicators: formula, source, look-back, and whether their form proves that they look back only."""
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
                ("look-back", f"{each['look_back']} bars of {each['example']}"),
                ("looks back only", judged),
            ]
            console.print_facts(each["usage"], facts)

    @command(app, "new-indicator range_high", symbols=False)
    def new_indicator(line: Line, name: NewName) -> None:
        """Write a commented indicator to start from, and its test, into this folder."""
        from hermes.cli.views import console
        from hermes.indicators.starter import write_starter

        indicator, test = write_starter(name, Path())
        then = [
            f"pytest {test}",
            f"hermes indicators --indicators ./{indicator}",
            f"hermes features SIMUSDT --feature-set test --indicators ./{indicator} --columns {name}_20",
        ]
        if line.json:
            console.print_json({"indicator": str(indicator), "test": str(test), "next": then})
        else:
            console.print_facts("Wrote", [("indicator", indicator), ("its test", test)])
            console.print_facts(
                "Now (`hermes demo` makes SIMUSDT)", [(f"{n}.", text) for n, text in enumerate(then, 1)]
            )
