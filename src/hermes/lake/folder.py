"""One local folder as a backend of the lake: every commit is staged beside the layer, then linked or renamed in."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hermes.errors import AlreadyPublished, StoreError
from hermes.lake.files import LakeFile, sha256
from hermes.lake.lock import Check, Holder, file_lock
from hermes.lake.staging import Staging

STAGING = "_staging"  # beside the layer, on the same file system, where no glob over the layer reaches it
HASHES = "_hashes"
_HASH = ".sha256"
_PENDING = "pending"  # ends the record of a file that may not be there yet, or not any more

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
        self.staging = Staging(self.root.parent / STAGING)

    def list(self, prefix: str) -> list[LakeFile]:
        """Every file below the folder `prefix`, in the order of the keys."""
        found = []
        try:
            for folder, _, names in os.walk(self.root / prefix, onerror=_raise_unless_absent):
                for name in names:
                    path = Path(folder, name)
                    try:
                        status = path.stat()
                    except FileNotFoundError:  # removed meanwhile
                        continue
                    version = f"{status.st_ino:x}-{_stamp(status)}"
                    found.append(LakeFile(path.relative_to(self.root).as_posix(), status.st_size, version, str(path)))
        except OSError as error:
            raise explain(error, self.address) from error
        return sorted(found, key=lambda file: file.key)

    def exists(self) -> bool:
        """Whether the folder is there."""
        try:
            return self.root.is_dir()
        except OSError as error:
            raise explain(error, self.address) from error

    def modified(self, key: str) -> datetime:
        """When a file was last written, by the clock of its file system (UTC)."""
        return datetime.fromtimestamp((self.root / key).stat().st_mtime, UTC)

    def locate(self, key: str) -> str:
        """What Polars scans."""
        return str(self.root / key)

    def sources(self, files: Sequence[LakeFile]) -> Sequence[str]:
        """What Polars reads: where the files are."""
        return [file.location for file in files]

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
        """SHA-256 that may stand under `key`: one, or more where a replacement was cut off before it was there."""
        return {words[0] for words in self._records(key)}

    def recorded_hash(self, file: LakeFile) -> str | None:
        """The SHA-256 on record for this very version of a file; None where another tool wrote it, or wrote over it."""
        stamp = file.version.partition("-")[2]
        return next((words[0] for words in self._records(file.key) if words[1:2] == [stamp]), None)

    def hashed(self, file: LakeFile) -> tuple[str, set[str]]:
        """SHA-256 of the bytes as they are now, and those that may stand there by the record.

        Raises:
            FileNotFoundError: there is no such file.
        """
        path = self.root / file.key
        try:
            digest, stamp = sha256(path), _stamp(path.stat())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise explain(error, str(path)) from error
        records = self._records(file.key)
        stamped = {words[0] for words in records if words[1:2] == [stamp]}
        return digest, stamped or {words[0] for words in records}

    def lost(self, prefix: str, present: set[str]) -> Sequence[str]:
        """Keys below the folder `prefix` that were published, are not `present`, and were not removed by Hermes."""
        hashes = self._hash_folder()
        keys = [path.relative_to(hashes).as_posix()[: -len(_HASH)] for path in (hashes / prefix).rglob(f"*{_HASH}")]
        return sorted(
            key
            for key in keys
            if key not in present
            and any(words[-1] != _PENDING for words in self._records(key))
            and not (self.root / key).exists()
        )

    @contextmanager
    def staged(self, suffix: str) -> Iterator[Path]:
        """A file to write to, on the layer's own file system; gone afterwards."""
        try:
            with self.staging.file(suffix) as path:
                yield path
        except OSError as error:
            raise explain(error, str(self.staging.root)) from error

    def create(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under a name that nobody has yet.

        Raises:
            AlreadyPublished: the name is somebody else's.
        """
        final = self.root / key
        try:
            sync(staged)
            made = _make_folders(final.parent)
            try:
                self._link(key, staged, f"{digest} {_stamp(staged.stat())}")
            except OSError:
                for folder in made:
                    with suppress(OSError):
                        folder.rmdir()
                raise
        except OSError as error:
            raise explain(error, str(final)) from error

    def _link(self, key: str, staged: Path, record: str) -> None:
        final = self.root / key
        taken = AlreadyPublished(f"{final} is there already", "run again")
        if final.exists():
            raise taken
        # On record before it is there: a crash in between leaves a record that waits for nothing.
        self._record(key, f"{record} {_PENDING}")
        try:
            os.link(staged, final)
        except FileExistsError:
            if not final.samefile(staged):  # else the answer of a network's file system was lost: it was us
                raise taken from None
        try:
            sync(final.parent)
        except OSError:
            final.unlink()
            raise
        with suppress(OSError):  # published, and its hash is on record
            self._settle(key, record)

    def replace(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under `key`, whole, whatever stood there."""
        final = self.root / key
        try:
            sync(staged)
            _make_folders(final.parent)
            record = f"{digest} {_stamp(staged.stat())}"
            # On record before it is there: a crash in between leaves the old bytes, whose hash stays on record too.
            self._record(key, f"{record} {_PENDING}")
            staged.replace(final)
            sync(final.parent)
            with suppress(OSError):  # published, and its hash is on record
                self._settle(key, record)
        except OSError as error:
            raise explain(error, str(final)) from error

    def remove(self, key: str) -> None:
        """Take a file away, then its hash; a file that is not there is no error."""
        final = self.root / key
        try:
            records = self._records(key)
            with suppress(FileNotFoundError):  # somebody else removes the same
                self._settle(key, *(" ".join([*words, _PENDING]) for words in records))
            final.unlink(missing_ok=True)
            self._hash_file(key).unlink(missing_ok=True)
            for folder, root in ((final.parent, self.root), (self._hash_file(key).parent, self._hash_folder())):
                _remove_empty(folder, root)
        except OSError as error:
            raise explain(error, str(final)) from error

    @contextmanager
    def locked(self, key: str, what: str, me: Holder) -> Iterator[Check]:
        """Hold a lock beside the layer, where no glob reaches it; see `lock.file_lock`."""
        path = self.root.parent / key
        with ExitStack() as stack:
            try:
                check = stack.enter_context(file_lock(path, what, me))
            except OSError as error:
                raise explain(error, str(path)) from error
            yield check

    def _hash_folder(self) -> Path:
        return self.root.parent / HASHES / self.root.name

    def _hash_file(self, key: str) -> Path:
        return self._hash_folder() / f"{key}{_HASH}"

    def _records(self, key: str) -> Sequence[Sequence[str]]:
        """One for each file that may stand under `key`: its SHA-256, its time and size, and whether it is pending."""
        try:
            return [words for line in self._hash_file(key).read_text().splitlines() if (words := line.split())]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise explain(error, self.address) from error

    def _record(self, key: str, record: str) -> None:
        """Add a record to those that are there; several may do so at once."""
        path = self._hash_file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, f"\n{record}\n".encode())  # what a crash has cut off before is a line of its own
            os.fsync(handle)
        finally:
            os.close(handle)

    def _settle(self, key: str, *records: str) -> None:
        """Put these records in place of all that are there, whole."""
        if not records:
            return
        with self.staging.file(_HASH) as path:
            path.write_text("\n".join(records) + "\n")
            sync(path)
            path.replace(self._hash_file(key))


def _stamp(status: os.stat_result) -> str:
    """Tells versions of one file apart without reading them; a copy that keeps times keeps it, too."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove `folder` if nothing is in it, then the one above, up to `root`."""
    with suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def sync(path: Path) -> None:
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
        sync(new.parent)
    return missing
