"""The command that writes a settings file: `init`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.options import ARCHIVE, STRATEGY, Flag
from hermes.errors import HermesError, UsageError
from hermes.text import counted

if TYPE_CHECKING:
    from hermes.settings import Settings

ENDPOINT = (Flag("--endpoint", "s3.endpoint", str, "Of an S3 store, like http://localhost:9000; none on AWS itself."),)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: use the given options and defaults.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
Check = Annotated[bool, typer.Option(help="Test the store.")]

_QUESTIONS = (
    ("lake.url", "Where is the lake? A folder like ./lake/{layer}, or s3://{layer}"),
    ("s3.endpoint", "The store's address, like http://localhost:9000 for MinIO (nothing on AWS itself)"),
    ("dataset.symbol", "Which symbol first?"),
    ("dataset.interval", "How long is a bar?"),
    ("archive.url", "Where is the archive? A folder, an http(s) or an s3:// address"),
    ("signals.strategy", "Which strategy?"),
)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @command(
        app,
        "init",
        "init BTCUSDT --yes --lake 's3://{layer}' --endpoint http://localhost:9000 --interval 4h",
        flags=(*ARCHIVE, *STRATEGY, *ENDPOINT),
    )
    def init(line: Invocation, yes: Yes = False, force: Force = False, check: Check = True) -> None:
        """Write a commented hermes.toml after a few questions, test the store, and show the next steps."""
        from hermes.settings.sources import CONFIG_FILE

        path = line.config or Path(CONFIG_FILE)
        if len(line.symbols) > 1:
            raise UsageError("a settings file names one symbol", "give the others to `hermes run`")
        if path.exists() and not force:
            raise UsageError(f"{path} is there already", "--force replaces it; --config names another one")
        chosen = dict(line.flags) | ({"dataset.symbol": line.symbols[0]} if line.symbols else {})
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("questions need a terminal", "add --yes, and options for what differs")
            chosen |= _asked(chosen, typer.prompt)
        _made(line, path, chosen, force=force, check=check)


def _asked(given: Mapping[str, Any], prompt: Callable[..., str]) -> Iterator[tuple[str, str]]:
    """Prompt for every value that no option gave, until the answer is valid."""
    from hermes.cli.views import console
    from hermes.settings import Settings

    answers = dict(given)
    defaults = {name: value for name, value, _ in Settings.load(given).items()}
    for name, question in _QUESTIONS:
        on_s3 = str(answers.get("lake.url", "")).startswith("s3://")
        while name not in answers and (on_s3 or name != "s3.endpoint"):
            answer = prompt(question, default=defaults[name], err=True).strip()
            try:
                Settings.load({**given, name: answer}, environ={})
            except HermesError as error:
                console.print_error(error)
                continue
            answers[name] = answer
            yield name, answer


def _made(line: Invocation, path: Path, chosen: Mapping[str, Any], *, force: bool, check: bool) -> None:
    from hermes.cli.toml_file import as_toml, write
    from hermes.cli.views import console, lake
    from hermes.settings import Settings
    from hermes.steps.maintenance.doctor import diagnose
    from hermes.strategies import strategy_name

    name = strategy_name(str(chosen.get("signals.strategy", Settings().signals.strategy)))
    chosen = {**chosen, **{f"strategy.{name}.{key}": value for key, value in line.own.items()}}
    write(path, as_toml(chosen), replace=force)
    settings = Settings.load(file=path)
    diagnosis = diagnose(settings, progress=console.Bars()) if check else None
    then = _next(settings, line.config)
    if line.json:
        told = {"file": str(path), "store": diagnosis and diagnosis.as_json(), "next": then}
        console.print_json(told)
    else:
        values = {name: value for name, value, _ in settings.items()}
        console.print_facts("Wrote", [("settings", path), *((name, values[name]) for name in chosen)])
        if diagnosis and diagnosis.healthy:
            console.print_facts(
                "Store", [(settings.lake.url, f"ready: passed {counted(len(diagnosis.findings), 'check')}")]
            )
        elif diagnosis:
            lake.print_diagnosis(diagnosis)
        console.print_facts("Now", [(f"{n}.", text) for n, text in enumerate(then, 1)])
    if diagnosis and not diagnosis.healthy:
        raise typer.Exit(1)


def _next(settings: "Settings", config: Path | None) -> list[str]:
    given = f" --config {config}" if config else ""
    keys = [
        "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…   (or MINIO_ROOT_USER and MINIO_ROOT_PASSWORD)",
        f"hermes doctor{given}",
    ]
    without_keys = settings.lake.url.startswith("s3://") and not settings.s3.access_key
    return [*(keys if without_keys else []), f"hermes run{given}", f"hermes ls{given}"]
