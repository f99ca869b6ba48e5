"""Receivers of notices that drip, stall, refuse, redirect or break off, while runs go on."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from hermes import pipeline
from hermes.errors import HermesError
from hermes.lake.store import Lake
from hermes.monitoring import outbox, webhook
from hermes.settings import Settings
from torture import lakes

ABOUT = (
    "receivers of notices that send a byte now and then, never answer, break off, redirect, or refuse; passes when a"
    " run ends well and soon whatever they do, no lock is held meanwhile, and what was not taken is told by a later run"
)
KINDS = ("takes", "drip", "stall", "cut", "redirect", "refuses", "500")
FULL, SAMPLE = 35, 7
DEADLINE_S = 60
NOTICE_S, WAIT_S = 0.6, 0.4
LIMIT_S = 20
EAGER = {"strategy.smart_momentum.rsi_low": 10, "strategy.smart_momentum.rsi_high": 90}  # more signals than by default


def no_deadline() -> None:
    """A notice is waited for as long as its receiver sends anything."""
    webhook.DEADLINE_S = 15.0
    webhook.send = lambda notify, notice_id, told: webhook._send(notify, notice_id, b"{}")  # type: ignore[assignment]


def told_under_the_lock() -> None:
    """Notices are sent as soon as they are put, while the run still holds its dataset."""
    put = outbox.Outbox.put

    def put_and_send(self: outbox.Outbox, notice: Any, receivers: Any) -> None:
        put(self, notice, receivers)
        self.deliver(receivers)

    outbox.Outbox.put = put_and_send  # type: ignore[method-assign]


def dropped() -> None:
    """What was not taken is forgotten."""
    deliver = outbox.Outbox.deliver

    def deliver_once(self: outbox.Outbox, *given: Any) -> Any:
        made = deliver(self, *given)
        for file in self._files():
            self._gold.remove(file.key)
        return made

    outbox.Outbox.deliver = deliver_once  # type: ignore[method-assign]


MUTANTS = {"no_deadline": no_deadline, "told_under_the_lock": told_under_the_lock, "dropped": dropped}


@dataclass
class Heard:
    """What a receiver heard: ids of notices, those that it took, and whether the dataset was locked meanwhile."""

    kind: str
    runs: int = 0
    settings: Settings | None = None
    ids: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)


@contextmanager
def context(folder: Path) -> Iterator[tuple[str, str]]:
    """An archive, and a later one with another month."""
    yield lakes.write_archives(folder)


def case(seed: int, folder: Path, archives: tuple[str, str]) -> int:
    """A run that nobody has to be told of, one with new signals whose receiver does what it likes, and one later."""
    first, later = archives
    heard = Heard("takes")
    with _serving(heard) as address, _soon():
        for archive, kind in ((first, "takes"), (later, KINDS[seed % len(KINDS)]), (later, "takes")):
            heard.kind = kind
            heard.runs += 1
            flags = {"notify.url": address, **EAGER}
            heard.settings = lakes.settings_for(f"{folder}/{{layer}}", archive, **flags)
            begun = time.monotonic()
            pipeline.run(heard.settings, Lake.open(heard.settings), audited=False, reported=False)
            seconds = time.monotonic() - begun
            assert seconds < LIMIT_S, f"{kind}: a run took {seconds:.0f} s"
        assert not heard.locked, f"the dataset was locked while a notice was sent: {heard.locked[0]}"
        waiting = Lake.open(heard.settings).gold.files(outbox.FOLDER, ".json")
    assert heard.taken, "nobody was told of the signals"
    assert not waiting, f"{len(waiting)} notices wait though the receiver takes them"
    assert set(heard.ids) == set(heard.taken), "a notice was lost"
    return len(set(heard.ids))


@contextmanager
def _serving(heard: Heard) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            heard.ids.append(self.headers["webhook-id"])
            _try_lock(heard, self.connection)
            if heard.kind == "cut":
                self.close_connection = True
                return
            if heard.kind == "stall":
                time.sleep(LIMIT_S)
                return
            if heard.kind == "drip":
                with_patience(self)
                return
            self.send_response({"redirect": 302, "refuses": 410, "500": 500}.get(heard.kind, 200))
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            if heard.kind == "takes":
                heard.taken.append(self.headers["webhook-id"])

    def with_patience(handler: BaseHTTPRequestHandler) -> None:
        for each in b"HTTP/1.1 200 OK" + b" " * round(10 * LIMIT_S):
            try:
                handler.wfile.write(bytes([each]))
            except OSError:
                return
            time.sleep(0.1)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def _try_lock(heard: Heard, connection: socket.socket) -> None:
    """Whether the dataset is free while a sender waits: it may not hold it.

    A sender that has gone is not looked at, since the next run may hold the dataset by now.
    """
    assert heard.settings
    if select.select([connection], [], [], 0)[0]:
        return
    run = heard.runs
    try:
        with Lake.open(heard.settings).locked(heard.settings.dataset, "receiver"):
            pass
    except HermesError as error:
        if heard.runs == run:
            heard.locked.append(str(error))


@contextmanager
def _soon() -> Iterator[None]:
    """Deadlines of less than a second."""
    with (
        mock.patch.object(webhook, "DEADLINE_S", min(webhook.DEADLINE_S, NOTICE_S)),
        mock.patch.object(webhook, "TIMEOUT_S", WAIT_S),
        mock.patch.object(webhook, "PAUSES_S", (0.05, 0.1)),
    ):
        yield
