"""The `hermes` command."""

import os
import sys

__all__ = ["INTERRUPTED", "RERUN", "main"]

INTERRUPTED = 130  # the exit code after Ctrl-C
RERUN = "no partial output; rerun to resume"


def main() -> None:
    """Run the command. Ctrl-C is answered by a line from here on, also while modules are still loaded."""
    try:
        from hermes.cli.entry import main as run  # noqa: PLC0415 - takes long enough to be interrupted

        run()
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted: {RERUN}\n")
        sys.stderr.flush()
        from hermes.interruption import exit_code  # noqa: PLC0415 - before `main` nothing answers Ctrl-C

        os._exit(exit_code())
