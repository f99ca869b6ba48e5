"""A proxy on loopback between Hermes and an S3 server, which does to a chosen request what networks and servers do."""

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KINDS = ("PUT", "create", "part", "complete", "GET", "HEAD", "LIST")
FAULTS = ("500", "503", "429", "reset", "hang", "cut-off body", "short body", "flipped bit", "lost answer")
_STATUS = {"500": "InternalError", "503": "SlowDown", "429": "TooManyRequests"}


@dataclass
class Plan:
    """Which requests meet which fault: from the `at`-th of its kind on, one or all; and what came by until now."""

    kind: str = ""
    fault: str = ""
    at: int = 1
    for_good: bool = False
    chance: random.Random = field(default_factory=random.Random)
    counts: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, kind: str) -> str:
        """Count a request; the fault that it meets, or nothing."""
        with self._lock:
            self.counts[kind] += 1
            due = self.counts[kind] >= self.at if self.for_good else self.counts[kind] == self.at
            if kind != self.kind or not due:
                return ""
            self.hits += 1
            return self.fault

    def flipped(self, data: bytes) -> bytes:
        """The same bytes but for one bit."""
        changed = bytearray(data)
        if changed:
            changed[self.chance.randrange(len(changed))] ^= 1 << self.chance.randrange(8)
        return bytes(changed)


@contextmanager
def proxied(endpoint: str, plan: Plan) -> Iterator[str]:
    """A proxy in front of `endpoint` until the end of the block; yields its own address."""
    upstream = urlsplit(endpoint).netloc

    class Handler(_Handler):
        to, faults = upstream, plan

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        plan.over.set()
        server.shutdown()
        server.socket.close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    to: str
    faults: Plan

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self._kind()
        fault = self.faults.fault_of(kind)
        uploads = self.command in ("PUT", "POST")
        if fault in _STATUS:
            self._refuse(fault)
        elif fault == "reset":
            self._reset()
        elif fault == "hang":
            self.faults.over.wait(30)
            self._reset()
        else:
            if uploads and fault == "flipped bit":
                body = self.faults.flipped(body)
            elif uploads and fault == "short body":
                body = body[: len(body) // 2]
            self._pass_on(body, fault, uploads=uploads)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any  # noqa: N815

    def _kind(self) -> str:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if self.command == "PUT" and "/" in urlsplit(self.path).path.strip("/"):
            if "uploadId" in query:
                return "part"
            return "create" if self.headers.get("If-None-Match") else "PUT"
        if self.command == "POST" and "uploadId" in query:
            return "complete"
        if self.command == "GET" and "list-type" in query:
            return "LIST"
        return self.command if self.command in ("GET", "HEAD") else "other"

    def _pass_on(self, body: bytes, fault: str, *, uploads: bool) -> None:
        server = http.client.HTTPConnection(self.to, timeout=30)
        try:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                server.putheader(name, str(len(body)) if name.lower() == "content-length" else value)
            server.endheaders(body)
            answer = server.getresponse()
            data = answer.read()
        except OSError:
            self._reset()
            return
        finally:
            server.close()
        if fault == "lost answer":
            self._reset()
            return
        length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(data))
        headers = [
            (name, value)
            for name, value in answer.headers.items()
            if name.lower() not in ("content-length", "transfer-encoding", "connection")
        ]
        if not uploads and fault == "flipped bit":
            data = self.faults.flipped(data)
            headers = [(n, _other(v) if self.command == "HEAD" and n.lower() == "etag" else v) for n, v in headers]
        if not uploads and fault == "short body":
            data = data[: len(data) // 2]
            length = str(int(length or 0) // 2) if self.command == "HEAD" else str(len(data))
        self._answer(answer.status, headers, data, length, cut=fault == "cut-off body")

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, length: str | None, *, cut: bool
    ) -> None:
        lines = [f"HTTP/1.1 {status} Answer", *(f"{name}: {value}" for name, value in headers)]
        if length is not None and status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        with suppress(OSError):
            if cut:
                # Where there is no body to cut, the head is.
                self.wfile.write(head + data[: len(data) // 2] if data else head[: len(head) // 2])
            else:
                self.wfile.write(head + data)
            self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def _refuse(self, status: str) -> None:
        data = f"<?xml version='1.0'?><Error><Code>{_STATUS[status]}</Code><Message>no</Message></Error>".encode()
        body = b"" if self.command == "HEAD" else data
        self._answer(int(status), [("Content-Type", "application/xml")], body, str(len(data)), cut=False)

    def _reset(self) -> None:
        """End the connection at once; the other side reads "connection reset by peer"."""
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with suppress(OSError):
            self.connection.close()


def _other(tag: str) -> str:
    """An etag with one digit changed."""
    return tag.replace("a", "b", 1) if "a" in tag else tag.replace("0", "1", 1)
