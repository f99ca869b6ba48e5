"""One local folder as a backend of the lake: every commit is staged beside the layer, then linked or renamed in."""

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hermes.errors import AlreadyPublished, StoreError
from hermes.lake.files import LakeFile

STAGING = "_staging"  # beside the layer, on the same file system, where no glob over the layer reaches it
HASHES = "_hashes"

_CURES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "choose a folder that you may write to with --lake",
    errno.EPERM: "choose a folder that you may write to with --lake",
    errno.EROFS: "choose a folder that you may write to with --lake",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOTDIR: "choose another folder with --lake",
    errno.EXDEV: "keep the layers and the folder above them on one file system",
}


def explain(error: OSError, path: str) -> StoreError:
    """An error of the file system as one line: which path, what is wrong, the cure."""
    cure = _CURES.get(error.errno or 0, "check the folder with your system's tools")
    return StoreError(f"{error.filename or path}: {error.strerror or error}", cure)


def disk_error(error: Exception, path: str) -> StoreError | None:
    """An error of the disk below Polars, which says "(os error 28)" where Python would raise an OSError; else None."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = int(found[1]) if found else 0
    return explain(OSError(number, os.strerror(number)), path) if number in _CURES else None


class Folder:
    """Keys are paths below the folder `address`."""

    def __init__(self, address: str) -> None:
        self.root = Path(address).expanduser().absolute()
        self.address = str(self.root)
        self.scan_options: dict[str, Any] | None = None

    def list(self, prefix: str) -> list[LakeFile]:
        """Every file below the folder `prefix`, in the order of the keys."""
        found = []
        try:
            for folder, _, names in os.walk(self.root / prefix, onerror=_raise_unless_absent):
                for name in names:
                    path = Path(folder, name)
                    status = path.stat()
                    version = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
                    found.append(LakeFile(path.relative_to(self.root).as_posix(), status.st_size, version, str(path)))
        except OSError as error:
            raise explain(error, self.address) from error
        return sorted(found, key=lambda file: file.key)

    def locate(self, key: str) -> str:
        """What Polars scans."""
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise explain(error, self.address) from error

    def recorded_hashes(self, key: str) -> set[str]:
        """SHA-256 that may stand under `key`: one, or two where a replacement was cut off between record and rename."""
        try:
            return set(self._hash_file(key).read_text().split())
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise explain(error, self.address) from error

    @contextmanager
    def staged(self, suffix: str) -> Iterator[Path]:
        """A file to write to, on the layer's own file system; gone afterwards."""
        path = self.root.parent / STAGING / f"{os.getpid()}-{uuid.uuid4().hex}{suffix}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
        except OSError as error:
            raise explain(error, str(path)) from error
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def create(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under a name that nobody has yet.

        Raises:
            AlreadyPublished: the name is somebody else's.
        """
        final = self.root / key
        try:
            _sync(staged)
            made = _make_folders(final.parent)
            try:
                os.link(staged, final)
            except FileExistsError:
                raise AlreadyPublished(f"{final} is there already", "run again") from None
            except OSError:
                for folder in made:
                    with suppress(OSError):
                        folder.rmdir()
                raise
            try:
                self._record(key, {digest})
                _sync(final.parent)
            except OSError:  # a file without its hash on record is not published
                final.unlink()
                raise
        except OSError as error:
            raise explain(error, str(final)) from error

    def replace(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under `key`, whole, whatever stood there."""
        final = self.root / key
        try:
            _sync(staged)
            _make_folders(final.parent)
            # On record before it is there: a crash in between leaves the old bytes, whose hash stays on record too.
            self._record(key, {digest} | (self.recorded_hashes(key) if final.exists() else set()))
            staged.replace(final)
            _sync(final.parent)
            self._record(key, {digest})
        except OSError as error:
            raise explain(error, str(final)) from error

    def _hash_file(self, key: str) -> Path:
        return self.root.parent / HASHES / self.root.name / f"{key}.sha256"

    def _record(self, key: str, hashes: set[str]) -> None:
        path = self._hash_file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{uuid.uuid4().hex}")
        beside.write_text("\n".join(sorted(hashes)) + "\n")
        beside.replace(path)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folders(folder: Path) -> list[Path]:
    """Make `folder` and those above it; returns the ones that are new, innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _sync(new.parent)
    return missing
