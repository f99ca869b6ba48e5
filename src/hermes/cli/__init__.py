"""The `hermes` command."""

from hermes.cli.app import main

__all__ = ["main"]
