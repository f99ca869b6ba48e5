"""What the lake's backends speak of: one file as it was when it was listed."""

from dataclasses import dataclass


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
