"""What errors advise exists: every command, option and setting that a cure names can be typed."""

import re
from collections.abc import Iterator

import typer.main
from tests.cures.found import cures

from hermes.cli.app import app
from hermes.settings import Settings

COMMANDS = typer.main.get_command(app).commands
SETTINGS = {name for name, _, _ in Settings.load(environ={}).items()}
FILES = (".toml", ".py", ".md", ".csv")
SECTIONS = {name.partition(".")[0] for name in SETTINGS}
ALL = [*COMMANDS.values(), *(below for each in COMMANDS.values() for below in getattr(each, "commands", {}).values())]
OPTIONS = {name for command in ALL for each in command.params for name in (*each.opts, *each.secondary_opts)}


def group(words: list[str]) -> tuple[object, list[str]]:
    """The command that words name, also below a group, and the words after it."""
    command = COMMANDS.get(words[0])
    rest = words[1:]
    while command is not None and hasattr(command, "commands") and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def wrong(cure: str) -> Iterator[str]:
    """What a cure names and does not exist."""
    for line in re.findall(r"`hermes ([^`]+)`", cure):
        words = [word for word in line.split() if word != "…"]
        command, rest = group(words) if words[0].islower() and words[0].isalpha() else (COMMANDS["run"], words)
        if command is None:
            yield f"there is no `hermes {words[0]}`"
            continue
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
        if not {word.partition("=")[0] for word in rest if word.startswith("--")} <= known:
            yield line
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"`[^`]*`", "", cure)):
        if option not in OPTIONS:
            yield f"no command takes {option}"
    for name in re.findall(rf"\b(?:{'|'.join(SECTIONS)})\.[a-z_]+\b", cure):
        if name not in SETTINGS and not name.startswith("strategy.") and not name.endswith(FILES):
            yield f"{name} is not a setting"
    for section, key in re.findall(r"\[(\w+)\] (\w+)", cure):
        if section in SECTIONS and key != "in" and f"{section}.{key}" not in SETTINGS:
            yield f"[{section}] {key} is not a setting"


def test_what_cures_name_exists():
    assert [f"{where}: {fault}" for cure, where in cures().items() for fault in wrong(cure)] == []


def test_what_does_not_exist_is_found():
    cure = "run `hermes refind` or `hermes run --nope`, add --never, set live.nothing or [lake] nowhere"
    assert len([*wrong(cure)]) == 5
