"""The `hermes` command."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command. Ctrl-C is answered by a line from here on, also while modules are still loaded."""
    try:
        from hermes.cli.entry import main as run  # noqa: PLC0415 - takes long enough to be interrupted

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: no partial output; rerun to resume\n")
        sys.stderr.flush()
        os._exit(130)
