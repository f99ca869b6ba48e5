"""One `hermes` command inside this process, with all that it says: also what libraries print below Python."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from unittest.mock import patch

import typer.main

from hermes.cli import entry

#: Exit codes that a command may have: done, failed, wrong usage, a fault found.
CODES = frozenset({0, 1, 2, 3})
#: What a command says only where Hermes did not see an error coming.
UNFORESEEN = "unexpected"
get_command = cache(typer.main.get_command)  # Typer makes all commands each time that one is typed


@dataclass(frozen=True)
class Said:
    """What one command said."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return (
            f"hermes {' '.join(map(repr, self.arguments))}\nexit code {self.code}\n{self.out[-1500:]}{self.err[-1500:]}"
        )

    @property
    def typed(self) -> bool:
        """Whether it ended as a command may: done, or with one line that says what is wrong."""
        lines = self.err.rstrip().splitlines()
        if self.code not in CODES or "Traceback" in self.err:
            return False
        return self.code in (0, 3) or (bool(lines) and "error: " in self.err and f"error: {UNFORESEEN}" not in self.err)


def hermes(*arguments: str, folder: Path, environ: Mapping[str, str] | None = None) -> Said:
    """Run one command as a shell in `folder` would. What escapes it, escapes here."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("HERMES_", "AWS_", "MINIO_"))}
    with (
        patch.object(typer.main, "get_command", get_command),
        patch.object(sys, "argv", ["hermes", *arguments]),
        patch.dict(os.environ, given | {"TERM": "dumb", "COLUMNS": "200"} | dict(environ or {}), clear=True),
        chdir(folder),
        TemporaryFile("w+", encoding="utf-8", errors="replace") as out,
        TemporaryFile("w+", encoding="utf-8", errors="replace") as err,
    ):
        with _written_to(1, out.fileno()), _written_to(2, err.fileno()), redirect_stdout(out), redirect_stderr(err):
            code = entry._exit_code()
        return Said(arguments, code, *(_read(file) for file in (out, err)))


def _read(file) -> str:
    file.flush()
    file.seek(0)
    return file.read()


@contextmanager
def _written_to(handle: int, other: int) -> Iterator[None]:
    """Send what is written to a descriptor elsewhere: libraries in Rust and C++ know nothing of `sys.stderr`."""
    kept = os.dup(handle)
    os.dup2(other, handle)
    try:
        yield
    finally:
        os.dup2(kept, handle)
        os.close(kept)
