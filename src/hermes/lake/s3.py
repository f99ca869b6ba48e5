"""One S3 bucket as a backend of the lake: connect, list, read, and commit with one PUT."""

import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from hermes.errors import AlreadyPublished, StoreError
from hermes.lake.files import LakeFile
from hermes.settings import S3Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

CONNECT_S = 5
REQUEST_S = 60
RETRIES = 3
# The slowest upload that is still waited for; a PUT of n bytes may take REQUEST_S + n / this.
UPLOAD_BYTES_PER_S = 2_000_000
MULTIPART_BYTES = 5 * 1024**3  # S3 refuses a single PUT above 5 GiB
HASH_ATTRIBUTE = "sha256"

_CAUSES = (
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|403 Forbidden|401 Unauthorized",
        "the store refuses these keys",
        "check s3.access_key and s3.secret_key (`hermes config` shows where they come from)",
    ),
    (r"NoSuchBucket", "there is no such bucket", "check lake.url, or let `hermes ingest` create it"),
    (
        r"error sending request|[Cc]onnect|dns error|operation timed out|TimedOut",
        "the store cannot be reached",
        "check s3.endpoint and that the server is running",
    ),
    (r"\b5\d\d [A-Z]|SlowDown", "the store answers with errors of its own", "try again later"),
)


def connect(bucket: str, s3: S3Settings, *, anonymous: bool = False, timeout_s: float = REQUEST_S) -> S3Store:
    """A client for `bucket`. Without keys, or `anonymous`, requests are not signed. Deadlines are always set."""
    config: S3Config = {"region": s3.region, "virtual_hosted_style_request": not s3.path_style}
    if s3.endpoint:
        config["endpoint"] = s3.endpoint
    if s3.access_key and s3.secret_key and not anonymous:
        config["access_key_id"] = s3.access_key.get_secret_value()
        config["secret_access_key"] = s3.secret_key.get_secret_value()
    else:
        config["skip_signature"] = True
    options: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "timeout": timedelta(seconds=timeout_s),
    }
    retries: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=timeout_s)}
    return S3Store(bucket, config=config, client_options=options, retry_config=retries)


def scan_options(s3: S3Settings) -> dict[str, str | int]:
    """The same connection in the words of Polars' `storage_options`."""
    options: dict[str, str | int] = {
        "aws_region": s3.region,
        "aws_virtual_hosted_style_request": str(not s3.path_style).lower(),
        "aws_allow_http": "true",
        "connect_timeout": f"{CONNECT_S}s",
        "timeout": f"{REQUEST_S}s",
        "max_retries": RETRIES,
        "retry_timeout_ms": REQUEST_S * 1000,
    }
    if s3.endpoint:
        options["aws_endpoint_url"] = s3.endpoint
    if s3.access_key and s3.secret_key:
        options["aws_access_key_id"] = s3.access_key.get_secret_value()
        options["aws_secret_access_key"] = s3.secret_key.get_secret_value()
    else:
        options["aws_skip_signature"] = "true"
    return options


def explain(error: Exception, address: str) -> StoreError:
    """An error of the client as one line: which address, what is wrong, the cure. Never a key or a signed URL."""
    text = str(error)
    for pattern, cause, cure in _CAUSES:
        if re.search(pattern, text):
            return StoreError(f"{address}: {cause}", cure)
    first = text.partition("\n")[0][:200]
    return StoreError(f"{address}: {type(error).__name__}: {first}", "run again with -v for more")


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
        self._store = connect(bucket, s3)

    def list(self, prefix: str) -> list[LakeFile]:
        """Every object below the folder `prefix`, in the order of the keys."""
        found = []
        try:
            for page in obstore.list(self._store, self._prefix + prefix):
                for entry in page:
                    key = entry["path"].removeprefix(self._prefix)
                    version = entry["e_tag"] or entry["last_modified"].isoformat()
                    found.append(LakeFile(key, entry["size"], version, self.locate(key)))
        except (BaseError, OSError) as error:
            if "NoSuchBucket" in str(error):
                return []
            raise explain(error, self.address) from error
        return sorted(found, key=lambda file: file.key)

    def locate(self, key: str) -> str:
        """What Polars scans."""
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def read(self, key: str) -> bytes:
        """The whole object.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            return bytes(obstore.get(self._store, self._prefix + key).bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.address}/{key}") from None
        except (BaseError, OSError) as error:
            raise explain(error, self.address) from error

    def recorded_hashes(self, key: str) -> set[str]:
        """SHA-256 that was put on record when the object was published; empty where nothing is on record."""
        try:
            attributes = obstore.get(self._store, self._prefix + key).attributes
        except FileNotFoundError:
            return set()
        except (BaseError, OSError) as error:
            raise explain(error, self.address) from error
        return {value for name, value in attributes.items() if name == HASH_ATTRIBUTE}

    @contextmanager
    def staged(self, suffix: str) -> Iterator[Path]:
        """A local file to write to; gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="hermes-") as folder:
            yield Path(folder) / f"staged{suffix}"

    def create(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under a name that nobody has yet, with one create-only PUT.

        Where the answer to the PUT was lost, a repetition meets our own object: its hash tells that it was us.

        Raises:
            AlreadyPublished: the name is somebody else's.
        """
        try:
            self._put(key, staged, digest, create=True)
        except AlreadyPublished:
            if digest not in self.recorded_hashes(key):
                raise
        except StoreError:
            if digest not in self.recorded_hashes(key):
                raise

    def replace(self, key: str, staged: Path, digest: str) -> None:
        """Publish `staged` under `key`, whole, whatever stood there."""
        self._put(key, staged, digest, create=False)

    def _put(self, key: str, staged: Path, digest: str, *, create: bool) -> None:
        size = staged.stat().st_size
        store = connect(self._bucket, self._s3, timeout_s=REQUEST_S + size / UPLOAD_BYTES_PER_S)

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
            try:
                put()
            except (BaseError, OSError) as error:
                if "NoSuchBucket" not in str(error):
                    raise
                self._create_bucket()
                put()
        except AlreadyExistsError:
            raise AlreadyPublished(f"{self.address}/{key} is there already", "run again") from None
        except (BaseError, OSError) as error:
            raise explain(error, self.address) from error

    def _create_bucket(self) -> None:
        # obstore cannot make buckets, but it signs: S3 makes one on a PUT of its bare name.
        url = obstore.sign(self._store, "PUT", "", timedelta(minutes=1))
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=REQUEST_S).close()
        except urllib.error.HTTPError as error:
            if error.code != 409:  # somebody made it at the same moment
                raise StoreError(
                    f"bucket {self._bucket} is not there and cannot be created (HTTP {error.code})",
                    "create it, or give keys that may",
                ) from None
        except OSError as error:
            raise explain(error, self.address) from None
