"""The commands about strategies: list them, and start one of your own."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hermes.cli.command import Invocation, command
from hermes.text import counted

Specs = Annotated[list[str] | None, typer.Argument(metavar="STRATEGY", help="Names or files; default: all.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by _, like my_breakout.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @command(app, "strategies", "strategies ./my_breakout.py --json", symbols=False)
    def strategies(line: Invocation, specs: Specs = None) -> None:
        """List the strategies: where they come from, their parameters, columns and look-back."""
        from hermes.cli.views import console
        from hermes.strategies.registry import listed

        found = listed(specs or [])
        if line.json:
            console.print_json({"strategies": found})
            return
        for each in found:
            facts = [("", each.get("does")), ("from", each["source"]), ("error", each.get("error"))]
            facts += [(f"--set {name}", _bounds(rules)) for name, rules in each.get("parameters", {}).items()]
            facts += [(name, " ".join(each.get(name, []))) for name in ("columns", "conditions")]
            facts += [("look-back", counted(each["look_back"], "bar") if "look_back" in each else None)]
            console.print_facts(each["name"], [(name, value) for name, value in facts if value])

    @command(app, "new-strategy my_breakout", symbols=False)
    def new_strategy(line: Invocation, name: NewName) -> None:
        """Write a commented strategy to start from, and its test, into this folder."""
        from hermes.cli.views import console
        from hermes.strategies.starter import write_starter

        strategy, test = write_starter(name, Path())
        then = [
            f"pytest {test}",
            f"hermes backtest SIMUSDT --strategy ./{strategy} --set window=30",
            f"hermes signals SIMUSDT --strategy ./{strategy} --set window=30",
        ]
        console.print_starter({"strategy": strategy, "test": test}, then, as_json=line.json)


def _bounds(rules: Mapping[str, Any]) -> str:
    """One parameter's default and bounds."""
    kind = " or ".join(map(str, rules["enum"])) if "enum" in rules else rules.get("type", "")
    signs = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    limits = [f"{sign} {rules[key]}" for key, sign in signs.items() if key in rules]
    default = f"{rules['default']}" if "default" in rules else "required"
    told = " ".join([kind, *limits])
    return f"{default} ({told})" + (f": {rules['description']}" if "description" in rules else "")
