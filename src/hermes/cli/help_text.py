"""How `--help` shows the value of an option: nothing for a switch, else a word, or the choices."""

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

_WORDS = {"str": "TEXT", "int": "INTEGER", "float": "NUMBER", "path": "PATH", "%Y-%m-%d": "YYYY-MM-DD"}


def _readable(param: Any, context: Any) -> Any:
    """The parameter, shown without the names of Python's types."""
    if isinstance(param, TyperArgument):
        param.display_type_rich = lambda ctx: None  # type: ignore[method-assign]  # its name says it
    elif isinstance(param, TyperOption) and param.metavar is None:
        kind = (param.display_type(context) or "").strip("<>").removeprefix("list[").removesuffix("]")
        param.metavar = "" if param.is_flag else _WORDS.get(kind.removesuffix(" range"), kind)
    return param


class _Readable:
    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, and `--help`."""
        return [_readable(each, ctx) for each in super().get_params(ctx)]  # type: ignore[misc]


class Command(_Readable, TyperCommand):
    """A command whose help speaks of texts and numbers."""


class Group(_Readable, TyperGroup):
    """A group of commands whose help speaks of texts and numbers."""
