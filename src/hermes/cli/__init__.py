"""The `hermes` command."""

from hermes.cli.entry import main

__all__ = ["main"]
