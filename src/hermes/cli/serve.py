"""The command that shows the lake in a browser: `serve`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

import os
import sys
from typing import Annotated

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.options import STRATEGY

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 picks a free one.")]
Address = Annotated[
    str,
    typer.Option("--address", help="Address to listen on; any other than loopback exposes the lake to the network."),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option("--allow-host", help="Another host name to accept in requests; may be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @command(
        app,
        "serve",
        "serve --lake 's3://{layer}' --port 9000",
        "serve --address 0.0.0.0 --allow-host lake.example.org",
        flags=STRATEGY,
        symbols=False,
    )
    def serve(line: Invocation, port: Port = 8765, address: Address = "127.0.0.1", allow_host: Hosts = None) -> None:
        """Show the lake in a browser: tables, executions, pages, and status and record live; read-only.

        It listens on loopback only, unless --address says otherwise: there is no password, so anyone who reaches the
        address can read the lake. Stop it with Ctrl-C.
        """
        from hermes.cli.views import console
        from hermes.lake.store import Lake
        from hermes.serve.server import Server

        settings = line.settings()
        server = Server(settings, Lake.open(settings), address, port, allow_host or ())

        def started() -> None:
            if line.json:
                console.print_json({"url": server.url, "lake": settings.lake.url, "loopback": server.is_loopback})
            else:
                console.say("Serving {} at {} (read-only; stop with Ctrl-C)", settings.lake.url, server.url)
            if not server.is_loopback:
                console.print_note(
                    "this address is not loopback, and there is no password: anyone who reaches it can read the lake"
                )
            sys.stdout.flush()

        server.run(started)
        console.print_note("stopped")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a thread may still wait for the lake, or for Polars on its way into Python
