"""What the lake's backends speak of: one file as it was when it was listed."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


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


def sha256(path: Path) -> str:
    """Lower hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashedFile(io.RawIOBase):
    """A new file that is hashed while it is written: reading a big one again would take a fifth of the whole time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._hash = hashlib.sha256()

    def writable(self) -> bool:
        """Always; it cannot be read, and cannot go back."""
        return True

    def write(self, data: "ReadableBuffer") -> int:
        """Append, whole."""
        self._hash.update(data)
        view = memoryview(data)
        done = 0
        while done < view.nbytes:
            done += self._file.write(view[done:]) or 0
        return done

    def close(self) -> None:
        """Close the file below; the hash stays."""
        self._file.close()
        super().close()

    @property
    def sha256(self) -> str:
        """Lower hex SHA-256 of what was written."""
        return self._hash.hexdigest()
