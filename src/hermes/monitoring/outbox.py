"""Queued notices: kept in gold until every receiver has accepted them.

A notice is put here as one small file. It is delivered later, outside any dataset's
lock, so that a slow receiver delays no run and no close. Notices that were not accepted are kept, and retried by the
next delivery; each receiver gets its notices in order.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from hermes.dataset import LOCKS
from hermes.errors import DatasetLocked, HermesError, NoticeRefused, StoreError
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, fingerprint

FOLDER = "notices"

Notice = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver of notices.

    Attributes:
        name: for messages, without secrets; key: identifies the address without revealing it.
        send: raises NoticeRefused if the notice was not accepted.
    """

    name: str
    key: str
    send: Callable[[Notice], None]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of a delivery.

    Attributes:
        sent: number accepted; waiting: number still waiting; problems: the reasons, one per receiver.
    """

    sent: int
    waiting: int
    problems: list[HermesError]


class Outbox:
    """The notices of one table of signals.

    Args:
        table: name of the signals table that the notices are about.
    """

    def __init__(self, lake: Lake, table: str) -> None:
        self._gold, self._table = lake.gold, table
        self._folder = f"{FOLDER}/{table}"

    def put(self, notice: Notice, receivers: Sequence[Receiver]) -> None:
        """Queue a notice for some receivers; one that is queued already is not added twice.

        Args:
            notice: JSON, with its `id`.
        """
        if not receivers or any(_id(file) == notice["id"] for file in self._files()):
            return
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        waiting = {"notice": dict(notice), "receivers": [receiver.key for receiver in receivers]}
        self._gold.write_bytes(f"{self._folder}/{now}_{notice['id']}.json", json.dumps(waiting).encode())

    def waiting(self) -> int:
        """The number of waiting notices."""
        return len(self._files())

    def deliver(self, receivers: Sequence[Receiver], seconds: float = 60.0) -> Delivered:
        """Send the waiting notices, in one process at a time per table; others return at once.

        Args:
            seconds: no further notice is sent after this time.
        """
        if not self._files():
            return Delivered(0, 0, [])
        try:
            with self._gold.locked(f"{LOCKS}/{self._folder}.lock", f"notices of {self._table}", "notices"):
                return self._deliver({receiver.key: receiver for receiver in receivers}, monotonic() + seconds)
        except DatasetLocked:
            return Delivered(0, self.waiting(), [])

    def _deliver(self, receivers: Mapping[str, Receiver], deadline: float) -> Delivered:
        sent, problems = 0, dict[str, HermesError]()
        for file in self._files():
            try:
                kept = self._gold.read_json(file.key, "what a notice was to tell is lost", "remove it")
                if kept is not None and not (isinstance(kept["receivers"], list) and isinstance(kept["notice"], dict)):
                    raise KeyError
            except (StoreError, KeyError) as error:
                lost = StoreError(f"{file.location} is incomplete: the notice in it is lost", "remove it")
                problems[file.key] = error if isinstance(error, StoreError) else lost
                continue
            if kept is None:
                continue
            # A receiver that is in the settings no more is waited for no more.
            left = [key for key in kept["receivers"] if key in receivers]
            for key in list(left):
                if key in problems or monotonic() > deadline:
                    continue  # what comes later must not overtake
                try:
                    receivers[key].send(kept["notice"])
                except NoticeRefused as error:
                    problems[key] = error
                else:
                    left.remove(key)
                    sent += 1
            if not left:
                self._gold.remove(file.key)
            elif left != kept["receivers"]:
                self._gold.write_bytes(file.key, json.dumps({**kept, "receivers": left}).encode())
        return Delivered(sent, self.waiting(), list(problems.values()))

    def _files(self) -> list[LakeFile]:
        return self._gold.files(self._folder, ".json")


def receiver_key(address: str) -> str:
    """The name of a receiver in the lake, which does not reveal its address."""
    return fingerprint("receiver", address)


def _id(file: LakeFile) -> str:
    return file.key.rpartition("_")[2].removesuffix(".json")


def put_or_send(outbox: Outbox, notice: Notice, receivers: Sequence[Receiver]) -> None:
    """Queue a notice, or send it at once if the lake is unavailable.

    Raises:
        NoticeRefused: the lake is unavailable, and a receiver did not accept the notice.
    """
    try:
        outbox.put(notice, receivers)
    except (HermesError, OSError):
        refused: list[NoticeRefused] = []
        for receiver in receivers:
            with suppress(NoticeRefused):
                receiver.send(notice)
                continue
            refused.append(NoticeRefused(f"{receiver.name} did not take a notice", "the lake could not keep it either"))
        if refused:
            raise refused[0] from None
