"""The only storage code: list, scan, and atomic commit. A local folder and S3 behind one interface.

Nothing is ever written to its final place: a file is staged, read back, hashed, and only then published.
Where something is made from several files, it is made from a snapshot, which is checked again before publishing.

Longer than 300 lines, because reading and publishing share one class: nothing is published past the lock's check.
"""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import polars as pl
from polars.exceptions import PanicException, PolarsError

from hermes import interruption
from hermes.dataset import LAYERS, TEST_LAYER, Dataset
from hermes.errors import DatasetLocked, HermesError, Misplaced, NewerLake, StoreError
from hermes.lake.backends import folder
from hermes.lake.backends.lock import Check, Holder, all_of, unlocked
from hermes.lake.files import LakeFile, Staged, sha256
from hermes.redaction import open_cause, redact
from hermes.schemas import ARROW_SCHEMA
from hermes.settings import Settings
from hermes.text import counted

if TYPE_CHECKING:
    from hermes.lake.backends.s3 import Bucket
    from hermes.lake.probe import Finding

interruption.take_sigint_back()

Answer = TypeVar("Answer")

FOOTER = "hermes"  # key of the lineage in a Parquet footer
_FOOTER_HASH = "hermes_sha256"
_FOOTER_KEY = "hermes_key"  # where the file was published
_FOOTER_FORMAT = "hermes_format"
FORMAT = 2  # of what Hermes writes; 1 had no `hermes_format`, see docs/upgrade.md
JSON_FORMAT = 1  # of the small files that `read_json` reads
CODEC: Literal["snappy"] = "snappy"  # a fifth more bytes than zstd, read in half the time: and tables are read often
_READERS = 8  # footers that a store is asked for at once
#: How Polars begins what it says of bytes that are no Parquet; a store that cannot be reached is told otherwise.
_DAMAGE = re.compile("parquet: File out of specification|unable to decode the encoded schema")
DAMAGE_CURE = "`hermes audit --bytes` names the files whose bytes are not those that were published"


class Layer:
    """One layer of the lake: bronze, silver or gold."""

    def __init__(self, backend: "folder.Folder | Bucket") -> None:
        self._backend = backend
        self._check: Check = unlocked
        self.address = backend.address

    # --- reading ----------------------------------------------------------------------------------------------------

    def files(self, prefix: str, suffix: str = ".parquet") -> list[LakeFile]:
        """The files below the folder `prefix`, in the order of their keys; empty where there are none.

        Names that begin with a dot are no files of a table: they are what other systems note about one.
        """
        found = (file for file in self._backend.list(prefix) if file.key.endswith(suffix))
        return [file for file in found if not file.key.rpartition("/")[2].startswith(".")]

    def scan(self, files: Sequence[LakeFile], **options: Any) -> pl.LazyFrame:
        """A lazy plan over exactly these files, in this order; nothing is inferred from their paths."""
        sources: Any = self._sources(files)
        in_memory = bool(files) and isinstance(sources[0], bytes)
        if in_memory and (name := options.pop("include_file_paths", None)):  # bytes have no path to tell
            return pl.concat(
                [self.scan([file], **options).with_columns(pl.lit(file.location).alias(name)) for file in files]
            )
        return pl.scan_parquet(
            sources,
            glob=False,
            hive_partitioning=False,
            credential_provider=None,
            storage_options=None if in_memory else self._backend.scan_options,
            **options,
        )

    def _sources(self, files: Sequence[LakeFile]) -> Any:
        """The sources of these files for Polars; raises StoreError for an empty one."""
        sources = self._backend.sources(files)
        for file in files:
            if not file.size:
                raise StoreError(
                    f"{file.location} is empty, not a Parquet file", "put the file there again, or remove it"
                )
        return sources

    def schemas(self, files: Sequence[LakeFile]) -> list[pl.Schema]:
        """The columns of each file, and their types; raises StoreError, which names the file."""
        known: dict[str, pl.Schema] = {}  # by what the footer says in Arrow's words: as a rule all files say the same

        def schema(file: LakeFile) -> pl.Schema:
            with self.errors(file.location):
                said = self._metadata(file).get(ARROW_SCHEMA)
                if said is None:
                    return self.scan([file]).collect_schema()
                if said not in known:
                    known[said] = self.scan([file]).collect_schema()
                return known[said]

        return self.map_files(schema, files)

    def read(self, key: str) -> bytes | None:
        """The bytes of a small file, or None where there is none."""
        try:
            return self._backend.read(key)
        except FileNotFoundError:
            return None

    def read_json(self, key: str, what: str, cure: str) -> dict[str, Any] | None:
        """The JSON object of a small file; None where there is none.

        Args:
            what: that it holds, and cure: what to do where it cannot be read, for the error.

        Raises:
            StoreError: it cannot be read, is cut or is no object, or was made by a newer Hermes.
        """
        content = self.read(key)
        if content is None:
            return None
        try:
            said = json.loads(content)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise StoreError(f"{self.locate(key)} cannot be read: {what}", cure)
        _check_format(self.locate(key), said.get("format", JSON_FORMAT), JSON_FORMAT)
        return said

    def locate(self, key: str) -> str:
        """The address of a key, for people and for other tools."""
        return self._backend.locate(key)

    def footer(self, file: LakeFile, *needed: str) -> dict[str, Any]:
        """Hermes' entry in the Parquet footer of a file; empty for a file of another tool.

        Raises:
            StoreError: it cannot be read, lacks one of the `needed` names, was published elsewhere, or by a newer
                Hermes.
        """
        with self.errors(file.location):
            metadata = self._metadata(file)
        if FOOTER not in metadata:
            return {}
        try:
            about = json.loads(metadata[FOOTER])
        except ValueError:
            about = None
        if metadata.get(_FOOTER_HASH, found := _hash(metadata[FOOTER])) != found:
            about = None
        if not isinstance(about, dict) or not set(needed) <= about.keys():
            raise StoreError(f"{file.location}: what its footer says of it cannot be read", DAMAGE_CURE)
        return about

    def _metadata(self, file: LakeFile) -> dict[str, str]:
        (source,) = self._sources([file])
        options = self._backend.scan_options
        found = pl.read_parquet_metadata(source, storage_options=options, credential_provider=None)
        if found.get(_FOOTER_KEY, file.key) != file.key:
            raise Misplaced(
                f"{file.location} was published as {found[_FOOTER_KEY]}, and was copied to where it is now",
                "remove it, then run the step again that makes it (`hermes run` makes all that is missing)",
            )
        _check_format(file.location, found.get(_FOOTER_FORMAT, 1), FORMAT)
        return found

    def footers(self, files: Sequence[LakeFile], *needed: str) -> list[dict[str, Any]]:
        """`footer` of each file."""
        return self.map_files(lambda file: self.footer(file, *needed), files)

    def fingerprints(self, files: Sequence[LakeFile]) -> list[str]:
        """The fingerprint of each file: the SHA-256 on record, else the store's version."""
        return self.map_files(lambda file: self._backend.recorded_hash(file) or file.version, files)

    def map_files(self, function: Callable[[LakeFile], Answer], files: Sequence[LakeFile]) -> list[Answer]:
        """Call `function` for each file, concurrently if each call is a request (in a folder threads cost more)."""
        if isinstance(self._backend, folder.Folder):
            return [function(file) for file in files]
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(function, files))

    def unchanged(self, prefix: str, snapshot: Sequence[LakeFile]) -> bool:
        """Whether the files below `prefix` are still those of the snapshot, byte versions included."""
        return {(f.key, f.version) for f in self.files(prefix)} == {(f.key, f.version) for f in snapshot}

    def same(self, snapshot: Sequence[LakeFile]) -> bool:
        """Whether these files are still unchanged."""
        folders = {file.key.rpartition("/")[0] for file in snapshot}
        now = {(file.key, file.version) for folder in folders for file in self.files(folder)}
        return all((file.key, file.version) in now for file in snapshot)

    def is_own(self, key: str) -> bool:
        """Whether Hermes published the file at `key`: its hash is on record."""
        return bool(self._backend.recorded_hashes(key))

    def hashed(self, file: LakeFile) -> tuple[str, set[str]] | None:
        """The SHA-256 of a file's current bytes, and the hashes on record for it.

        None if there is no such file.
        """
        try:
            return self._backend.hashed(file)
        except FileNotFoundError:
            return None

    def lost(self, prefix: str, present: set[str]) -> Sequence[str]:
        """Keys below the folder `prefix` that are on record as published and not `present`; a folder alone can tell."""
        return self._backend.lost(prefix, present)

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
        self._check()
        self._backend.create(key, staged, digest)
        return digest

    def replace(self, key: str, staged: Path) -> str:
        """Publish a staged file under `key`, atomically, whatever stood there; returns its SHA-256."""
        (digest,) = self.replace_all({key: staged})
        return digest

    def replace_all(self, staged: Mapping[str, Path], *, in_order: bool = True) -> list[str]:
        """`replace` many files (key → staged file).

        Args:
            in_order: one after the other, so that a failure leaves the first ones published; else several at once.

        Returns:
            The SHA-256 of each.
        """
        files = [Staged(key, path, sha256(path)) for key, path in staged.items()]
        self._backend.replace_all(files, self._check, in_order=in_order)
        return [file.digest for file in files]

    def write(self, key: str, frame: pl.DataFrame | pl.LazyFrame, about: Mapping[str, Any]) -> str:
        """Replace one Parquet file by `frame`, with `about` in its footer; returns its SHA-256. A plan is streamed."""
        (digest,) = self.write_all([(key, frame, about)])
        return digest

    def write_all(self, files: Iterable[tuple[str, pl.DataFrame | pl.LazyFrame, Mapping[str, Any]]]) -> list[str]:
        """`write` several files (key, rows, about): when all are staged and read back, published in this order."""
        with ExitStack() as stack:
            staged, rows = {}, 0
            for key, frame, about in files:
                staged[key] = stack.enter_context(self.staged())
                self.stage(staged[key], frame, about, key)
                rows += about["rows"] if isinstance(frame, pl.LazyFrame) else frame.height
            check_written(list(staged.values()), rows)
            return self.replace_all(staged)

    def stage(
        self, path: Path, frame: pl.DataFrame | pl.LazyFrame, about: Mapping[str, Any], key: str | None = None
    ) -> None:
        """Write `frame` to a staged path, with `about` in its footer; whoever publishes it calls `check_written`.

        Args:
            key: where it will be published, where that is known: readers refuse it elsewhere.
        """
        footer = footer_of(about, key)
        with self.errors():
            if isinstance(frame, pl.LazyFrame):
                frame.sink_parquet(path, compression=CODEC, metadata=footer, engine="streaming")
            else:
                frame.write_parquet(path, compression=CODEC, metadata=footer)

    def write_bytes(self, key: str, content: bytes) -> str:
        """Replace one small file; returns its SHA-256."""
        with self.staged(Path(key).suffix) as path:
            path.write_bytes(content)
            return self.replace(key, path)

    def locked(self, key: str, what: str, command: str) -> AbstractContextManager[Check]:
        """Hold the lock `key` for `command`; see `Lake.locked`."""
        return self._backend.locked(key, what, Holder.me(command))

    def keeping_staging(self) -> AbstractContextManager[None]:
        """Until the block is left, all files are staged in one folder; see `staging.Staging.kept`."""
        return self._backend.staging.kept()

    def with_checks(self, *checks: Check) -> Self:
        """The same layer, which calls these checks before it publishes anything."""
        mine = copy.copy(self)
        mine._check = all_of(checks)
        return mine

    def remove(self, key: str) -> None:
        """Remove a file, if it exists."""
        self._backend.remove(key)

    def probe(self, name: str) -> "list[Finding]":
        """Test the layer, reported as `name`; see `lake.probe`."""
        from hermes.lake.probe import probe  # noqa: PLC0415 - only the doctor needs it

        return list(probe(name, self._backend))

    @property
    def staging(self) -> Path:
        """The folder that staged files wait in, of all processes of this machine or of all that share the disk."""
        return self._backend.staging.root

    def _explained(self, error: Exception, where: str) -> StoreError:
        from hermes.lake.backends.s3_client import explain  # noqa: PLC0415 - of a folder, errors alone need it

        return explain(error, where, signed=self._backend.signed)

    @contextmanager
    def errors(self, where: str = "") -> Iterator[None]:
        """Turn errors of Polars and the operating system within the block into one line with a cure.

        Args:
            where: the address that it names; without it the layer's own.
        """
        what = where or f"{self.address}: a file there"
        where = where or self.address
        try:
            yield
        except HermesError:
            raise
        except PolarsError as error:
            _pass_interruption_on(error)
            cause = open_cause(error)
            if known := folder.disk_error(error, where):
                raise known from cause
            raise (_damaged(what, error) if _DAMAGE.match(str(error)) else self._explained(error, where)) from cause
        except (ValueError, OverflowError) as error:
            if "out of range" not in str(error):  # what Python says of a year 16051
                raise
            raise StoreError(f"{what} holds an impossible time ({error})", DAMAGE_CURE) from error
        except PanicException as error:  # no Exception of Python's: Polars met bytes that it takes for impossible
            _pass_interruption_on(error)
            raise _damaged(what, error) from error
        except OSError as error:
            if error.errno is None:
                raise self._explained(error, where) from open_cause(error)
            raise folder.explain(error, where) from error


class Lake:
    """The three layers of one lake, and `test` for columns under trial."""

    def __init__(self, bronze: Layer, silver: Layer, gold: Layer, test: Layer) -> None:
        self.bronze = bronze
        self.silver = silver
        self.gold = gold
        self.test = test
        self._held = ""  # the lock under which this lake is used

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The lake at `settings.lake.url`; nothing is created or contacted yet."""
        return cls(*(Layer(_backend(settings.layer_url(layer), settings)) for layer in (*LAYERS, TEST_LAYER)))

    @contextmanager
    def locked(self, dataset: Dataset, command: str) -> Iterator[Self]:
        """Hold the lock of `dataset`, for all layers of this lake, until the block is left.

        Signals need no lock: an execution is created under a name of its own and never replaced.

        Args:
            command: shown to others who meet the lock, like `run`.

        Yields:
            The same lake, which refuses to publish anything once the lock is lost. The lock is re-entrant.

        Raises:
            DatasetLocked: another process holds it. On S3 this takes up to `lease.RENEW_S` seconds, and up to
                `lease.LEASE_S` seconds pass before the lease of one that was killed is taken over.
            LockLost: only by what is published through the lake, where the lease could not be renewed.
        """
        if self._held == dataset.lock_key:
            yield self
            return
        layers = (self.bronze, self.silver, self.gold)
        with ExitStack() as stack:
            for layer in layers:
                stack.enter_context(layer.keeping_staging())
            check = stack.enter_context(self.gold.locked(dataset.lock_key, str(dataset), command))
            mine = copy.copy(self)
            mine._held = dataset.lock_key
            mine.bronze, mine.silver, mine.gold = (each.with_checks(check) for each in layers)
            mine.test = self.test.with_checks(check)
            yield mine

    @contextmanager
    def locked_each(self, datasets: Sequence[Dataset], command: str) -> Iterator[tuple[Self, list[Dataset]]]:
        """Hold the locks of many datasets, for bronze; see `locked`.

        Yields:
            The same lake, and the datasets that were not locked by others.
        """
        with ExitStack() as stack:
            checks: list[Check] = []
            held = []
            stack.enter_context(self.bronze.keeping_staging())
            for dataset in datasets:
                with suppress(DatasetLocked):
                    checks.append(stack.enter_context(self.gold.locked(dataset.lock_key, str(dataset), command)))
                    held.append(dataset)

            mine = copy.copy(self)
            mine.bronze = self.bronze.with_checks(*checks)
            yield mine, held


def _backend(address: str, settings: Settings) -> "folder.Folder | Bucket":
    if not address.startswith("s3://"):
        return folder.Folder(address)
    from hermes.lake.backends.s3 import Bucket  # noqa: PLC0415 - a folder needs no client of S3, which is slow to load

    return Bucket(address, settings.s3)


def _pass_interruption_on(error: BaseException) -> None:
    """Raise KeyboardInterrupt where Polars fails because a signal ends this process."""
    if interruption.told is not None or interruption.is_interruption(error):
        raise KeyboardInterrupt from error


def _check_format(where: str, format: object, known: int) -> None:
    if not re.fullmatch("[0-9]{1,9}", str(format)) or int(str(format)) > known:
        raise NewerLake(
            f"{where} was made by a newer Hermes: format {str(format)[:20]}, and this one knows up to {known}",
            "use the newer Hermes for this lake, see docs/upgrade.md",
        )


def _damaged(what: str, error: BaseException) -> StoreError:
    first = redact(str(error).partition("\n")[0])[:200]
    return StoreError(f"{what} is damaged (Polars: {first})", DAMAGE_CURE)


def footer_of(about: Mapping[str, Any], key: str | None = None) -> dict[str, str]:
    """The footer of a Parquet file: `about`, its hash, the format, and the key if known.

    Parquet itself does not check a footer.
    """
    text = json.dumps(about)
    where = {} if key is None else {_FOOTER_KEY: key}
    return {FOOTER: text, _FOOTER_HASH: _hash(text), _FOOTER_FORMAT: str(FORMAT), **where}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check_written(paths: Sequence[Path], rows: int) -> None:
    """Read the footers of staged Parquet files back: they must hold `rows` rows together.

    Raises:
        StoreError: they do not.
    """
    counted_rows = pl.scan_parquet(list(paths), glob=False).select(pl.len())
    found = counted_rows.collect(engine="in-memory").item()  # asks the footers alone: another engine starts threads
    if found != rows:
        what = paths[0] if len(paths) == 1 else f"{len(paths):,} files in {paths[0].parent}"
        raise StoreError(f"{what}: {counted(found, 'row')} after writing {rows:,}", "check the disk, then run again")


def fingerprint(*parts: Any) -> str:
    """A short name for what something was made from: equal parts, equal name."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
