"""A simulated lake with an execution and a record, and servers of it, each in a thread of this process."""

import asyncio
import http.client
import shutil
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from tests.record.decisions import PARAMETERS, Service, simulated_bars
from tests.record.lakes import put_record

from hermes.lake.store import Lake
from hermes.serve.server import Server
from hermes.settings import Settings
from hermes.steps.signals import signals

TABLE = "signals_smart_momentum_SIMUSDT_4h"


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: http.client.HTTPMessage
    text: str


class Running:
    """A server that answers from a thread of its own."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.url, self.port, self._loop = server.url, server.port, loop

    def ask(self, path: str, method: str = "GET", host: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", f"localhost:{self.port}" if host is None else host)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    def events(self) -> http.client.HTTPResponse:
        """The open stream of events."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/events", headers={"Host": "localhost"})
        return connection.getresponse()


@contextmanager
def running(settings: Settings, address: str = "127.0.0.1", hosts: tuple[str, ...] = ()) -> Iterator[Running]:
    server = Server(settings, Lake.open(settings), address, 0, hosts)
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def within(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def listen() -> Any:
        return server.listen()

    http_server = within(listen())
    try:
        yield Running(server, loop)
    finally:
        within(server.end(http_server))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@pytest.fixture(scope="module")
def root(simulated_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of 4h bars with one execution without a page, and a record of hourly bars."""
    root = tmp_path_factory.mktemp("served")
    for layer in ("bronze", "silver", "gold", "_hashes"):
        shutil.copytree(simulated_lake / layer, root / layer)
    signals(at(root))
    hourly = at(root, dataset__interval="1h")
    put_record(hourly, Service(simulated_bars(300)).run(250, 290).record)
    return root


def at(root: Path | str, **flags: Any) -> Settings:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    given = {"lake.url": f"{root}/{{layer}}", "dataset.symbol": "SIMUSDT", **named}
    return Settings.load(given, strategy={"smart_momentum": PARAMETERS}, environ={})


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Running]:
    with running(at(root)) as server:
        yield server
