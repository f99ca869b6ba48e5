"""The only door to storage: list, scan, and atomic commit. A local folder and S3 behind one face.

Nothing is ever written to its final place: a file is staged, read back, hashed, and only then published.
Where something is made from several files, it is made from a snapshot, which is checked again before publishing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import polars as pl
from polars.exceptions import PolarsError

from hermes.errors import HermesError, StoreError
from hermes.lake import folder, s3
from hermes.lake.dataset import LAYERS
from hermes.lake.files import LakeFile, sha256
from hermes.settings import Settings

FOOTER = "hermes"  # key of the lineage in a Parquet footer
_READERS = 8  # footers read at once


class Layer:
    """One layer of the lake: bronze, silver or gold."""

    def __init__(self, backend: folder.Folder | s3.Bucket) -> None:
        self._backend = backend
        self.address = backend.address

    # --- reading ----------------------------------------------------------------------------------------------------

    def files(self, prefix: str, suffix: str = ".parquet") -> list[LakeFile]:
        """The files below the folder `prefix`, in the order of their keys; empty where there are none."""
        return [file for file in self._backend.list(prefix) if file.key.endswith(suffix)]

    def scan(self, files: Sequence[LakeFile], **options: Any) -> pl.LazyFrame:
        """A lazy plan over exactly these files, in this order; nothing is inferred from their paths."""
        return pl.scan_parquet(
            [file.location for file in files],
            glob=False,
            hive_partitioning=False,
            credential_provider=None,
            storage_options=self._backend.scan_options,
            **options,
        )

    def read(self, key: str) -> bytes | None:
        """The bytes of a small file, or None where there is none."""
        try:
            return self._backend.read(key)
        except FileNotFoundError:
            return None

    def locate(self, key: str) -> str:
        """The address of a key, for people and for other tools."""
        return self._backend.locate(key)

    def footer(self, file: LakeFile) -> dict[str, Any]:
        """What Hermes wrote about the file into its Parquet footer; empty for a file of another tool."""
        with self.errors():
            metadata = pl.read_parquet_metadata(
                file.location, storage_options=self._backend.scan_options, credential_provider=None
            )
        return json.loads(metadata[FOOTER]) if FOOTER in metadata else {}

    def footers(self, files: Sequence[LakeFile]) -> list[dict[str, Any]]:
        """`footer` of each file, several read at once."""
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(self.footer, files))

    def fingerprints(self, files: Sequence[LakeFile]) -> list[str]:
        """What each file's bytes are known by: the SHA-256 on record, else the version that the store gives them."""
        with ThreadPoolExecutor(_READERS) as pool:
            records = pool.map(lambda file: self._backend.recorded_hashes(file.key), files)
        return [hashes.pop() if len(hashes) == 1 else file.version for file, hashes in zip(files, records, strict=True)]

    def unchanged(self, prefix: str, snapshot: Sequence[LakeFile]) -> bool:
        """Whether the files below `prefix` are still those of the snapshot, byte versions included."""
        return {(f.key, f.version) for f in self.files(prefix)} == {(f.key, f.version) for f in snapshot}

    def same(self, snapshot: Sequence[LakeFile]) -> bool:
        """Whether these very files are still there as they were."""
        folders = {file.key.rpartition("/")[0] for file in snapshot}
        now = {(file.key, file.version) for folder in folders for file in self.files(folder)}
        return all((file.key, file.version) in now for file in snapshot)

    # --- writing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def staged(self, suffix: str = ".parquet") -> Iterator[Path]:
        """A file to write to before it is published; gone afterwards, also after an error or Ctrl-C."""
        with self.errors(), self._backend.staged(suffix) as path:
            yield path

    def create(self, key: str, staged: Path, digest: str | None = None) -> str:
        """Publish a staged file under a new name; returns its SHA-256, which is `digest` where it is known already.

        Raises:
            AlreadyPublished: the name is taken by somebody else.
        """
        digest = digest or sha256(staged)
        self._backend.create(key, staged, digest)
        return digest

    def replace(self, key: str, staged: Path) -> str:
        """Publish a staged file under `key`, atomically, whatever stood there; returns its SHA-256."""
        digest = sha256(staged)
        self._backend.replace(key, staged, digest)
        return digest

    def write(self, key: str, frame: pl.DataFrame, about: Mapping[str, Any]) -> str:
        """Replace one Parquet file by `frame`, with `about` in its footer; returns its SHA-256."""
        with self.staged() as path:
            self.stage(path, frame, about)
            return self.replace(key, path)

    def stage(self, path: Path, frame: pl.DataFrame, about: Mapping[str, Any]) -> None:
        """Write `frame` to a staged path, with `about` in its footer, and read the footer back."""
        with self.errors():
            frame.write_parquet(path, metadata={FOOTER: json.dumps(about)})
            check_written(path, frame.height)

    def write_bytes(self, key: str, content: bytes) -> str:
        """Replace one small file; returns its SHA-256."""
        with self.staged(Path(key).suffix) as path:
            path.write_bytes(content)
            return self.replace(key, path)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of Polars and the operating system below here become one line with a cure."""
        try:
            yield
        except HermesError:
            raise
        except PolarsError as error:
            raise (folder.disk_error(error, self.address) or s3.explain(error, self.address)) from error
        except OSError as error:
            if error.errno is None:
                raise s3.explain(error, self.address) from error
            raise folder.explain(error, self.address) from error


class Lake:
    """The three layers of one lake."""

    def __init__(self, bronze: Layer, silver: Layer, gold: Layer) -> None:
        self.bronze = bronze
        self.silver = silver
        self.gold = gold

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The lake at `settings.lake.url`; nothing is created or contacted yet."""
        addresses = [settings.layer_url(layer) for layer in LAYERS]
        return cls(
            *(
                Layer(s3.Bucket(address, settings.s3) if address.startswith("s3://") else folder.Folder(address))
                for address in addresses
            )
        )


def check_written(path: Path, rows: int) -> None:
    """Read a staged Parquet file's footer back: it must hold `rows` rows.

    Raises:
        StoreError: it does not.
    """
    found = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    if found != rows:
        raise StoreError(f"{path} holds {found:,} rows after writing {rows:,}", "check the disk, then run again")


def fingerprint(*parts: Any) -> str:
    """A short name for what something was made from: equal parts, equal name."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
