"""HTTP servers that answer badly, most of them with all that they were told."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import quote

from hermes.dataset import Dataset
from torture.parquet import INTERVAL, SYMBOL


@contextmanager
def serving(answer: str) -> Iterator[str]:
    """A server on loopback that answers in one bad way: echo, error, redirect, garbage, reset or listing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"answer": answer}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


_COUNTER = count()


class _Handler(BaseHTTPRequestHandler):
    """Answers badly, with everything that it was told: real stores echo the key and what was signed."""

    answer = ""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self._any
        raise AttributeError(name)

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        told = f"{self.command} {self.path}\n" + "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        if self.answer == "reset":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif self.answer == "redirect":
            self._reply(307, told, {"Location": f"http://127.0.0.1:1{self.path}&told={quote(told)}"})
        elif self.answer == "garbage":
            self._reply(
                200, f"<Not>{told}", {"ETag": f'"{next(_COUNTER)}"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
            )
        elif self.answer == "listing" and "list-type=2" in self.path:
            self._reply(200, _listing(self.path))
        elif self.answer == "error":
            self._reply(500, told)
        else:
            self._reply(
                403,
                f"<Error><Code>SignatureDoesNotMatch</Code><Message>{told}</Message><StringToSign>{told}</StringToSign></Error>",
            )

    def _reply(self, status: int, body: str, headers: Mapping[str, str] = {}) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/xml", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _listing(path: str) -> str:
    """One feature file in every bucket: it is there, and cannot be read."""
    bucket = path.lstrip("/").partition("?")[0].rstrip("/")
    series = Dataset(symbol=SYMBOL, interval=INTERVAL)
    keys = {"bronze": series.bronze_key(date(2024, 12, 1)), "silver": series.silver_key(2024)}
    key = keys.get(bucket, series.features_key(2024))
    return (
        f'<?xml version="1.0"?><ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>'
        f"<KeyCount>1</KeyCount><Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
        "<ETag>&quot;x&quot;</ETag><Size>9000</Size></Contents></ListBucketResult>"
    )
