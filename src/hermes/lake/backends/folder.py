"""A local folder as a backend of the lake: every commit is staged beside the layer, then linked or renamed."""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hermes.dataset import absolute
from hermes.errors import AlreadyPublished, StoreError
from hermes.lake.backends.hash_records import Records, remove_empty, sync
from hermes.lake.backends.lock import Check, Holder, file_lock, unlocked
from hermes.lake.backends.staging import Staging
from hermes.lake.files import LakeFile, Staged, sha256

STAGING = "_staging"  # beside the layer, on the same file system, where no glob over the layer reaches it
HASHES = "_hashes"  # beside the layer, too

_NO_FILE = "no file: "  # begins the version of what is none
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link to a file that is not there"}
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.ENOTTY)
NEEDS_LINKS = "keep the lake on a file system that makes them (ext4, xfs, btrfs, zfs, apfs, NFS), or on S3"

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
    """An error of the disk below Polars, where Python would raise an OSError; else None.

    Polars says "(os error 28)", and "[Errno 28]" where it writes to a file that Python opened.
    """
    found = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(error))
    number = int(found[1] or found[2]) if found else 0
    return explain(OSError(number, os.strerror(number)), path) if number in {*_CURES, errno.EIO} else None


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


class Folder:
    """Keys are paths below the folder `address`."""

    signed = True  # no request goes without keys: there is none

    def __init__(self, address: str) -> None:
        root = absolute(address)
        self.root = root.resolve() if ".." in root.parts else root  # else it would make the folders that `..` leaves
        self.address = str(self.root)
        self.scan_options: dict[str, Any] | None = None
        self.staging = Staging(self.root.parent / STAGING)
        self._records = Records(self.root.parent / HASHES / self.root.name, self.staging)

    def list(self, prefix: str) -> list[LakeFile]:
        """Every file below the folder `prefix`, in the order of the keys."""
        found: list[LakeFile] = []
        with _explained(self.address):
            folders = [self.locate(prefix)]
            while folders:  # os.walk takes twice as long, and a run lists bronze and gold again and again
                try:
                    entries = os.scandir(folders.pop())
                except FileNotFoundError:
                    continue
                with entries:
                    for entry in entries:
                        if not entry.is_dir():
                            found += self._file(entry)
                        elif not entry.is_symlink():
                            folders.append(entry.path)
        return sorted(found, key=lambda file: file.key)

    def _file(self, entry: "os.DirEntry[str]") -> Iterator[LakeFile]:
        """A file as the lake knows it; none where it was removed meanwhile."""
        try:
            status = entry.stat()
        except FileNotFoundError:
            try:  # a link to nothing is there
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                return
            if not stat.S_ISLNK(status.st_mode):
                return
        version = f"{status.st_ino:x}-{_stamp(status)}"
        if not stat.S_ISREG(status.st_mode):
            version = f"{_NO_FILE}{_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}"
        # Lakes have many files: a Path for each would take half of the time.
        yield LakeFile(entry.path[len(self.address) + 1 :], status.st_size, version, entry.path)

    def exists(self) -> bool:
        """Whether the folder is there."""
        with _explained(self.address):
            return self.root.is_dir()

    def modified(self, key: str) -> datetime:
        """When a file was last written, by the clock of its file system (UTC)."""
        return datetime.fromtimestamp((self.root / key).stat().st_mtime, UTC)

    def locate(self, key: str) -> str:
        """What Polars scans."""
        return str(self.root / key)

    def sources(self, files: Sequence[LakeFile]) -> Sequence[str]:
        """What Polars reads: where the files are.

        Raises:
            StoreError: one of them is not a regular file; opening a pipe would block.
        """
        for file in files:
            if file.version.startswith(_NO_FILE):
                kind = file.version.removeprefix(_NO_FILE)
                raise StoreError(f"{file.location} is {kind}, not a file", "put the file itself there, or remove it")
        return [file.location for file in files]

    def read(self, key: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        path = self.root / key
        try:
            if path.exists() and not path.is_file() and not path.is_dir():
                raise StoreError(f"{path} is a pipe, a socket or a device, not a file", "remove it")
            return path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise explain(error, self.address) from error

    def recorded_hashes(self, key: str) -> set[str]:
        """The SHA-256 on record for `key`: that of the current version, else all of them."""
        try:
            stamp = _stamp((self.root / key).stat())
        except OSError:
            stamp = ""
        with _explained(self.address):
            return self._records.known(key, stamp)

    def recorded_hash(self, file: LakeFile) -> str | None:
        """The SHA-256 on record for this very version of a file; None where another tool wrote it, or wrote over it."""
        with _explained(self.address):
            return self._records.of_version(file.key, file.version.partition("-")[2])

    def hashed(self, file: LakeFile) -> tuple[str, set[str]]:
        """SHA-256 of the bytes as they are now, and those that may stand there by the record.

        Raises:
            FileNotFoundError: there is no such file.
        """
        path = self.root / file.key
        self.sources([file])
        try:
            digest, stamp = sha256(path), _stamp(path.stat())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise explain(error, str(path)) from error
        with _explained(self.address):
            return digest, self._records.known(file.key, stamp)

    def lost(self, prefix: str, present: set[str]) -> Sequence[str]:
        """Keys below the folder `prefix` that were published, are not `present`, and were not removed by Hermes."""
        with _explained(self.address):
            published = self._records.published(prefix)
        return sorted(key for key in published if key not in present and not (self.root / key).is_file())

    @contextmanager
    def staged(self, suffix: str) -> Iterator[Path]:
        """A file to write to, on the layer's own file system; gone afterwards."""
        with _explained(str(self.staging.root)), self.staging.file(suffix) as path:
            yield path

    def create(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under a new name.

        Raises:
            AlreadyPublished: the name is taken.
        """
        final = self.root / key
        with _explained(str(final)):
            made = _make_folders(final.parent)
            try:
                self._link(key, staged, f"{digest} {_stamp(staged.stat())}", made)
            except (OSError, StoreError):
                for folder in made:
                    with suppress(OSError):
                        folder.rmdir()
                raise

    def _link(self, key: str, staged: Path, record: str, made: Iterable[Path]) -> None:
        final = self.root / key
        taken = AlreadyPublished(f"{final} is there already", "run again")
        if final.exists():
            raise taken
        self._secure({key: record}, [staged], made)
        try:
            os.link(staged, final)
        except FileExistsError:
            if not final.samefile(staged):  # else the answer of a network's file system was lost: it was us
                raise taken from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise StoreError(
                f"{final}: this file system makes no hard links ({error.strerror})", NEEDS_LINKS
            ) from error
        try:
            sync(final.parent)
        except OSError:
            final.unlink()
            raise
        self._records.settle(key, record)

    def replace(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under `key` atomically, replacing any file there."""
        self.replace_all([Staged(key, staged, digest)])

    def replace_all(self, files: Sequence[Staged], check: Check = unlocked, *, in_order: bool = True) -> None:
        """`replace` several files in this order, when all are on disk; `check` is asked before."""
        finals = {file.key: self.root / file.key for file in files}
        with _explained(self.address):
            made = _make_folders(*{final.parent for final in finals.values()})
            records = {file.key: f"{file.digest} {_stamp(file.path.stat())}" for file in files}
            self._secure(records, [file.path for file in files], made)
            check()
            for file in files:
                file.path.replace(finals[file.key])
            sync(*dict.fromkeys(final.parent for final in finals.values()))
            for key, record in records.items():
                self._records.settle(key, record)

    def _secure(self, records: Mapping[str, str], staged: Sequence[Path], made: Iterable[Path]) -> None:
        """Force to disk what must be there before these files are published: their bytes, records, and new folders.

        On record before they are there: a crash in between leaves the old bytes, whose hash stays on record too, and
        records that wait for nothing. All at once: a file system writes its journal for each sync, or once for many.
        """
        sync(*staged, *self._records.expect(records), *dict.fromkeys(folder.parent for folder in made))

    def remove(self, key: str) -> None:
        """Remove a file, if it exists, then its hash."""
        final = self.root / key
        with _explained(str(final)):
            self._records.doubt(key)
            final.unlink(missing_ok=True)
            self._records.remove(key)
            remove_empty(final.parent, self.root)

    @contextmanager
    def locked(self, key: str, what: str, me: Holder) -> Iterator[Check]:
        """Hold a lock beside the layer, where no glob reaches it; see `lock.file_lock`."""
        path = self.root.parent / key
        with ExitStack() as stack:
            with _explained(str(path)):
                check = stack.enter_context(file_lock(path, what, me))
            yield check


def _stamp(status: os.stat_result) -> str:
    """A stamp that distinguishes versions of one file without reading them; a copy with the same times has the same."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _make_folders(*folders: Path) -> list[Path]:
    """Make folders and those above them; returns the ones that are new, innermost first. Nothing is synced."""
    missing = set()
    for folder in folders:
        above = folder
        while above not in missing and not above.exists():
            missing.add(above)
            above = above.parent
    new = sorted(missing, key=lambda folder: len(folder.parts))
    for folder in new:
        folder.mkdir(exist_ok=True)
    return new[::-1]
