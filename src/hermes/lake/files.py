"""What the lake's backends speak of: one file as it was when it was listed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


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
