"""Files of the lake, as listed, and new files before they are published."""

import hashlib
import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SYNC_BYTES = 32_000_000  # of a file that is still being written, after which it is synced in the background


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One stored file.

    Attributes:
        key: its name inside the layer, with `/` between folders.
        size: bytes.
        version: changes whenever the bytes are replaced (S3: etag; folder: inode and modification time).
        location: what Polars scans.
    """

    key: str
    size: int
    version: str
    location: str


class Staged(NamedTuple):
    """A complete file, waiting to be published.

    Attributes:
        key: its name inside the layer once published.
        path: where it is staged.
        digest: SHA-256 of its bytes.
    """

    key: str
    path: Path
    digest: str


def sha256(path: Path) -> str:
    """Lower hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashedFile(io.RawIOBase):
    """A new file that is hashed and synced to disk while it is written.

    Reading a large file again for its hash, or syncing it at the end, would each take longer.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._hash = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1, "hermes-sync")  # starts its thread when it is first needed
        self._syncing: Future[None] | None = None
        self._unsynced = 0  # bytes
        self.failure: OSError | None = None  # of writing: who writes may be told of something else

    def writable(self) -> bool:
        """Always; it cannot be read, and cannot go back."""
        return True

    def write(self, data: "ReadableBuffer") -> int:
        """Append, whole; raises OSError also for what was appended before and did not get to the disk."""
        self._hash.update(data)
        view = memoryview(data)
        done = 0
        try:
            while done < view.nbytes:
                done += self._file.write(view[done:]) or 0
        except OSError as error:
            self.failure = error
            raise
        self._unsynced += done
        if self._unsynced >= SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            self._check_synced()
            self._syncing = self._pool.submit(os.fsync, self._file.fileno())
            self._unsynced = 0
        return done

    def close(self) -> None:
        """Close the file below; the hash stays. It is for whoever publishes the file to sync what is left."""
        if self.closed:
            return
        self._pool.shutdown()
        self._file.close()
        super().close()
        self._check_synced()

    def _check_synced(self) -> None:
        """Raise what went wrong in the background: the system tells of it only once."""
        if self._syncing:
            self._syncing.result()

    @property
    def sha256(self) -> str:
        """Lower hex SHA-256 of what was written."""
        return self._hash.hexdigest()
