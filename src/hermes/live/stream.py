"""A websocket that wakes the reader when a bar closes. It carries no data: missed events are covered by the clock.

Facts about the exchange, as of 2026: a connection lives for 24 hours, and ends early after a `serverShutdown` event;
its pings are answered by the library; one connection carries at most 1,024 streams.
"""

import json
import logging
from collections.abc import Callable, Sequence
from random import uniform
from threading import Event, Thread
from time import monotonic
from typing import Self

from hermes.errors import UsageError
from hermes.live.exchange import APIS
from hermes.logs import event
from hermes.settings import Settings

STREAMS = 200  # of one connection: its address grows with them
RENEWED_S = 23 * 3600.0  # before the exchange ends it
SILENCE_S = 60.0  # without any message, while bars form all the time
CONNECT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


class Stream:
    """Connections that listen for closes, each in its own thread, as a context manager.

    Args:
        tasks: settings of the datasets.
        wake: called with the symbol whose bar closed.

    Raises:
        UsageError: the package `websockets` is not installed.
    """

    def __init__(self, tasks: Sequence[Settings], wake: Callable[[str], None], silence_s: float = SILENCE_S) -> None:
        try:
            from websockets.sync import client  # noqa: PLC0415 - the extra live
        except ImportError:
            raise UsageError(
                "live.stream needs the package websockets", "pip install 'hermes-signals[live]', or leave it out"
            ) from None
        self._connect, self._wake, self._silence_s = client.connect, wake, silence_s
        first = tasks[0]
        base = first.live.stream_url or APIS[first.dataset.market].stream_url
        interval = "1M" if first.dataset.interval == "1mo" else first.dataset.interval
        names = [f"{task.dataset.symbol.lower()}@kline_{interval}" for task in tasks]
        self._addresses = [
            f"{base}/stream?streams={'/'.join(names[at : at + STREAMS])}" for at in range(0, len(names), STREAMS)
        ]
        self._stop = Event()

    def __enter__(self) -> Self:
        for address in self._addresses:
            Thread(target=self._listen, args=(address,), daemon=True, name="hermes-stream").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _listen(self, address: str) -> None:
        pause = FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                heard = self._hear(address)
                pause = FIRST_PAUSE_S if heard else pause
                problem = "it ended"
            except Exception as error:
                problem = str(error) or type(error).__name__
            if self._stop.is_set():
                return
            level = logging.WARNING if pause == FIRST_PAUSE_S else logging.INFO
            message = f"the stream reconnects, and bars are read on schedule meanwhile: {problem[:200]}"
            event("stream", level=level, message=message)
            self._stop.wait(pause * uniform(0.5, 1.0))
            pause = min(LONGEST_PAUSE_S, 2 * pause)

    def _hear(self, address: str) -> bool:
        """Listen until the connection has to be renewed; returns whether anything was received."""
        until, heard = monotonic() + RENEWED_S, False
        with self._connect(address, open_timeout=CONNECT_S, close_timeout=1.0, max_size=1_000_000) as socket:
            while not self._stop.is_set() and monotonic() < until:
                try:
                    told = json.loads(socket.recv(timeout=self._silence_s))
                except TimeoutError:
                    raise TimeoutError(f"no message for {self._silence_s:.0f} s") from None
                except ValueError:
                    continue
                heard = True
                data = told.get("data", told) if isinstance(told, dict) else {}
                if data.get("e") == "serverShutdown":
                    return True
                bar = data.get("k")
                if isinstance(bar, dict) and bar.get("x") is True:
                    self._wake(str(data.get("s", "")))
        return heard
