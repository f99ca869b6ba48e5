"""Staged files, and how those of dead processes are recognized.

Every process stages in a folder of its own, and holds a lock on the file beside it for as long as it does. The
system drops the lock when the process ends, however it ends: what nobody has locked is a leftover. Process numbers
would not do: two containers on one disk, or two machines, may both have the same one.
"""

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

_LOCK = ".lock"
_ATTEMPTS = 100
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A leftover of a dead process in staging.

    Attributes:
        path: a folder with files in it, or one file.
        size: bytes.
    """

    path: Path
    size: int


class Staging:
    """The staging folder of one process below `root`; it is there only while something is staged, or it is kept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._mutex = Lock()
        self._users = 0  # files that are staged, and blocks that keep the folder
        self._own: Path | None = None
        self._lock = -1

    @contextmanager
    def file(self, suffix: str) -> Iterator[Path]:
        """A path to write to; gone afterwards.

        Raises:
            OSError: the folder cannot be made.
        """
        with self.kept():
            path = self._folder() / f"{uuid.uuid4().hex}{suffix}"
            try:
                yield path
            finally:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Until the block is left, the folder that the first file needs is there for all others, too.

        To make and to remove a folder and its lock for every small file takes longer than to write the file.
        """
        with self._mutex:
            self._users += 1
        try:
            yield
        finally:
            with self._mutex:
                self._users -= 1
                if not self._users and (own := self._own):
                    self._own = None  # first: Ctrl-C while it is closed must not leave a folder that is gone
                    self._close(own)

    def _folder(self) -> Path:
        with self._mutex:
            self._own = self._own or self._open()
            return self._own

    def _open(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):  # a sweep may take the lock file away before it is locked
            own = self.root / uuid.uuid4().hex
            lock = _locked(own.with_suffix(_LOCK), wait=True)
            if lock is not None:
                break
        else:
            raise OSError(errno.ESTALE, "the file of a lock is another one each time it is opened", str(self.root))
        try:
            own.mkdir()
        except OSError:
            _release(lock, own.with_suffix(_LOCK))
            raise
        self._lock = lock
        return own

    def _close(self, own: Path) -> None:
        with suppress(OSError):
            own.rmdir()
        _release(self._lock, own.with_suffix(_LOCK))


def of_somebody_else(error: PermissionError, root: Path) -> tuple[str, str]:
    """What it means that a staging folder cannot be looked through, and the cure."""
    where = Path(error.filename or root)
    try:
        owner = where.owner()
    except (OSError, KeyError):
        owner = "another user"
    return (
        f"{where} is {owner}'s, and this user may not lock it: it is unknown whether it is a leftover",
        f"run this as {owner}, or let all who use the lake share a group that may write there",
    )


def leftovers(root: Path) -> list[Leftover]:
    """What dead processes left below `root`; nothing is changed.

    Raises:
        OSError: the folder cannot be read, or the file system has no locks (then nobody can tell).
    """
    return [found for found, lock in _dead(root) if _release(*lock)]


def sweep(root: Path) -> list[Leftover]:
    """Remove what dead processes left below `root`; returns what it was.

    Raises:
        OSError: as for `leftovers`, or something cannot be removed.
    """
    swept = []
    for found, lock in _dead(root):
        try:
            if found.path.is_dir():
                shutil.rmtree(found.path)
            else:
                found.path.unlink(missing_ok=True)
        finally:
            _release(*lock)
        swept.append(found)
    return swept


def _dead(root: Path) -> Iterator[tuple[Leftover, tuple[int, Path]]]:
    """Leftovers, each locked, so that two sweeps do not meet; whoever takes one releases it."""
    names = sorted({path.stem if path.suffix == _LOCK else path.name for path in _entries(root)})
    for name in names:
        path = root / name
        beside = path.with_name(f"{name}{_LOCK}")
        lock = _locked(beside, wait=False)
        if lock is None:
            continue
        if not path.exists():
            _release(lock, beside)
        else:
            size = sum(part.stat().st_size for part in [path, *path.rglob("*")] if part.is_file())
            yield Leftover(path, size), (lock, beside)


def _entries(root: Path) -> list[Path]:
    try:
        return list(root.iterdir())
    except FileNotFoundError:
        return []


def _locked(path: Path, *, wait: bool) -> int | None:
    """Make and lock a file; None where another process has it, or took it away while this one waited."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        if wait and error.errno in _NO_LOCKS:  # staging works without; a sweep will say that it cannot tell
            return handle
        os.close(handle)
        raise
    os.close(handle)
    return None


def _release(lock: int, path: Path) -> bool:
    """Take the lock file away, then let go of it, in this order: nobody can lock it in between."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
    os.close(lock)
    return True
