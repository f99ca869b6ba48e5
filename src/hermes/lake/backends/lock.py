"""One writer at a time for each dataset: locks that name their holder, and that die with it.

A folder is locked with `flock` on a file beside the layers: the kernel frees it when its holder dies, however it dies.
On NFS this holds between machines only where the mount has locks (not with `nolock` or `local_lock`).

S3 has no locks: there the holder writes a lease, one small object, and writes it anew every few seconds. Each write is
conditional on the one before (`If-None-Match: *`, then `If-Match`), so two can never both have it. Somebody else
watches the lease: if it changes, its holder is alive; if it stays the same for `LEASE_S`, its holder is dead and the
lease is taken over. No clock is compared with another machine's. A holder that could not renew in time must not publish
any more: that is what `Check` is for. The lease is never deleted, only marked as free, because a delete cannot be
conditional, and some stores take a conditional PUT where nothing is left to compare with.
"""

import fcntl
import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from hermes.errors import DatasetLocked, LockLost, StoreError

if TYPE_CHECKING:
    from obstore.store import S3Store

LEASE_S = 30.0  # a lease that was not renewed for so long is free to take
RENEW_S = 5.0
REQUEST_S = 10.0  # deadline of one request about a lease
TAKE_S = 30.0  # beyond the time of watching a lease, after which nobody knows what the store does
_ATTEMPTS = 1000  # at a lock file that others make and remove
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps
_log = logging.getLogger("hermes.lock")

#: Called before anything is published; raises LockLost where the lock is not ours any more.
Check = Callable[[], None]


def unlocked() -> None:
    """The `Check` where no lock is held."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: the `hermes` command, on which machine, and since when (UTC)."""

    command: str
    host: str
    pid: int
    since: str

    @classmethod
    def me(cls, command: str) -> "Holder":
        """This process, from now on."""
        return cls(command, socket.gethostname(), os.getpid(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))

    def __str__(self) -> str:
        return f"`hermes {self.command}` on {self.host}, pid {self.pid}, since {self.since}"


@contextmanager
def file_lock(path: Path, what: str, me: Holder) -> Iterator[Check]:
    """Hold the lock at `path`, for `what`, until the block is left or this process ends.

    Raises:
        DatasetLocked: somebody else holds it.
        OSError: the file cannot be made, or its file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _open(path, what)
    try:
        os.ftruncate(handle, 0)  # one that was killed left its name
        os.pwrite(handle, json.dumps(asdict(me)).encode(), 0)

        def check() -> None:
            if not _is(handle, path):
                raise LockLost(f"the lock of {what} was removed: {path}", "leave that file alone, then run again")

        try:
            yield check
        finally:
            with suppress(OSError):
                if _is(handle, path):
                    path.unlink()  # before the lock ends: who waits for it sees that, and makes a new file
    finally:
        os.close(handle)


def _open(path: Path, what: str) -> int:
    """A handle that has the lock of the file which is at `path` now."""
    for _ in range(_ATTEMPTS):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass  # it was removed between opening and locking
        except BlockingIOError:
            holder = os.pread(handle, 4096, 0)
            os.close(handle)
            raise _locked(what, holder) from None
        except OSError:
            os.close(handle)
            raise
        os.close(handle)
    raise StoreError(
        f"{what}: the file of its lock, {path}, was another one each of {_ATTEMPTS:,} times",
        "keep the lake on a file system whose files stay the same when they are opened, or on S3",
    )


def _is(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:  # gone, or nobody can tell: it counts as lost
        return False


@contextmanager
def lease(store: "S3Store", key: str, what: str, me: Holder) -> Iterator[Check]:
    """Hold the lease at `key`, for `what`, until the block is left; it is renewed meanwhile.

    Where somebody holds it already, this watches for up to `LEASE_S` whether that one is alive.

    Raises:
        DatasetLocked: somebody else holds it and is alive.
        StoreError: the store does not let anybody have it.
        FileNotFoundError: the bucket is missing.
        BaseError, OSError: the store's own.
    """
    mine = _Lease(store, key, what, me)
    mine.take()
    stop = Event()
    heart = Thread(target=mine.renew, args=(stop,), name=f"lease of {what}", daemon=True)
    heart.start()
    try:
        yield mine.check
    finally:
        stop.set()
        heart.join()
        mine.release()


class _Lease:
    def __init__(self, store: "S3Store", key: str, what: str, me: Holder) -> None:
        self._store, self._key, self._what, self._me = store, key, what, me
        self._owner = uuid.uuid4().hex
        self._beats = 0
        self._tag: str | None = None
        self._until = 0.0  # nobody takes it over before then

    def take(self) -> None:
        watched, since, begun = None, 0.0, _now()
        while _now() - begun <= LEASE_S + TAKE_S:
            found = self._read()
            if found is None:
                taken = self._put("create")
            elif _free(found[0]):
                taken = self._put({"e_tag": found[1]})
            elif watched is None:
                watched, since, taken = found[1], _now(), False
                _log.warning("%s: waiting whether %s is alive", self._what, _named(found[0]))
            elif watched != found[1]:
                raise _locked(self._what, found[0])
            else:
                taken = _now() - since >= LEASE_S and self._put({"e_tag": watched})
            if taken:
                return
            time.sleep(RENEW_S / 10)
        raise StoreError(
            f"{self._what}: its lock {self._key} could neither be taken nor seen to be somebody's for"
            f" {LEASE_S + TAKE_S:.0f} s",
            "run `hermes doctor`, which tries whether the store is fit for locks",
        )

    def renew(self, stop: Event) -> None:
        while not stop.wait(RENEW_S) and _now() < self._until:
            with suppress(BaseError, OSError):  # the store is away: until the lease ends there is time to try again
                if not self._put({"e_tag": self._tag}):
                    self._until = 0.0  # somebody else's now

    def check(self) -> None:
        if _now() >= self._until:
            raise LockLost(
                f"the lock of {self._what} was lost: it could not be renewed for {LEASE_S:.0f} s",
                "check the way to the store, then run again",
            )

    def release(self) -> None:
        with suppress(BaseError, OSError):  # then it ends by itself
            self._put({"e_tag": self._tag}, free=True)  # only if it is still ours

    def _read(self) -> tuple[bytes, str | None] | None:
        try:
            found = obstore.get(self._store, self._key)
        except FileNotFoundError:
            return None
        return bytes(found.bytes()), found.meta["e_tag"]

    def _put(self, mode: Literal["create"] | dict[str, Any], *, free: bool = False) -> bool:
        """Write the lease if nobody else did meanwhile; says whether it is ours."""
        self._beats += 1  # no two writes are alike, so no two have the same tag
        told = {"owner": self._owner, "beat": self._beats, "free": free, **asdict(self._me)}
        content = json.dumps(told).encode()
        begun = _now()
        try:
            tag = obstore.put(self._store, self._key, content, mode=mode)["e_tag"]  # type: ignore[arg-type]
        except (AlreadyExistsError, PreconditionError):
            found = self._read()
            if found is None or found[0] != content:  # else it was us, and the answer got lost
                return False
            tag = found[1]
        # A request that was late must not count as late as its answer; a tenth is for the clocks' own drift.
        self._tag, self._until = tag, begun + 0.9 * LEASE_S
        return True


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _free(content: bytes) -> bool:
    """Whether a lease says that nobody holds it; one that cannot be read says nothing, and is watched."""
    try:
        return bool(json.loads(content)["free"])
    except (ValueError, KeyError, TypeError):
        return False


def _named(content: bytes) -> str:
    """The holder that a lock's content names; an empty one is just being taken."""
    try:
        told = json.loads(content)
        return str(Holder(*(told[name] for name in Holder.__slots__)))
    except (ValueError, KeyError):
        return "another process"


def _locked(what: str, content: bytes) -> DatasetLocked:
    return DatasetLocked(
        f"{what} is being worked on by {_named(content)}",
        "wait until it ends, or stop it; one that was killed holds no lock",
    )
