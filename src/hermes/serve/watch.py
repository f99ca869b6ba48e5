"""Polls the lake while there are listeners, and sends all of them the same events."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from hermes.redaction import as_hermes_error, redact
from hermes.serve.snapshot import Snapshot

EVERY_S = 2.0
REST = 4  # times as long as a look took nothing is asked: a slow lake is not busy with this alone
MOST_LISTENERS = 64

#: A server-sent event: its name and its content.
Event = tuple[str, dict[str, Any]]


class Watch:
    """One poll at a time, for any number of listeners.

    Args:
        look: returns the current status.
    """

    def __init__(self, look: Callable[[], Awaitable[Snapshot]]) -> None:
        self._look = look
        self._listeners: set[asyncio.Queue[list[Event]]] = set()
        self._task: asyncio.Task[None] | None = None
        self._newest: list[Event] = []

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[list[Event]]]:
        """A queue of the newest events; an empty list means the end."""
        queue: asyncio.Queue[list[Event]] = asyncio.Queue(1)
        self._listeners.add(queue)
        if self._task is None:
            self._newest = []
            self._task = asyncio.create_task(self._watch())
        elif self._newest:
            queue.put_nowait(self._newest)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
            if not self._listeners and self._task:
                self._task.cancel()
                self._task = None

    def close(self) -> None:
        """Disconnect all listeners."""
        self._tell([])

    async def _watch(self) -> None:
        while True:
            started = monotonic()
            self._newest = await self._events()
            self._tell(self._newest)
            await asyncio.sleep(max(EVERY_S, REST * (monotonic() - started)))

    async def _events(self) -> list[Event]:
        try:
            found = await self._look()
        except Exception as error:
            known = as_hermes_error(error)
            return [("trouble", {"error": redact(known.message), "cure": known.cure})]
        return [
            ("status", {"datasets": found.datasets, "rows": found.status, "notes": found.notes}),
            ("record", {"decisions": found.decisions, "rows": found.record}),
        ]

    def _tell(self, events: list[Event]) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()  # of a listener who is slow: the newest replaces what it has not heard yet
            queue.put_nowait(events)
