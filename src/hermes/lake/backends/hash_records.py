"""The hashes of what was published in a folder: one small file for each file, in a folder beside the layer.

It holds a line for each version: its SHA-256, a stamp that tells versions apart, and `pending` or `published`. A line
is added, and on disk, before a version is there: a crash in between leaves a line that waits for nothing, never a file
whose hash nobody knows.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hermes.lake.backends.staging import Staging

_ENDING = ".sha256"
_PENDING = "pending"  # the version may not be there yet, or not any more
_PUBLISHED = "published"  # it is there: lines before this one are void
_LONGEST = 4096  # bytes, after which the lines that are void are dropped
_SYNCED_AT_ONCE = 16


class Records:
    """What is on record of the files of one layer, by key.

    Args:
        root: folder of the records.
        staging: where a record is written before it replaces another one.

    Every method raises OSError where the disk does.
    """

    def __init__(self, root: Path, staging: Staging) -> None:
        self._root = root
        self._staging = staging

    def known(self, key: str, stamp: str) -> set[str]:
        """SHA-256 of the version `stamp`; of all that may be there where it is unknown (a copy without times)."""
        lines = self._lines(key)
        last = max((at for at, words in enumerate(lines) if words[-1] == _PUBLISHED), default=0)
        # A void line counts for its own version: in a snapshot of hard links, which shares records that are added to.
        return {words[0] for words in lines if words[1:2] == [stamp]} or {words[0] for words in lines[last:]}

    def of_version(self, key: str, stamp: str) -> str | None:
        """SHA-256 of the version `stamp`, None where it is not on record."""
        return next((words[0] for words in self._lines(key) if words[1:2] == [stamp]), None)

    def published(self, prefix: str) -> Sequence[str]:
        """Keys below the folder `prefix` that are on record as published."""
        paths = (self._root / prefix).rglob(f"*{_ENDING}")
        keys = [path.relative_to(self._root).as_posix()[: -len(_ENDING)] for path in paths]
        return [key for key in keys if any(words[-1] == _PUBLISHED for words in self._lines(key))]

    def expect(self, versions: Mapping[str, str]) -> Sequence[Path]:
        """Note versions (key → SHA-256 and stamp) that are about to be there; several may do so at once.

        Returns:
            The files of the records, which the caller syncs before the versions are there.
        """
        paths = []
        for key, version in versions.items():
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, f"{version} {_PENDING}")
            paths.append(path)
        return paths

    def settle(self, key: str, version: str) -> None:
        """Note that a version is there. A power cut may lose this, and the hash stays known; so may an error."""
        path = self._path(key)
        with suppress(OSError):
            if path.stat().st_size < _LONGEST:
                _append(path, f"{version} {_PUBLISHED}")
            else:
                self._rewrite(key, [f"{version} {_PUBLISHED}"])

    def doubt(self, key: str) -> None:
        """Note that the file is about to be removed."""
        with suppress(FileNotFoundError):  # somebody else removes the same
            self._rewrite(key, [f"{' '.join(words[:2])} {_PENDING}" for words in self._lines(key)])

    def remove(self, key: str) -> None:
        """Forget a file; one that is not on record is no error."""
        path = self._path(key)
        path.unlink(missing_ok=True)
        remove_empty(path.parent, self._root)

    def _path(self, key: str) -> Path:
        return self._root / f"{key}{_ENDING}"

    def _lines(self, key: str) -> Sequence[Sequence[str]]:
        """The words of each line."""
        try:
            return [
                words for line in self._path(key).read_text(errors="replace").splitlines() if (words := line.split())
            ]
        except FileNotFoundError:
            return []

    def _rewrite(self, key: str, lines: Sequence[str]) -> None:
        """Put these lines in place of all that are there, whole."""
        if not lines:
            return
        with self._staging.file(_ENDING) as path:
            path.write_text("\n".join(lines) + "\n")
            sync(path)
            path.replace(self._path(key))


def sync(*paths: Path) -> None:
    """Force files, or the entries of folders, to disk.

    All at once: a file system writes its journal for all who wait for it, so that two take little longer than one, and
    1,000 a quarter of the time that they take one after the other.
    """
    with ThreadPoolExecutor(_SYNCED_AT_ONCE, "hermes-sync") as pool:  # starts no thread for a single one
        others = pool.map(_sync, paths[1:])
        for path in paths[:1]:
            _sync(path)
        for _ in others:
            pass


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)


def remove_empty(folder: Path, root: Path) -> None:
    """Remove `folder` if nothing is in it, then the one above, up to `root`."""
    with suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, f"\n{line}\n".encode())  # what a crash has cut off before is a line of its own
    finally:
        os.close(handle)
