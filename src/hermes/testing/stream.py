"""The simulated exchange's websocket: it reports each close, until it goes silent, shuts down or disconnects."""

from __future__ import annotations

import json
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from hermes.dataset import Dataset
from hermes.testing.exchange import SimulatedExchange

LOOK_S = 0.02  # how often the exchange is looked at


class SimulatedStream:
    """Kline streams of a simulated exchange on 127.0.0.1, as a context manager.

    Attributes:
        silent: sends nothing and keeps connections open, like dead sockets.
        connections: number of connections so far.
    """

    def __init__(self, exchange: SimulatedExchange, market: str = "spot") -> None:
        self._exchange, self._market = exchange, market
        self.silent = False
        self.connections = 0
        self._hang_up, self._shut_down, self._stop = Event(), Event(), Event()
        self._server = serve(self._talk, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()

    def hang_up(self) -> None:
        """Close the open connection without notice."""
        self._hang_up.set()

    def shut_down(self) -> None:
        """Announce the end on the connection that is open, as the exchange does before maintenance."""
        self._shut_down.set()

    def _talk(self, connection: ServerConnection) -> None:
        self.connections += 1
        query = dict(parse_qsl(urlsplit(connection.request.path if connection.request else "").query))
        names = [name for name in query.get("streams", "").split("/") if "@kline_" in name]
        known = {name: self._newest(name) for name in names}
        try:
            while not self._stop.wait(LOOK_S):
                if self._hang_up.is_set():
                    self._hang_up.clear()
                    connection.socket.close()
                    return
                if self._shut_down.is_set():
                    self._shut_down.clear()
                    connection.send(json.dumps({"data": {"e": "serverShutdown"}}))
                for name in names:
                    newest = self._newest(name)
                    if newest != known[name] and not self.silent:
                        known[name] = newest
                        connection.send(json.dumps({"stream": name, "data": self._event(name, newest)}))
        except (ConnectionClosed, OSError):
            return

    def _newest(self, name: str) -> int:
        """Open time of the newest bar whose successor is listed, microseconds."""
        symbol, _, interval = name.partition("@kline_")
        dataset = Dataset(market=self._market, symbol=symbol, interval="1mo" if interval == "1M" else interval)
        listed = self._exchange.listed(dataset)
        return listed[-2].open_time if len(listed) > 1 else 0

    def _event(self, name: str, opened: int) -> dict[str, Any]:
        symbol, _, interval = name.partition("@kline_")
        bar = {"t": opened // 1000, "s": symbol.upper(), "i": interval, "x": True}
        return {"e": "kline", "E": self._exchange.now() // 1000, "s": symbol.upper(), "k": bar}
