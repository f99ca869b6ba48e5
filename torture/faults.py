"""I/O of this process that fails on demand: Python's calls below one folder, the limits of the system, a small disk."""

import builtins
import errno
import io
import os
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

#: Which calls can fail in which way.
_READING = frozenset({"open", "read", "stat", "scandir"})
_WRITING = frozenset({"create", "write", "fsync", "link", "replace", "mkdir"})
CALLS = {
    errno.EIO: _READING | _WRITING | {"unlink", "rmdir"},
    errno.ENOSPC: _WRITING,
    errno.EMFILE: frozenset({"open", "create", "scandir"}),
}
_WRITES = os.O_WRONLY | os.O_RDWR


class Faulty:
    """The `at`-th call below `folder` that can fail with `number` does so; with `for_good` all later ones do, too."""

    def __init__(self, folder: Path, number: int, at: int, *, for_good: bool) -> None:
        self.hit = False
        self._folder, self._number, self._at, self._for_good = str(folder), number, at, for_good
        self._count = 0
        self._lock = threading.Lock()
        self._handles: set[int] = set()

    def check(self, call: str, path: Any) -> None:
        """Raise, if it is this call's turn."""
        below = path in self._handles if isinstance(path, int) else os.fspath(path).startswith(self._folder)
        if not below or call not in CALLS[self._number]:
            return
        with self._lock:
            self._count += 1
            due = self._count >= self._at if self._for_good else self._count == self._at
        if due:
            self.hit = True
            raise OSError(self._number, os.strerror(self._number), None if isinstance(path, int) else os.fspath(path))

    @contextmanager
    def planted(self) -> Iterator[None]:
        """While the block runs, Python's calls go through here."""
        with ExitStack() as stack:
            for call in ("fsync", "link", "replace", "mkdir", "unlink", "rmdir", "stat", "scandir", "write"):
                original = getattr(os, call)
                stack.enter_context(mock.patch.object(os, call, self._checked(call, original)))
            stack.enter_context(mock.patch.object(os, "open", self._os_open(os.open)))
            opened = self._open(io.open)
            for owner in (io, builtins):
                stack.enter_context(mock.patch.object(owner, "open", opened))
            yield

    def _checked(self, call: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(path: Any = ".", *args: Any, **options: Any) -> Any:
            self.check(call, path)
            return original(path, *args, **options)

        return wrapper

    def _os_open(self, original: Callable[..., int]) -> Callable[..., int]:
        def wrapper(path: Any, flags: int, *args: Any, **options: Any) -> int:
            self.check("create" if flags & _WRITES else "open", path)
            handle = original(path, flags, *args, **options)
            if not isinstance(path, int) and os.fspath(path).startswith(self._folder):
                self._handles.add(handle)
            return handle

        return wrapper

    def _open(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
            if isinstance(file, int) or not os.fspath(file).startswith(self._folder):
                return original(file, mode, buffering, *text, **options)
            writes = any(letter in mode for letter in "wxa+")
            self.check("create" if writes else "open", file)
            raw = _FaultyFile(self, file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered = io.BufferedWriter(raw) if writes else io.BufferedReader(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **options)

        return wrapper


class _FaultyFile(io.FileIO):
    """A file whose reads and writes can fail."""

    def __init__(self, faulty: Faulty, path: Any, mode: str) -> None:
        self._faulty, self._path = faulty, path
        super().__init__(path, mode)

    def write(self, data: Any) -> int:
        self._faulty.check("write", self._path)
        return super().write(data)

    def readinto(self, buffer: Any) -> int:
        self._faulty.check("read", self._path)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._faulty.check("read", self._path)
        return super().readall()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes; Polars meets that limit as Python does."""
    with _limit(resource.RLIMIT_FSIZE, size):
        yield


@contextmanager
def open_files_limit(more: int) -> Iterator[None]:
    """No more than `more` files can be opened besides those that are."""
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    number = free = 0
    while free <= more:
        free += number not in taken
        number += 1
    with _limit(resource.RLIMIT_NOFILE, number - 1):
        yield


@contextmanager
def _limit(kind: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of its own at `folder`, of `size` bytes; needs root.

    Raises:
        PermissionError: it cannot be mounted here.
    """
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "torture", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        raise PermissionError(mounted.stderr.decode().strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, free: int) -> None:
    """Fill the disk that `folder` is on until `free` bytes are left."""
    status = os.statvfs(folder)
    with (folder / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - free)
