"""The entry point of the `hermes` command: exit codes, one-line errors, and broken or closed streams."""

import gc
import logging
import os
import signal
import sys
from time import perf_counter

import typer

from hermes import interruption, logs
from hermes.cli import INTERRUPTED, RERUN, streams
from hermes.cli.app import app
from hermes.cli.command import print_traceback, verbose
from hermes.errors import UsageError
from hermes.redaction import as_hermes_error, printable

OBJECTS_BETWEEN_COLLECTIONS = 200_000  # while modules are loaded, nothing is garbage
MULTIPLIERS = (["sweep"], ["walkforward"], ["portfolio"])  # the only ones that multiply large matrices
READERS = tuple(
    [name] for name in ("ls", "show", "sql", "config", "backtest", "strategies", "indicators", "status", "record")
)  # only print


def main() -> None:
    """The `hermes` command: every error is one line on stderr and an exit code."""
    started = perf_counter()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    _start_lean(sys.argv[1:2])
    _leave_out_others(sys.argv[1:2])
    streams.guard()
    interruption.listen(streams.silence_native)
    code = _exit_code()
    if lost := streams.finish():
        _say("output", f"stdout cannot be written to ({lost.strerror}): what was to be printed is lost, nothing else")
        code = code or int(sys.argv[1:2] in READERS)  # of the others, what they did is done
    logs.event("end", command=" ".join(sys.argv[1:2]), exit_code=code, seconds=round(perf_counter() - started, 3))
    streams.finish()
    if sys.getprofile() or sys.gettrace():  # they write what they found as the interpreter ends
        sys.exit(code)
    # All is tidied up, and to take every module down takes a sixth of a short command's time. After Ctrl-C a thread of
    # Polars may still be on its way into Python, and would abort the process if it met an interpreter that ends.
    os._exit(code)


def _start_lean(words: list[str]) -> None:
    """Skip work that libraries do on import and no command needs, unless the environment asks for it.

    pydantic looks for plugins in every package that is installed. The threads of NumPy's OpenBLAS spin while they wait.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    if words not in MULTIPLIERS and "OMP_NUM_THREADS" not in os.environ:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _leave_out_others(words: list[str]) -> None:
    """Register only the command that is called: Typer builds every registered command first."""
    wanted = [
        each for each in app.registered_commands if [each.name or getattr(each.callback, "__name__", "")] == words
    ]
    if wanted:
        app.registered_commands, app.registered_groups = wanted, []


def _exit_code() -> int:
    logs.to_stderr(logs.wanted())
    code = _run()
    told = interruption.told
    if code and told is not None:
        _say("interrupted", f"{'interrupted' if told == signal.SIGINT else signal.Signals(told).name}: {RERUN}")
        return interruption.exit_code()
    return code


def _run() -> int:
    """Run the command; an error is printed, unless it is because a signal ends the process."""
    try:
        result = app(standalone_mode=False)  # INTERRUPTED is what Typer makes of Ctrl-C
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        if said := error.format_message():  # nothing is said where the help was shown instead
            return _reported(
                UsageError(said.replace(": Value error, ", ": "), "see `hermes --help` or `hermes COMMAND --help`")
            )
        return error.exit_code
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Polars is no Exception
        return INTERRUPTED if interruption.told is not None else _reported(error)


def _reported(error: BaseException) -> int:
    if verbose():
        print_traceback()
    from hermes.cli.views import console  # noqa: PLC0415 - needed for an error alone

    known = as_hermes_error(error)
    console.print_error(known)
    return known.exit_code


def _say(event: str, text: str) -> None:
    if logs.as_json():
        logs.event(event, level=logging.ERROR, message=text)
    else:
        typer.echo(printable(text), err=True)
