"""Archives behind web servers that send slowly, stall, hide what they lack, or stop in the middle."""

import functools
import hashlib
import io
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from unittest import mock

import polars as pl

from hermes.errors import HermesError
from hermes.lake.store import Lake
from hermes.stages.bronze import archive, source
from torture import lakes

ABOUT = (
    "web servers of the archive that send a file in pieces for longer than any deadline, drip, stall, hide what they"
    " lack behind 403, or break off; passes when a file that grows is ingested whole, and everything else ends with a"
    " typed error of one line, or is left out by name, within the deadline"
)
KINDS = ("pieces", "drip", "stall", "hidden", "cut")
FULL, SAMPLE = 40, 5
READ_S, PROGRESS_S, PROGRESS_BYTES = 4.0, 0.5, 500
LIMIT_S = 40
DEADLINE_S = 60


def limit_for_the_whole() -> None:
    """A file must be there within the deadline of its progress, however fast it grows."""

    def read_body(found: Any, name: str, most: int, address: str) -> bytes:
        begun, data = time.monotonic(), bytes(found.bytes())
        if time.monotonic() - begun > PROGRESS_S:
            raise source.ArchiveError(f"archive {address} is too slow with {name}", "try again later")
        return data

    archive.read_body = read_body  # type: ignore[attr-defined]


MUTANTS = {"limit_for_the_whole": limit_for_the_whole}


@dataclass(frozen=True)
class Given:
    """An archive, and the rows that bronze has of it."""

    folder: str
    rows: dict[str, str]


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """One undisturbed ingest."""
    first, _ = lakes.write_archives(folder)
    yield Given(first, _rows(lakes.run_steps(lakes.settings_for(f"{folder}/lake/{{layer}}", first), ("ingest",))))


def case(seed: int, folder: Path, given: Given) -> None:
    """One ingest from one server."""
    chance, kind = random.Random(seed), KINDS[seed % len(KINDS)]
    with ExitStack() as stack:
        stack.enter_context(_soon())
        address = stack.enter_context(_serving(given.folder, kind, chance))
        settings = lakes.settings_for(f"{folder}/{{layer}}", address)
        begun = time.monotonic()
        try:
            lakes.STEPS["ingest"](settings, Lake.open(settings))
            error = None
        except HermesError as refused:
            error = refused
        seconds = time.monotonic() - begun
        assert seconds < LIMIT_S, f"{kind}: it took {seconds:.0f} s"
        found = _rows(Lake.open(settings))
    assert all(given.rows[key] == rows for key, rows in found.items()), f"{kind}: other rows than there are"
    if kind in ("pieces", "hidden"):
        assert error is None, f"{kind}: {error}"
        assert found == given.rows, f"{kind}: {len(found)} of {len(given.rows)} files are there"
    elif error:
        assert len(str(error).splitlines()) == 1 and error.cure, f"{kind}: not one line with a cure: {error!r}"
    else:
        assert found == given.rows, f"{kind}: done, with {len(found)} of {len(given.rows)} files"


def _rows(lake: Lake) -> dict[str, str]:
    """SHA-256 of the rows of each file in bronze."""
    found = {}
    for file in lake.bronze.files(""):
        stream = io.BytesIO()
        pl.read_parquet(io.BytesIO(lake.bronze.read(file.key) or b"")).write_ipc(stream)
        found[file.key] = hashlib.sha256(stream.getvalue()).hexdigest()
    return found


class _Handler(SimpleHTTPRequestHandler):
    kind: str
    chance: random.Random

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send_error(self, code: int, *_: object, **__: object) -> None:
        """As servers do that do not tell what they lack."""
        self.send_response(403 if self.kind == "hidden" else code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def copyfile(self, source: IO[bytes], outputfile: IO[bytes]) -> None:  # type: ignore[override]
        data = source.read()
        if self.kind == "hidden" or len(data) < 1000:  # a CHECKSUM
            outputfile.write(data)
            return
        pieces, rest_s = {"pieces": (8, 0.15), "drip": (len(data) // 40, 0.1), "stall": (2, 30.0), "cut": (2, 0.0)}[
            self.kind
        ]
        size = -(-len(data) // pieces)
        with_luck = self.chance.random() < 0.3 and self.kind != "pieces"
        for begin in range(0, len(data), size):
            outputfile.write(data[begin : begin + size])
            outputfile.flush()
            if self.kind == "cut" and not with_luck:
                self.close_connection = True
                return
            time.sleep(0 if with_luck else rest_s)


@contextmanager
def _serving(folder: str, kind: str, chance: random.Random) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"kind": kind, "chance": chance})

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            """Clients that gave up are what is tried here."""

    server = Server(("127.0.0.1", 0), functools.partial(handler, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _soon() -> Iterator[None]:
    """Deadlines of a second, and few months to ask for."""
    with ExitStack() as stack:
        for module, name, value in (
            (source, "PROGRESS_S", PROGRESS_S),
            (source, "PROGRESS_BYTES", PROGRESS_BYTES),
            (archive, "FIRST_PERIOD", date(2024, 10, 1)),
            (archive, "_CLIENT", {**archive._CLIENT, "read_timeout": timedelta(seconds=READ_S)}),
            (archive, "_RETRY", {**archive._RETRY, "max_retries": 1, "retry_timeout": timedelta(seconds=1)}),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield
