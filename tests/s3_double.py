"""An S3 server in memory that differs from AWS where it is told to: the stores people have are not all alike."""

import hashlib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.s3_server import S3Server


@dataclass
class Quirks:
    """Where the server differs.

    Attributes:
        if_match: `bare`: refuses an etag in quotes, as Ceph's gateway; `ignored`: takes everything, as rclone.
        if_none_match: whether a create-only PUT is refused where the name is taken.
        listed_after_s: how long after it was written an object is listed.
        only_below: listing is allowed below this prefix only; whoever asks for an absent object gets a 403, as on AWS
            without the right to list.
        no_new_buckets: a bucket that is missing cannot be created.
        quoted_in_lists: whether etags in listings have quotes.
    """

    if_match: Literal["quoted", "bare", "ignored"] = "quoted"
    if_none_match: bool = True
    listed_after_s: float = 0.0
    only_below: str | None = None
    no_new_buckets: bool = False
    quoted_in_lists: bool = True


@dataclass
class Stored:
    """One object."""

    data: bytes
    meta: dict[str, str]
    written: float = field(default_factory=time.time)

    @property
    def etag(self) -> str:
        return hashlib.md5(self.data).hexdigest()


@dataclass
class Double(S3Server):
    """Where the server is, its quirks (to be changed at any time), its buckets, and every request by now."""

    quirks: Quirks = field(default_factory=Quirks)
    buckets: dict[str, dict[str, Stored]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    mutex: threading.RLock = field(default_factory=threading.RLock)


@contextmanager
def serve_double(quirks: Quirks | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Double]:
    """A server until the end of the block; with `tls` it speaks nothing else."""
    double = Double("", quirks=quirks or Quirks())

    class Handler(_Handler):
        store = double

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that do not trust the certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    double.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait 40 ms for the acknowledgement of its headers
    store: Double

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        with self.store.mutex:
            self.store.requests.append(f"{self.command} {unquote(self.path)}")
            if self.command == "PUT" and not key:
                self._create_bucket(bucket)
            elif bucket not in self.store.buckets:
                self._say(404, "NoSuchBucket")
            elif self.command == "POST" and "delete" in query:
                keys = [each.text or "" for each in ElementTree.fromstring(body).iter() if each.tag.endswith("Key")]
                for each in keys:
                    self.store.buckets[bucket].pop(each, None)
                gone = "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in keys)
                self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())
            elif not key:
                self._list(self.store.buckets[bucket], query)
            elif self.command == "PUT":
                self._put(self.store.buckets[bucket], key, body)
            elif self.command == "DELETE":
                self.store.buckets[bucket].pop(key, None)
                self._answer(204)
            else:
                self._get(self.store.buckets[bucket], key)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any

    def _create_bucket(self, bucket: str) -> None:
        if self.store.quirks.no_new_buckets:
            self._say(403, "AccessDenied")
            return
        self.store.buckets.setdefault(bucket, {})
        self._answer(200)

    def _put(self, objects: dict[str, Stored], key: str, body: bytes) -> None:
        quirks, there = self.store.quirks, objects.get(key)
        if quirks.if_none_match and self.headers.get("If-None-Match") == "*" and there:
            self._say(412, "PreconditionFailed")
            return
        wanted = self.headers.get("If-Match")
        if wanted and quirks.if_match != "ignored":
            form = f'"{there.etag}"' if there and quirks.if_match == "quoted" else there.etag if there else None
            if wanted != form:
                self._say(412 if there else 404, "PreconditionFailed" if there else "NoSuchKey")
                return
        meta = {name.lower(): value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}
        objects[key] = Stored(body, meta)
        self._answer(200, headers={"ETag": f'"{objects[key].etag}"'})

    def _get(self, objects: dict[str, Stored], key: str) -> None:
        there = objects.get(key)
        if there is None:
            self._say(404, "NoSuchKey") if self.store.quirks.only_below is None else self._say(403, "AccessDenied")
            return
        headers = {
            "ETag": f'"{there.etag}"',
            "Last-Modified": formatdate(there.written, usegmt=True),
            "Accept-Ranges": "bytes",
            **there.meta,
        }
        data, status = there.data, 200
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin = int(first) if first else max(len(data) - int(last), 0)
            end = min(int(last), len(data) - 1) if first and last else len(data) - 1
            headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
            data, status = data[begin : end + 1], 206
        self._answer(status, data, headers)

    def _list(self, objects: dict[str, Stored], query: dict[str, str]) -> None:
        quirks, prefix, delimiter = self.store.quirks, query.get("prefix", ""), query.get("delimiter", "")
        if quirks.only_below is not None and not prefix.startswith(quirks.only_below):
            self._say(403, "AccessDenied")
            return
        seen = time.time() - quirks.listed_after_s
        entries, folders = [], set()
        for key, stored in sorted(objects.items()):
            if not key.startswith(prefix) or stored.written > seen:
                continue
            folder, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if cut:
                folders.add(f"{prefix}{folder}{cut}")
                continue
            tag = f'"{stored.etag}"' if quirks.quoted_in_lists else stored.etag
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.written))
            entries.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{stamp}</LastModified><ETag>{escape(tag)}</ETag>"
                f"<Size>{len(stored.data)}</Size></Contents>"
            )
        common = [f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in sorted(folders)]
        found = "".join(entries + common)
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode())

    def _say(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def _answer(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
