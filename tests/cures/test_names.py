"""What errors advise exists: every command, option and setting that a cure names can be typed."""

import re

import pytest
import typer.main
from tests.cures.found import cures

from hermes.cli.app import app
from hermes.settings import Settings

COMMANDS = typer.main.get_command(app).commands
SETTINGS = {name for name, _, _ in Settings.load(environ={}).items()}
SECTIONS = {name.partition(".")[0] for name in SETTINGS}


CURES = cures()


def group(words: list[str]) -> tuple[object, list[str]]:
    """The command that words name, also below a group, and the words after it."""
    command = COMMANDS.get(words[0])
    rest = words[1:]
    while command is not None and hasattr(command, "commands") and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("cure", CURES)
def test_what_a_cure_names_exists(cure: str):
    where = CURES[cure]
    for line in re.findall(r"`hermes ([^`]+)`", cure):
        words = [word for word in line.split() if word != "…"]
        command, rest = group(words) if words[0].islower() and words[0].isalpha() else (COMMANDS["run"], words)
        assert command is not None, f"{where}: there is no `hermes {words[0]}`"
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known, f"{where}: {line}"
    everywhere = {
        name
        for command in (*COMMANDS.values(), *(below for each in COMMANDS.values()
                                              for below in getattr(each, "commands", {}).values()))
        for each in command.params
        for name in (*each.opts, *each.secondary_opts)
    }  # fmt: skip
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"`[^`]*`", "", cure)):
        assert option in everywhere, f"{where}: no command takes {option}"
    for name in re.findall(rf"\b(?:{'|'.join(SECTIONS)})\.[a-z_]+\b", cure):
        named = name in SETTINGS or name.startswith("strategy.") or name.endswith((".toml", ".py", ".md", ".csv"))
        assert named, f"{where}: {name} is not a setting"
    for section, key in re.findall(r"\[(\w+)\] (\w+)", cure):
        if section in SECTIONS and key != "in":
            assert f"{section}.{key}" in SETTINGS, f"{where}: [{section}] {key} is not a setting"
