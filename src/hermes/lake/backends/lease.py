"""Leases: locks in a store without locks, as an object that its holder rewrites every few seconds.

Where the store honours conditions, each write is conditional on the one before (`If-None-Match: *`, then `If-Match`),
so two can never both have it. Somebody else watches the lease: if it changes, its holder is alive; if it stays the same
for `LEASE_S`, its holder is dead and the lease is taken over. No clock is compared with another machine's. The lease is
never deleted, only marked as free, because a delete cannot be conditional.

Where it does not, everybody writes an object of their own and then lists them all: who sees nobody else's has the lock.
Of two who want it, the one whose object is there later sees the other's; so two can never both have it, as long as what
was written is listed at once, which is looked at each time. Whoever sees another one's withdraws, and tries again.
"""

import json
import logging
import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from threading import Event, Thread
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from hermes.errors import DatasetLocked, LockLost, StoreError
from hermes.lake.backends.conditions import REFUSED, Conditions, bare
from hermes.lake.backends.lock import Check, Holder, held_by_another, named
from hermes.lake.backends.s3_client import get

if TYPE_CHECKING:
    from obstore.store import S3Store

    from hermes.lake.backends.conditions import Mode

LEASE_S = 30.0  # a lease that was not renewed for so long is free to take
RENEW_S = 5.0
REQUEST_S = 10.0  # deadline of one request about a lease
TAKE_S = 30.0  # beyond the time of watching a lease, after which nobody knows what the store does
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps
_log = logging.getLogger("hermes.lock")


@contextmanager
def lease(store: "S3Store", key: str, what: str, me: Holder, conditions: Conditions) -> Iterator[Check]:
    """Hold the lease at `key`, for `what`, until the block is left; it is renewed meanwhile.

    Where somebody holds it already, this watches for up to `LEASE_S` whether that one is alive.

    Raises:
        DatasetLocked: somebody else holds it and is alive.
        StoreError: the store does not let anybody have it.
        FileNotFoundError: the bucket is missing.
        BaseError, OSError: the store's own.
    """
    mine = _renewed(store, key, what, me, conditions)
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


def rehearse(store: "S3Store", key: str, me: Holder, conditions: Conditions) -> None:
    """Take a lease, have another one try, renew it and let go of it, twice: the second time it must be free again.

    Raises:
        StoreError: one of this does not work.
        BaseError, OSError: the store's own.
    """
    cure = "keep the lake on a store that honours If-Match and If-None-Match"
    try:
        for _ in range(2):
            mine, other = (_renewed(store, key, "a lock", me, conditions) for _ in range(2))
            if not mine.try_to_take():
                raise StoreError(f"the lock {key} is free, and cannot be taken", cure)
            try:
                if other.try_to_take():
                    raise StoreError(f"two took the lock {key} at once", cure)
                if not mine.beat():
                    raise StoreError(f"the lock {key} cannot be renewed", cure)
            finally:
                mine.release()
    finally:
        with suppress(BaseError, OSError):
            obstore.delete(store, key)


def _renewed(store: "S3Store", key: str, what: str, me: Holder, conditions: Conditions) -> "_Renewed":
    return (_Lease if conditions.complete else _Claim)(store, key, what, me, conditions)


class _Renewed(ABC):
    """What both kinds share: it is taken within a deadline, renewed, and lost where it could not be renewed in time."""

    def __init__(self, store: "S3Store", key: str, what: str, me: Holder, conditions: Conditions) -> None:
        self._store, self._key, self._what, self._me, self._conditions = store, key, what, me, conditions
        self._owner = uuid.uuid4().hex
        self._beats = 0
        self._until = 0.0  # nobody takes it over before then
        self._holder = ""  # somebody else who may be alive

    def take(self) -> None:
        begun, told = _now(), False
        while _now() - begun <= LEASE_S + TAKE_S:
            if self.try_to_take():
                return
            if self._holder and not told and _now() - begun >= RENEW_S / 5:  # others come and go meanwhile
                _log.warning("%s: waiting whether %s is alive", self._what, self._holder)
                told = True
            time.sleep(RENEW_S / 10 * random.uniform(0.5, 1.5))
        raise StoreError(
            f"{self._what}: its lock {self._key} could neither be taken nor seen to be held for"
            f" {LEASE_S + TAKE_S:.0f} s",
            "run `hermes doctor`, which checks whether the store supports locks",
        )

    def renew(self, stop: Event) -> None:
        while not stop.wait(RENEW_S) and _now() < self._until:
            with suppress(BaseError, OSError):  # the store is away: until the lease ends there is time to try again
                if not self.beat():
                    self._until = 0.0  # somebody else's now

    def check(self) -> None:
        if _now() >= self._until:
            raise LockLost(
                f"the lock of {self._what} was lost: it could not be renewed in time",
                "check the connection to the store, then run again",
            )

    @abstractmethod
    def try_to_take(self) -> bool:
        """One attempt; raises DatasetLocked where the holder is alive."""

    @abstractmethod
    def beat(self) -> bool:
        """Renew it; says whether it is still ours."""

    @abstractmethod
    def release(self) -> None:
        """Let go of it; where that fails, it ends by itself."""

    def _content(self, *, free: bool = False) -> bytes:
        self._beats += 1  # no two writes are alike, so no two have the same tag
        return json.dumps({"owner": self._owner, "beat": self._beats, "free": free, **asdict(self._me)}).encode()

    def _read(self, key: str) -> tuple[bytes, str] | None:
        try:
            found = get(self._store, key)
        except FileNotFoundError:
            return None
        return bytes(found.bytes()), bare(found.meta["e_tag"])


class _Lease(_Renewed):
    """One object for all, written with conditions."""

    _tag = ""
    _watched: tuple[str, float] | None = None  # the version that somebody else left, and since when it is seen

    def try_to_take(self) -> bool:
        found = self._read(self._key)
        if found is None:
            return self._put("create")
        content, tag = found
        if _free(content):
            return self._put(self._conditions.matching(tag))
        if self._watched is None:
            self._watched, self._holder = (tag, _now()), named(content)
            return False
        seen, since = self._watched
        if seen != tag:
            raise held_by_another(self._what, content)
        return _now() - since >= LEASE_S and self._put(self._conditions.matching(seen))

    def beat(self) -> bool:
        return self._put(self._conditions.matching(self._tag))

    def release(self) -> None:
        with suppress(BaseError, OSError):
            self._put(self._conditions.matching(self._tag), free=True)  # only if it is still ours

    def _put(self, mode: "Mode", *, free: bool = False) -> bool:
        """Write the lease if nobody else did meanwhile; says whether it is ours."""
        content, begun = self._content(free=free), _now()
        try:
            tag = bare(obstore.put(self._store, self._key, content, mode=mode)["e_tag"])
        except REFUSED:
            found = self._read(self._key)
            if found is None or found[0] != content:  # else it was us, and the answer got lost
                return False
            tag = found[1]
        # A request that was late must not count as late as its answer; a tenth is for the clocks' own drift.
        self._tag, self._until = tag, begun + 0.9 * LEASE_S
        return True


class _Claim(_Renewed):
    """An object for each who wants the lock, below one folder; it is removed when it is let go of.

    A PUT without condition may reach the store after another one took over. So a renewal counts only if it was answered
    within a third of `LEASE_S`, and holds for half of it: no renewal that counts can be under way when the object has
    been the same for all of `LEASE_S`.
    """

    def __init__(self, store: "S3Store", key: str, what: str, me: Holder, conditions: Conditions) -> None:
        super().__init__(store, key, what, me, conditions)
        self._folder = f"{key}.claims/"
        self._mine = f"{self._folder}{self._owner}"
        self._watched: dict[str, tuple[str, float]] = {}

    def try_to_take(self) -> bool:
        self._watch(self._claims())
        if self._watched:
            return False
        try:
            if self._put() and self._alone():
                return True
        except BaseException:
            self.release()
            raise
        self.release()
        return False

    def _watch(self, claims: dict[str, str]) -> None:
        """Look again at others' claims: remove those of dead holders; raises DatasetLocked where one is alive."""
        self._watched = {key: seen for key, seen in self._watched.items() if key in claims}
        for key, version in claims.items():
            if key not in self._watched:
                self._watched[key] = version, _now()
                found = self._read(key)
                self._holder = named(found[0]) if found else ""
                continue
            seen, since = self._watched[key]
            if seen != version:
                raise self._held(key)
            if _now() - since >= LEASE_S:
                obstore.delete(self._store, key)
                del self._watched[key]

    def _alone(self) -> bool:
        """Whether nobody else's claim is there; if ours is not listed, nobody can tell."""
        claims = self._claims()
        if self._mine not in claims:
            raise StoreError(
                f"{self._what}: the store does not list {self._mine}, which was just written, and it honours no"
                " conditions: nothing can be locked there",
                "keep the lake on a store that honours If-Match and If-None-Match; `hermes doctor` tries one out",
            )
        return len(claims) == 1 and _now() < self._until

    def _claims(self) -> dict[str, str]:
        """Version of each claim that is there, by key."""
        return {
            entry["path"]: bare(entry["e_tag"]) or entry["last_modified"].isoformat()
            for page in obstore.list(self._store, self._folder)
            for entry in page
        }

    def _held(self, key: str) -> DatasetLocked:
        found = self._read(key)
        return held_by_another(self._what, found[0] if found else b"")

    def beat(self) -> bool:
        return self._read(self._mine) is not None and (self._put() or _now() < self._until)

    def release(self) -> None:
        with suppress(BaseError, OSError):
            obstore.delete(self._store, self._mine)

    def _put(self) -> bool:
        begun = _now()
        obstore.put(self._store, self._mine, self._content())
        in_time = _now() - begun <= LEASE_S / 3
        if in_time:
            self._until = begun + LEASE_S / 2
        return in_time


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _free(content: bytes) -> bool:
    """Whether a lease says that nobody holds it; one that cannot be read says nothing, and is watched."""
    try:
        return bool(json.loads(content)["free"])
    except (ValueError, KeyError, TypeError):
        return False
