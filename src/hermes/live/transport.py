"""HTTP(S) GET with persistent connections, a deadline for the whole answer, gzip, and proxies."""

import base64
import http.client
import socket
import ssl
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, LifoQueue
from threading import Lock
from time import monotonic
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from hermes.version import __version__

MOST_BYTES = 16_000_000  # of one answer: some twenty times the longest page of klines
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and the whole body, unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CutShort(OSError):
    """An answer that is shorter than announced, or cannot be decompressed."""


class Transport:
    """Requests to one server; thread-safe.

    Args:
        base: `http://host[:port][/prefix]` or https.
        proxy: `http://[user:password@]host:port`; empty: taken from HTTPS_PROXY or HTTP_PROXY and NO_PROXY.
        timeout_s: deadline of one request, from connecting to the last byte.
    """

    def __init__(self, base: str, proxy: str = "", timeout_s: float = 10.0) -> None:
        parts = urlsplit(base)
        self.host = parts.hostname or ""
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._proxy = urlsplit(proxy or self._ambient_proxy(parts.scheme))
        self._context: ssl.SSLContext | None = None
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue()
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = Lock()
        self._closed = False

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """GET `path` (with its query).

        Raises:
            OSError, http.client.HTTPException: there was no complete answer within the deadline.
        """
        until = monotonic() + self._timeout_s
        while True:
            connection, used = self._connection()
            try:
                answer = self._ask(connection, path, headers, until)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self._drop(connection)
                if used and not self._closed:  # the server closed what was idle: nothing was asked yet
                    continue
                raise
            except BaseException:
                self._drop(connection)
                raise
            self._idle.put(connection)
            return answer

    def close(self) -> None:
        """Close every connection; pending requests fail at once."""
        self._closed = True
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _ask(
        self, connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str], until: float
    ) -> Answer:
        target = f"{self._prefix}{path}"
        if self._proxy.hostname and not self._tls:
            target = f"http://{self.host}:{self._port}{target}"
        sent = {"Accept-Encoding": "gzip", "User-Agent": f"hermes/{__version__}", **headers, **self._proxy_headers()}
        if connection.sock is not None:
            connection.sock.settimeout(_left(until))
        connection.request("GET", target, headers=sent)
        response = connection.getresponse()
        packed = bytearray()
        while piece := response.read1(_PIECE):
            packed += piece
            if len(packed) > MOST_BYTES:
                raise CutShort(f"the answer is longer than {MOST_BYTES:,} bytes")
            if connection.sock is not None:
                connection.sock.settimeout(_left(until))
        response.close()  # http.client takes it for unread otherwise, and refuses the next request
        names = {name.lower(): value for name, value in response.getheaders()}
        length = names.get("content-length", "")
        if length.isdigit() and len(packed) != int(length):
            raise CutShort(f"the answer was cut short: {len(packed):,} of {int(length):,} bytes")
        if response.will_close:
            connection.close()  # the next request opens it again
        return Answer(response.status, names, _unpacked(bytes(packed), names.get("content-encoding", "")))

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it was used before."""
        if self._closed:
            raise OSError("the client is closed")
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._new()
            with self._lock:
                self._open.add(connection)
        return connection, connection.sock is not None

    def _new(self) -> http.client.HTTPConnection:
        host, port = (self._proxy.hostname, self._proxy.port or 80) if self._proxy.hostname else (self.host, self._port)
        if not self._tls:
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        if self._context is None:
            self._context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._context)
        if self._proxy.hostname:
            connection.set_tunnel(self.host, self._port, self._authorization())
        return connection

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        with self._lock:
            self._open.discard(connection)

    def _proxy_headers(self) -> dict[str, str]:
        return self._authorization() if self._proxy.hostname and not self._tls else {}

    def _authorization(self) -> dict[str, str]:
        if self._proxy.username is None:
            return {}
        pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def _ambient_proxy(self, scheme: str) -> str:
        return "" if proxy_bypass(self.host) else getproxies().get(scheme, "")


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError("the answer took too long")
    return left


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "x-gzip"):
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise CutShort(f"the answer cannot be unpacked: {error}") from None
    if not unpacker.eof:
        raise CutShort("the packed answer was cut short, or is too long")
    return found
