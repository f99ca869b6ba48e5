"""The lake's S3 backend over a store in memory: no server, and an implementation of conditional puts by others."""

from contextlib import suppress
from pathlib import Path

import obstore
from obstore.store import MemoryStore

from hermes.lake.backends.s3 import Bucket
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, Layer
from hermes.settings.sections import S3Settings


class MemoryBucket(Bucket):
    """Polars cannot scan obstore's memory: what is listed is copied to a folder, and scanned there."""

    def __init__(self, name: str, copies: Path) -> None:
        self._memory = MemoryStore()
        self._copies = copies
        super().__init__(f"s3://{name}", S3Settings())
        self.scan_options = None

    def _client(self, size: int = 0, *, whole: bool = True) -> MemoryStore:
        return self._memory

    def list(self, prefix: str) -> list[LakeFile]:
        found = super().list(prefix)
        for file in found:
            path = Path(file.location)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # removed meanwhile
                path.write_bytes(obstore.get(self._memory, file.key).bytes())
        return found

    def locate(self, key: str) -> str:
        return str(self._copies / key)


def memory_lake(copies: Path) -> Lake:
    """An empty lake in memory."""
    return Lake(
        *(Layer(MemoryBucket(f"memory-{name}", copies / name)) for name in ("bronze", "silver", "gold", "test"))
    )
