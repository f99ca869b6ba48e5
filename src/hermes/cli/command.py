"""Commands: the options that all of them have, and the parsed command line that they receive."""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, getdoc, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes import logs
from hermes.cli.help_text import Command, Group
from hermes.cli.options import DATASET, LAKE, LOG, SETTINGS_PANEL, STRATEGY, STRATEGY_PANEL, Flag
from hermes.errors import HermesError, UsageError
from hermes.redaction import printable, redact

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.settings import Settings


Work = Callable[["Settings", "Lake"], dict[str, Any]]
Step = Callable[..., Any]  # as in `steps/`: its result has `as_json`


_SYMBOLS = Annotated[list[str] | None, typer.Argument(metavar="SYMBOL", help="Like BTCUSDT or BTC/USDT.")]
_SET = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        rich_help_panel=STRATEGY_PANEL,
        help="A parameter of the strategy, like ema_fast=10; may be given several times.",
    ),
]
_CONFIG = Annotated[
    Path | None,
    typer.Option(
        "--config",
        rich_help_panel=SETTINGS_PANEL,
        help="Settings file; default: hermes.toml of this folder, if there is one.",
    ),
]
_JSON = Annotated[bool, typer.Option("--json", rich_help_panel=SETTINGS_PANEL, help="One JSON document on stdout.")]
_VERBOSE = Annotated[bool, typer.Option("-v", "--verbose", rich_help_panel=SETTINGS_PANEL, help="Show tracebacks.")]


@dataclass(frozen=True, slots=True)
class Invocation:
    """The parsed command line, without the options that only this command has."""

    symbols: list[str]
    flags: Mapping[str, Any]
    own: Mapping[str, str]  # parameters of whatever strategy the settings name
    config: Path | None
    json: bool

    def settings(self, symbol: str | None = None, flags: Mapping[str, Any] | None = None) -> "Settings":
        """The resolved settings for one symbol; `flags` come on top."""
        from hermes.settings import Settings

        given = {**self.flags, **(flags or {})}
        if symbol is not None:
            given["dataset.symbol"] = symbol
        settings = Settings.load(given, file=self.config)
        logs.to_stderr(settings.log.format)
        if not self.own:
            return settings
        from hermes.strategies import strategy_name

        section = f"strategy.{strategy_name(settings.signals.strategy)}"
        return Settings.load(given | {f"{section}.{name}": value for name, value in self.own.items()}, file=self.config)

    def print(self, made: Any, view: Callable[[Any], None]) -> None:
        """Print the result of a step: as JSON, or by `view` for people."""
        from hermes.cli.views import console

        if self.json:
            console.print_json(made.as_json())
        else:
            view(made)

    def each_step(self, step: Step, view: Callable[[Any], None], flags: Mapping[str, Any] | None = None) -> list[Any]:
        """Run a step for every symbol as `each` does, and print each result by `view`; returns the results."""
        from hermes.cli.views import console

        made: list[Any] = []

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            made.append(step(settings, lake, progress=console.Bars()))
            if not self.json:
                view(made[-1])
            return dict(made[-1].as_json())

        self.each(work, flags)
        return made

    def with_page(
        self, made: Any, view: Callable[[Any], None], out: Path | None, symbol: str, page: Callable[[], str]
    ) -> dict[str, Any]:
        """Print a result by `view`, and write its page to `out` if that is given; returns the result's JSON."""
        from hermes.cli.views import console
        from hermes.steps.local_files import page_path, write_text

        if not self.json:
            view(made)
        told = dict(made.as_json())
        if out:
            path = page_path(out, symbol if len(self.symbols) > 1 else "")
            told["page"] = write_text(path, page())
            if not self.json:
                console.print_note(f"page: {path}")
        return told

    def each(self, work: Work, flags: Mapping[str, Any] | None = None) -> None:
        """Do `work` for every symbol; one that fails is reported and does not stop the others."""
        from hermes.cli.views import console
        from hermes.lake.store import Lake

        done: list[dict[str, Any]] = []
        failed: list[HermesError] = []
        wanted: list[str | None] = [*self.symbols] or [None]
        for symbol in wanted:
            try:
                settings = self.settings(symbol, flags)
                done.append(work(settings, Lake.open(settings)))
            except HermesError as error:
                if verbose():
                    print_traceback()
                console.print_error(error, f"{symbol}: " if len(self.symbols) > 1 else "")
                failed.append(error)
        if self.json:
            errors = [{"error": redact(error.message), "cure": error.cure} for error in failed]
            console.print_json({"datasets": done, **({"errors": errors} if errors else {})})
        if failed:
            raise typer.Exit(failed[0].exit_code if len(self.symbols) <= 1 else 1)


def group(app: typer.Typer, name: str, help: str) -> typer.Typer:
    """Add a group of commands to `app`."""
    made = typer.Typer(name=name, cls=Group, no_args_is_help=True, rich_markup_mode="rich", help=help)
    app.add_typer(made)
    return made


def command(
    app: typer.Typer, *examples: str, flags: tuple[Flag, ...] = (), symbols: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command of `app`.

    Args:
        examples: shown by `--help`, without the leading `hermes`.
        flags: options that set settings, in addition to the common ones.
        symbols: whether it takes symbols.

    The function's first argument is the `Invocation`; the others are the command's own options.
    """
    common = (*flags, *DATASET, *LAKE, *LOG) if symbols else (*flags, *LAKE, *LOG)
    strategy = STRATEGY[0] in flags

    def register(function: Callable[..., None]) -> Callable[..., None]:
        form = signature(function)
        known = [flag for flag in common if flag.name not in form.parameters]

        @wraps(function)
        def wrapper(**given: Any) -> None:
            line = Invocation(
                symbols=given.pop("symbols", None) or [],
                flags={flag.setting: v for flag in known if (v := given.pop(flag.name)) is not None},
                own=_pairs(given.pop("set", None)),
                config=given.pop("config"),
                json=given.pop("json"),
            )
            given.pop("verbose")
            function(line, **given)

        def keyword(name: str, kind: Any, default: Any = None) -> Parameter:
            return Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)

        mine = list(form.parameters.values())[1:]
        parameters = [
            *(parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in mine),  # own arguments, then symbols
            *([keyword("symbols", _SYMBOLS)] if symbols else []),
            *(flag.parameter() for flag in known),
            *([keyword("set", _SET)] if strategy else []),
            keyword("config", _CONFIG),
            keyword("json", _JSON, default=False),
            keyword("verbose", _VERBOSE, default=False),
        ]
        wrapper.__signature__ = form.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        name = function.__name__.replace("_", "-")
        epilog = "\n\n".join(("[bold]Examples[/]", *(f"  hermes {example}" for example in examples)))
        app.command(name, cls=Command, help=_help_text(function), epilog=epilog)(wrapper)
        return wrapper

    return register


def _help_text(function: Callable[..., None]) -> str:
    """The docstring with each paragraph on one line, which the terminal wraps at its own width."""
    paragraphs = (getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def print_traceback() -> None:
    """Print the traceback of the current error on stderr, with secrets masked."""
    if logs.as_json():
        logs.event("traceback", level=logging.ERROR, traceback=traceback.format_exc())
    else:
        lines = redact(traceback.format_exc()).splitlines()
        sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


def verbose() -> bool:
    """Whether tracebacks were asked for; also known where parsing itself failed."""
    return "-v" in sys.argv or "--verbose" in sys.argv


def _pairs(texts: list[str] | None) -> dict[str, str]:
    """`--set` pairs by name."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set {text!r} is not NAME=VALUE", "write it like --set ema_fast=10")
        pairs[name] = value
    return pairs
