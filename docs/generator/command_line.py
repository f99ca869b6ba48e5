"""Every command with its options, from the Typer app."""

import re
from collections.abc import Iterator

import typer

from generator.markdown import code, fenced, table
from hermes.cli.app import app

_INTRODUCTION = """# Command line

    hermes COMMAND [SYMBOL…] [OPTIONS]

Tables go to stdout, progress and errors to stderr. `--json` prints one JSON document on stdout and nothing else
there; see [](json.md). Exit codes are on [](errors.md), every setting behind an option on [](settings.md).

"""
_COMMON = ("--config", "--json", "--verbose")


def page() -> str:
    """The page."""
    commands = dict(named_commands())
    shared = {opt: p for p in next(iter(commands.values())).params for opt in p.opts if opt in _COMMON}
    parts = [
        _INTRODUCTION,
        table(
            ("command", "does"),
            [
                (f"[`{n}`](#{n.replace(' ', '-')})", _plain((c.help or "").split("\n\n")[0]))
                for n, c in commands.items()
            ],
        ),
    ]
    parts += ["\n## Options of every command\n\n", _options(list(dict.fromkeys(shared.values())))]
    return "".join([*parts, *(_command(name, each) for name, each in commands.items())])


def named_commands() -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Every command as it is typed, those of a group as `record verify`."""
    for name, each in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        if isinstance(each, typer.core.TyperGroup):
            yield from ((f"{name} {sub}", command) for sub, command in each.commands.items())
        else:
            yield name, each


def _command(name: str, command: typer.core.TyperCommand) -> str:
    words = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p not in words and not {*p.opts} & {*_COMMON, "--help"}]
    usage = " ".join(["hermes", name, *(f"[{_word(p)}]..." if p.nargs == -1 else _word(p) for p in words), "[OPTIONS]"])
    examples = re.findall(r"^\s*(hermes .*)$", command.epilog or "", re.MULTILINE)
    given = table(("argument", "is"), [(code(_word(p)), _plain(p.help)) for p in words]) + "\n"
    return "".join([
        f"\n## {name}\n\n{_plain(command.help)}\n\n",
        fenced("text", usage), "\n",
        given if words else "",
        _options(options) if options else "",
        f"\nExamples:\n\n{fenced('text', chr(10).join(examples))}" if examples else "",
    ])  # fmt: skip


def _word(argument: typer.core.TyperArgument) -> str:
    return argument.metavar or str(argument.name).upper()


def _options(options: list[typer.core.TyperOption]) -> str:
    rows = []
    for option in options:
        flag = isinstance(option.default, bool)
        names = ", ".join([*option.opts, *option.secondary_opts])
        value = "" if flag else option.metavar or option.name.upper().replace("_", "-")
        default = "" if flag or option.default is None else code(option.default)
        rows.append((code(f"{names} {value}".strip()), default, _plain(option.help)))
    return table(("option", "default", "meaning"), rows)


def _plain(text: str | None) -> str:
    """Without Rich's markup and with what Markdown would read as its own marked as text."""
    lines = re.sub(r"\[/?[a-z ]*\]", "", text or "").replace("<", "&lt;")
    return " ".join(lines.split())
