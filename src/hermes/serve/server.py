"""The HTTP server: binds its address, and serves until it is stopped."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from hermes.errors import UsageError
from hermes.lake.store import Lake
from hermes.serve.handlers import Site, application
from hermes.serve.reader import Reader
from hermes.settings import Settings

ENDING_S = 2.0  # for answers that are under way when the server is stopped


class Server:
    """A server, bound to its address.

    Args:
        settings: name the lake.
        address: to listen on, an IP address or a name of this machine; port: 0 takes any that is free.
        hosts: host names to allow in addition to its address.

    Raises:
        UsageError: the address or the port is not available.
    """

    def __init__(self, settings: Settings, lake: Lake, address: str, port: int, hosts: Sequence[str] = ()) -> None:
        self._sockets = _bound(address, port)
        named: tuple[str, int] = self._sockets[0].getsockname()[:2]
        self.is_loopback = all(ip_address(each.getsockname()[0]).is_loopback for each in self._sockets)
        called = f"[{named[0]}]" if ":" in named[0] else named[0]
        self.url = f"http://{called}:{named[1]}/"
        self.port = named[1]
        allowed = frozenset(("localhost", *(host.lower() for host in hosts)))
        self._site = Site(Reader(settings, lake), allowed, any_address=not self.is_loopback)

    def run(self, started: Callable[[], None]) -> None:
        """Serve until SIGINT, SIGTERM or, unless that is ignored as below `nohup`, SIGHUP.

        Args:
            started: called once the server listens.
        """
        asyncio.run(self._run(started))

    async def _run(self, started: Callable[[], None]) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        hung_up = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
        for number in (signal.SIGINT, signal.SIGTERM, *hung_up):
            loop.add_signal_handler(number, stop.set)
        server = self.listen()
        started()
        await stop.wait()
        await self.end(server)

    def listen(self) -> HTTPServer:
        """Start serving in the running event loop."""
        server = HTTPServer(
            application(self._site),
            max_header_size=16_384,
            max_body_size=1_024,  # nothing that is asked has one
            body_timeout=10,
            idle_connection_timeout=60,
        )
        server.add_sockets(self._sockets)
        return server

    async def end(self, server: HTTPServer) -> None:
        """Accept no new requests, and wait shortly for the last answers."""
        server.stop()
        self._site.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), ENDING_S)


def _bound(address: str, port: int) -> list[socket.socket]:
    try:
        return bind_sockets(port, address)
    except socket.gaierror as error:
        raise UsageError(f"--address {address!r} cannot be resolved: {error.strerror}", "try 127.0.0.1") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            cure = "choose another with --port, or --port 0 for a free one"
            raise UsageError(f"port {port} of {address} is taken", cure) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--address {address} is not an address of this machine", "try 127.0.0.1") from None
        if error.errno == errno.EACCES:
            raise UsageError(f"port {port} needs root's rights", "choose one from 1024 up with --port") from None
        raise UsageError(f"cannot listen on {address}:{port}: {os.strerror(error.errno or 0)}", "") from None
