"""One S3 bucket as a backend of the lake: connect, list, read, and commit with one PUT.

Longer than 300 lines, because it is one whole backend, as `folder` is the other; listings, leases, conditions and
clients are modules of their own.
"""

import hashlib
import os
import re
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from xml.sax.saxutils import escape

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError

from hermes.errors import AlreadyPublished, DatasetLocked, StoreError
from hermes.lake.backends import folder
from hermes.lake.backends.conditions import Conditions, Known, bare, try_conditions
from hermes.lake.backends.lease import REQUEST_S as LEASE_REQUEST_S
from hermes.lake.backends.lease import lease, rehearse
from hermes.lake.backends.listing import Listing
from hermes.lake.backends.lock import Check, Holder
from hermes.lake.backends.s3_client import REQUEST_S, connect, explain, get, head, scan_options
from hermes.lake.backends.staging import Staging
from hermes.lake.backends.tls import tls_context, trust
from hermes.lake.backends.whole_reads import Checked
from hermes.lake.files import LakeFile, Staged
from hermes.redaction import open_cause
from hermes.settings.sections import S3Settings

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import S3Store

Answer = TypeVar("Answer")

# The slowest upload that is still waited for; a PUT of n bytes may take REQUEST_S + n / this.
UPLOAD_BYTES_PER_S = 2_000_000
MULTIPART_BYTES = 5 * 1024**3  # S3 refuses a single PUT above 5 GiB
HASH_ATTRIBUTE = "sha256"

_LOCATION = (
    '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
)
CREATE_S = 60.0  # how long others who create a name in the same folder are waited for, where the store needs that
CREATED_S = 10.0  # how long a bucket that was just created may stay unknown to the store
_PROBES = "_locks/_probes"  # below the prefix, where no table is: objects that are gone again at once
_NAMES = "_locks/_names"
_CONDITIONS = Known()
_WRITERS = 8  # objects written at once: each waits for the store most of the time
_ANSWERS = 4  # how often a listing is asked for at most, until two agree
READ_BYTES = 4 * 1024**2  # read at once while hashing
LOCATION_FREE = "us-east-1"  # the one region that a new bucket must not name


def bucket_missing(error: Exception) -> bool:
    """Whether an answer to a listing says that the bucket is missing: of a key it never says 404.

    A 404 without a code of S3's comes from something else that listens there, and says nothing of any bucket.
    """
    text = str(error)
    return "NoSuchBucket" in text or ("404 Not Found" in text and "<Code>" in text)


def write_found_no_bucket(error: Exception) -> bool:
    """Whether an answer to a PUT says that the bucket is missing: one without If-Match is never told 404 of a key.

    obstore takes the 404 for that of a key: a FileNotFoundError, without a number as the system's own ones have it.
    """
    return (isinstance(error, FileNotFoundError) and error.errno is None) or "NoSuchBucket" in str(error)


def _recorded(found: "GetResult") -> str | None:
    """The SHA-256 that was put on record with an object."""
    return found.attributes.get(HASH_ATTRIBUTE) or None


class Bucket:
    """Keys under `prefix` of one bucket."""

    def __init__(self, address: str, s3: S3Settings) -> None:
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise StoreError(f"{address}: {bucket!r} is not a bucket name", "write lake.url like s3://{layer}")
        self.address = address.rstrip("/")
        self.scan_options: dict[str, Any] | None = scan_options(s3)
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._s3 = s3
        trust(s3)
        self._store = self._client()
        self._listing = Listing(self._store, bucket, s3)
        self._plain = (s3.endpoint or "").startswith("http://")
        self._checked = Checked(self._whole)
        # Files wait on this machine's disk until one PUT carries them over.
        self.staging = Staging(Path(tempfile.gettempdir()) / f"hermes-{os.getuid()}")

    def _client(self, size: int = 0, *, whole: bool = True) -> "S3Store":
        """A client whose deadline suffices for `size` bytes; or is that of each part of an answer, not of the whole."""
        return connect(self._bucket, self._s3, timeout_s=REQUEST_S + size / UPLOAD_BYTES_PER_S, whole=whole)

    def list(self, prefix: str) -> list[LakeFile]:
        """Every object below the folder `prefix`, in the order of the keys.

        Over plain http a changed bit could hide a file or name one that is not there. So two answers in a row must
        agree; where none do, as while others write, an object counts that two answers name alike.
        """
        answers = [self._listed(prefix)]
        while self._plain and len(answers) < _ANSWERS:
            answers.append(self._listed(prefix))
            if answers[-1] == answers[-2]:
                return [*answers[-1]]
        times = Counter(file for answer in answers for file in answer)
        found = {file.key: file for answer in answers for file in answer if times[file] > 1 or len(answers) == 1}
        return sorted(found.values(), key=lambda file: file.key)

    def _listed(self, prefix: str) -> Sequence[LakeFile]:
        found = []
        try:
            for entry in self._listing.below(self._prefix + prefix):
                key = entry["path"].removeprefix(self._prefix)
                version = bare(entry["e_tag"]) or entry["last_modified"].isoformat()
                found.append(LakeFile(key, entry["size"], version, self.locate(key)))
        except (BaseError, OSError) as error:
            if bucket_missing(error):
                return []
            raise self._explained(error, self.address) from open_cause(error)
        return sorted(found, key=lambda file: file.key)

    def exists(self) -> bool:
        """Whether the bucket is there."""
        try:
            self._listing.list_with_delimiter(self._prefix)
        except (BaseError, OSError) as error:
            if bucket_missing(error):
                return False
            raise self._explained(error, self.address) from open_cause(error)
        return True

    def _explained(self, error: Exception, address: str) -> StoreError:
        return explain(error, address, signed=self.signed)

    @property
    def signed(self) -> bool:
        """Whether requests carry a signature."""
        return bool(self._s3.access_key)

    def modified(self, key: str) -> datetime:
        """When an object was last written, by the store's clock (UTC, whole seconds)."""
        try:
            return head(self._store, self._prefix + key)["last_modified"]
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)

    def locate(self, key: str) -> str:
        """What Polars scans."""
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def read(self, key: str) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            return self._whole(key)[0]
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.address}/{key}") from None
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)

    def _whole(self, key: str) -> tuple[bytes, bool, str | None]:
        """Bytes of a small object, whether it has a hash on record (which they have then), and its etag."""
        for _ in range(2):
            found = get(self._store, self._prefix + key)
            data, recorded = bytes(found.bytes()), _recorded(found)
            if recorded in (None, hashlib.sha256(data).hexdigest()):
                return data, recorded is not None, bare(found.meta["e_tag"])
        raise StoreError(
            f"{self.address}/{key} is not what was published, read twice",
            "`hermes audit --bytes` tells whether it was damaged there or in transit",
        )

    def sources(self, files: Sequence[LakeFile]) -> Sequence[str] | Sequence[bytes]:
        """What Polars reads: where the files are or, over plain http, the bytes of a small table, see `checked`."""
        try:
            checked = self._checked.read(files) if self._plain else None
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)
        return checked or [file.location for file in files]

    def recorded_hashes(self, key: str) -> set[str]:
        """SHA-256 that was put on record when the object was published; empty where nothing is on record."""
        try:
            found = get(self._store, self._prefix + key)
        except FileNotFoundError:
            return set()
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)
        return {recorded} if (recorded := _recorded(found)) else set()

    def recorded_hash(self, file: LakeFile) -> str | None:
        """The SHA-256 on record for this very version of an object; None where another tool wrote it."""
        try:
            found = get(self._store, self._prefix + file.key)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)
        return _recorded(found) if bare(found.meta["e_tag"]) == file.version else None

    def hashed(self, file: LakeFile) -> tuple[str, set[str]]:
        """SHA-256 of the bytes as they are now, and the one on record, both from one answer.

        Raises:
            FileNotFoundError: there is no such object.
        """
        digest = hashlib.sha256()
        try:
            found = get(self._client(whole=False), self._prefix + file.key)
            for piece in found.stream(min_chunk_size=READ_BYTES):
                digest.update(piece)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.address}/{file.key}") from None
        except (BaseError, OSError) as error:
            raise self._explained(error, f"{self.address}/{file.key}") from open_cause(error)
        return digest.hexdigest(), {recorded} if (recorded := _recorded(found)) else set()

    def lost(self, prefix: str, present: set[str]) -> Sequence[str]:
        """Nothing: here a hash goes with its object, so none is left to tell of one."""
        return []

    @contextmanager
    def staged(self, suffix: str) -> Iterator[Path]:
        """A local file to write to; gone afterwards."""
        root = self.staging.root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if root.lstat().st_uid != os.getuid():
                raise StoreError(f"{root} belongs to another user", "set TMPDIR to a folder of your own")
            with self.staging.file(suffix) as path:
                yield path
        except OSError as error:
            if error.errno is None:
                raise
            raise folder.explain(error, str(root)) from error

    def create(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under a name that nobody has yet, with one create-only PUT.

        Where the answer to the PUT was lost, a repetition meets our own object: its hash tells that it was us.

        Raises:
            AlreadyPublished: the name is taken.
            StoreError: the file is larger than one PUT may be, and several parts cannot be create-only.
        """
        size = staged.stat().st_size
        if size > MULTIPART_BYTES:
            raise StoreError(
                f"{self.address}/{key} would be {size:,} bytes, and one create-only PUT carries {MULTIPART_BYTES:,}",
                "make it of fewer rows with --start and --end",
            )
        try:
            if self.conditions().create_only:
                self._put(key, staged, digest, create=True)
            else:
                self._create_alone(key, staged, digest)
        except AlreadyPublished:
            if digest not in self.recorded_hashes(key):
                raise
        except StoreError:
            if digest not in self.recorded_hashes(key):
                raise

    def _create_alone(self, key: str, staged: Path, digest: str) -> None:
        """`create` where the store would overwrite: under a lock that all who create in the same folder take."""
        folder_key = key.rpartition("/")[0]
        give_up = time.monotonic() + CREATE_S
        with ExitStack() as stack:
            while True:
                try:
                    check = stack.enter_context(
                        self.locked(f"{_NAMES}/{folder_key}.lock", f"the name {key}", Holder.me("create"))
                    )
                    break
                except DatasetLocked:
                    if time.monotonic() > give_up:
                        raise
            if self._there(key):
                raise AlreadyPublished(f"{self.address}/{key} is there already", "run again")
            check()
            self._put(key, staged, digest, create=False)

    def _there(self, key: str) -> bool:
        try:
            head(self._store, self._prefix + key)
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise self._explained(error, f"{self.address}/{key}") from open_cause(error)
        return True

    def replace(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under `key` atomically, replacing any object there."""
        self._put(key, staged, digest, create=False)

    def replace_all(self, files: Sequence[Staged], check: Check, *, in_order: bool) -> None:
        """`replace` several files, one after the other or several at once; `check` is asked before each."""

        def publish(file: Staged) -> None:
            check()
            self.replace(*file)

        with ThreadPoolExecutor(_WRITERS) as pool:
            for _ in (map if in_order else pool.map)(publish, files):
                pass

    def conditions(self, *, again: bool = False) -> Conditions:
        """What the store honours; tried out once by a process, or `again`. Creates the bucket where it is missing."""

        def found() -> Conditions:
            return self._in_bucket(lambda: try_conditions(self._store, f"{self._prefix}{_PROBES}/"))

        try:
            return _CONDITIONS.of(self._s3.endpoint or "", self._bucket, found, again=again)
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)

    @contextmanager
    def locked(self, key: str, what: str, me: Holder) -> Iterator[Check]:
        """Hold a lease in this bucket; see `lease`."""
        store = connect(self._bucket, self._s3, timeout_s=LEASE_REQUEST_S)
        conditions = self.conditions()
        with ExitStack() as stack:
            try:
                check = self._in_bucket(
                    lambda: stack.enter_context(lease(store, self._prefix + key, what, me, conditions))
                )
            except (BaseError, OSError) as error:
                raise self._explained(error, self.address) from open_cause(error)
            yield check

    def part(self, key: str, start: int, end: int) -> bytes:
        """The bytes `start` to `end` (exclusive) of an object, as Polars reads columns of a table."""
        try:
            return bytes(obstore.get_range(self._store, self._prefix + key, start=start, end=end))
        except (BaseError, OSError) as error:
            raise self._explained(error, f"{self.address}/{key}") from open_cause(error)

    def rehearse_lock(self, key: str) -> None:
        """Try out locks in this bucket; see `lease.rehearse`."""
        try:
            rehearse(self._store, self._prefix + key, Holder.me("doctor"), self.conditions())
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)

    def remove(self, key: str) -> None:
        """Remove an object with its hash, if it exists."""
        try:
            obstore.delete(self._store, self._prefix + key)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise self._explained(error, f"{self.address}/{key}") from open_cause(error)

    def _put(self, key: str, staged: Path, digest: str, *, create: bool) -> None:
        size = staged.stat().st_size
        store = self._client(size)

        def put() -> None:
            obstore.put(
                store,
                self._prefix + key,
                staged,
                attributes={HASH_ATTRIBUTE: digest},
                mode="create" if create else "overwrite",
                use_multipart=size > MULTIPART_BYTES,
            )

        try:
            self._in_bucket(put)
        except AlreadyExistsError:
            raise AlreadyPublished(f"{self.address}/{key} is there already", "run again") from None
        except (BaseError, OSError) as error:
            raise self._explained(error, self.address) from open_cause(error)

    def _in_bucket(self, write: Callable[[], Answer]) -> Answer:
        """Do `write`, which puts something into the bucket; where that is missing, it is created first."""
        try:
            return write()
        except (BaseError, OSError) as error:
            if not write_found_no_bucket(error):
                raise
        self._create_bucket()
        give_up = time.monotonic() + CREATED_S
        while True:
            try:
                return write()
            except (BaseError, OSError) as error:
                if not write_found_no_bucket(error):
                    raise
                if time.monotonic() > give_up:
                    raise StoreError(
                        f"bucket {self._bucket} was created, and {CREATED_S:.0f} s later the store still says that it"
                        " is missing",
                        "create it with the store's own tools, and check s3.endpoint and s3.region",
                    ) from open_cause(error)
            time.sleep(CREATED_S / 20)

    def _create_bucket(self) -> None:
        # obstore cannot make buckets, but it signs: S3 makes one on a PUT of its bare name.
        url = obstore.sign(self._store, "PUT", "", timedelta(minutes=1))
        region = self._s3.region
        body = None if region == LOCATION_FREE else _LOCATION.format(region=escape(region)).encode()
        try:
            request = urllib.request.Request(url, data=body, method="PUT")
            urllib.request.urlopen(request, timeout=REQUEST_S, context=tls_context(self._s3)).close()
        except urllib.error.HTTPError as error:
            if error.code == 409:  # somebody made it at the same moment
                return
            code = re.search(rb"<Code>(\w+)</Code>", error.read(4096))
            if code is None and error.code in (404, 405, 501):
                asked = GenericError(f"Error performing PUT {url}: HTTP {error.code} is no answer of S3")
                raise self._explained(asked, self.address) from None
            why = f" {code[1].decode()}" if code else ""
            raise StoreError(
                f"bucket {self._bucket} is missing and cannot be created (HTTP {error.code}{why})",
                "create it, or give keys that may",
            ) from None
        except OSError as error:
            raise self._explained(error, self.address) from None
