"""Locks: one writer at a time for each dataset. A lock names its holder, and ends with its process.

A folder is locked with `flock` on a file beside the layers: the kernel frees it when its holder dies, however it dies.
On NFS this holds between machines only where the mount has locks (not with `nolock` or `local_lock`).

S3 has no locks: see `lease`. A holder that lost its lock must not publish any more: that is what `Check` is for.
"""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hermes.errors import DatasetLocked, LockLost, StoreError

_ATTEMPTS = 1000  # at a lock file that others make and remove
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)  # ESTALE: another machine removed it, on NFS

#: Called before anything is published; raises LockLost where the lock is not ours any more, and another StoreError
#: where nobody can tell.
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
        status = os.fstat(handle)
        lock = _Held(path, what, handle, status.st_dev, status.st_ino)
        try:
            yield lock
        finally:
            with suppress(OSError):
                if lock.is_ours():
                    path.unlink()  # before the lock ends: who waits for it sees that, and makes a new file
    finally:
        os.close(handle)


def all_of(checks: Sequence[Check]) -> Check:
    """One check for many locks; hundreds of files in one folder are looked at with one listing of it."""
    alone: list[Check] = []
    folders: dict[Path, list[_Held]] = {}
    for each in checks:
        if isinstance(each, _Held):
            folders.setdefault(each.path.parent, []).append(each)
        else:
            alone.append(each)
    due = {folder: {lock.path.name: (lock.device, lock.inode) for lock in locks} for folder, locks in folders.items()}

    def check() -> None:
        for each in alone:
            each()
        for folder, locks in folders.items():
            if not due[folder].items() <= (_listed(folder) if len(locks) > 1 else {}).items():
                for lock in locks:
                    lock()

    return check


def _listed(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Device and inode number of each file in a folder; empty where it cannot be listed."""
    try:
        device = folder.stat().st_dev
        with os.scandir(folder) as entries:
            return {entry.name: (device, entry.inode()) for entry in entries}
    except OSError:
        return {}


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A lock that this process has on the file at `path`, and its `Check`.

    Attributes:
        what: it is the lock of.
        handle: has the file open, so that no other file gets its inode number meanwhile.
        device, inode: of the file.
    """

    path: Path
    what: str
    handle: int
    device: int
    inode: int

    def __call__(self) -> None:
        try:
            ours = self.is_ours()
        except OSError as error:
            raise StoreError(
                f"the lock of {self.what} cannot be looked at: {self.path}: {error.strerror or error}",
                "check the folder with your system's tools, then run again",
            ) from error
        if not ours:
            raise LockLost(f"the lock of {self.what} was removed: {self.path}", "leave that file alone, then run again")

    def is_ours(self) -> bool:
        """Whether the file that is locked is still the one at its path; raises OSError where nobody can tell."""
        try:
            return os.path.samestat(os.fstat(self.handle), self.path.stat())
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise


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
            raise held_by_another(what, holder) from None
        except OSError:
            os.close(handle)
            raise
        os.close(handle)
    raise StoreError(
        f"{what}: the file of its lock, {path}, was another one each of {_ATTEMPTS:,} times",
        "keep the lake on a file system whose files stay the same when they are opened, or on S3",
    )


def named(content: bytes) -> str:
    """The holder that a lock's content names; an empty one is just being taken."""
    try:
        told = json.loads(content)
        return str(Holder(*(told[name] for name in Holder.__slots__)))
    except (ValueError, KeyError):
        return "another process"


def held_by_another(what: str, content: bytes) -> DatasetLocked:
    """The error of who meets the lock of `what`, whose content names its holder."""
    return DatasetLocked(
        f"{what} is being worked on by {named(content)}",
        "wait until it ends, or stop it; one that was killed holds no lock",
    )
