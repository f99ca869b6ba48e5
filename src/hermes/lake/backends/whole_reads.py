"""Reads small tables whole and compares them with their hashes, where nothing else would detect a changed bit.

Parquet readers do not verify checksums, and plain http has none that is worth the name: a bit that flips between the
store and this machine would become a silent wrong row. TLS notices; so do whole reads of what has its hash on record.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from hermes.lake.files import LakeFile

FILE_BYTES = 4 * 1024**2  # a larger file is read in place, column by column
TABLE_BYTES = 64 * 1024**2  # so are the files of a larger table; this much is kept for the next pass at most
_READERS = 8

#: Bytes of an object that were compared with their hash, whether it has one, and its etag.
Whole = Callable[[str], tuple[bytes, bool, str | None]]


class Checked:
    """Reads files whole by `whole`, and keeps them as long as they fit."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._kept: dict[tuple[str, str], bytes] = {}

    def read(self, files: Sequence[LakeFile]) -> list[bytes] | None:
        """The bytes of all files; None where they are too big to be read so, or one has no hash on record."""
        if any(file.size > FILE_BYTES for file in files) or sum(file.size for file in files) > TABLE_BYTES:
            return None
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(self._one, files))
        checked = [data for data in found if data is not None]
        return checked if len(checked) == len(files) else None

    def _one(self, file: LakeFile) -> bytes | None:
        name = (file.key, file.version)
        if data := self._kept.get(name):
            return data
        data, has_hash, etag = self._whole(file.key)
        if not has_hash:
            return None
        if etag == file.version:
            if sum(map(len, list(self._kept.values()))) + len(data) > TABLE_BYTES:
                self._kept.clear()
            self._kept[name] = data
        return data
