"""What `--help` says of options: no type of Python, choices where there are some, nothing for switches."""

from collections.abc import Iterator
from typing import Any

import typer.main

from hermes.cli.app import app


def shown() -> Iterator[tuple[str, Any, str]]:
    """Every parameter of every command, with what its help shows beside it."""

    def of(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, Any, str]]:
        context = typer.Context(command, info_name=name, parent=parent)
        yield from ((name, each, each.display_type_rich(ctx=context) or "") for each in command.get_params(context))
        for sub, below in getattr(command, "commands", {}).items():
            yield from of(below, f"{name} {sub}", context)

    yield from of(typer.main.get_command(app), "hermes")


def test_no_option_shows_a_type_of_python():
    kinds = {text for *_, text in shown()}
    assert not [text for text in kinds if "<" in text or "list[" in text or text in ("str", "int", "float", "bool")]


def test_switches_show_nothing_and_choices_are_shown():
    found = {(name, option): (each, text) for name, each, text in shown() for option in each.opts}
    assert all(text == "" for each, text in found.values() if getattr(each, "is_flag", False))
    assert found["hermes run", "--fill"][1] == "close|next_open"
    assert found["hermes run", "--from"][1] == "archive|bronze|silver|gold"
    assert found["hermes run", "--frequency"][1] == "monthly|daily|recent"
    assert found["hermes sql", "--format"][1] == "table|csv|json|parquet"
    assert found["hermes ingest", "--since"][1] == "YYYY-MM-DD"


def test_the_terminal_wraps_the_paragraphs_of_a_description():
    group = typer.main.get_command(app)
    assert "\n\n" in (group.commands["serve"].help or "")
    commands = [each for each in group.commands.values() if not hasattr(each, "commands")]
    assert not [each.name for each in commands if "\n" in (each.help or "").replace("\n\n", "")]
