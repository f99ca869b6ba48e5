"""The client of an S3 store: how it connects, what it reads, and its errors in one line with a cure."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import PermissionDeniedError
from obstore.store import S3Store

from hermes.errors import StoreError
from hermes.lake.backends.tls import authority
from hermes.redaction import redact
from hermes.settings.sections import S3Settings

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

_Answer = TypeVar("_Answer")

CONNECT_S = 5
REQUEST_S = 60
RETRIES = 3
_ATTEMPTS = 3  # at an object that a 403 denies and a listing shows

_KEYS = (
    "s3.access_key and s3.secret_key (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MINIO_ROOT_USER and"
    " MINIO_ROOT_PASSWORD)"
)
_ENDPOINT = "s3.endpoint (AWS_ENDPOINT_URL)"
_CA_FILE = "s3.ca_file (AWS_CA_BUNDLE)"
#: What the text of an error has in it, what that means, and the cure. The first that is found counts.
_CAUSES = (
    (
        r"RequestTimeTooSkewed",
        "{store} has a clock that differs from this machine's by more than S3 allows",
        "set this machine's clock (`timedatectl`, chrony)",
    ),
    (
        r"ExpiredToken|TokenRefreshRequired|InvalidToken|InvalidClientTokenId",
        "{store} refuses the session token of these keys",
        "get new temporary keys: s3.access_key, s3.secret_key and s3.session_token (AWS_SESSION_TOKEN)",
    ),
    (
        r"InvalidAccessKeyId",
        "{store} refuses these keys: it does not know the access key",
        f"check {_KEYS}; `hermes config` shows where they come from",
    ),
    (
        r"SignatureDoesNotMatch",
        "{store} refuses these keys: the secret key is another one",
        f"check {_KEYS}; `hermes config` shows where they come from",
    ),
    (
        r"BadDigest|XAmzContent\w+Mismatch",
        "what arrived at {store} is not what was sent",
        "run again, and check the network on the way (https would notice)",
    ),
    (
        r"non-partial response",
        "{store} does not answer with the part of an object that was asked for, as rclone's does not",
        "keep large tables, and those of other tools, on another store; `hermes doctor` tries one out",
    ),
    (
        r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|incorrectly configured region",
        "{store} says that the bucket is in another region",
        "set s3.region (AWS_REGION) to the bucket's own",
    ),
    (
        r"NoSuchBucket",
        "{store} has no such bucket",
        f"check lake.url and {_ENDPOINT}, or let `hermes run` create it",
    ),
    (
        r"UnknownIssuer|UnableToGetIssuer|self.signed certificate|unable to get local issuer",
        "the certificate of {store} is signed by an authority that this machine does not know (UnknownIssuer)",
        f"name the authority's PEM file with {_CA_FILE}",
    ),
    (
        r"NotValidForName|Hostname mismatch|CERTIFICATE_VERIFY_FAILED.*doesn't match",
        "the certificate of {store} is for another name (NotValidForName)",
        f"write {_ENDPOINT} with a name that the certificate has",
    ),
    (
        r"InvalidCertificate\(\s*(?:Expired|NotValidYet)|certificate.*expired|peer certificate: Expired",
        "the certificate of {store} has expired, or is not valid yet",
        "renew it, and check this machine's clock",
    ),
    (
        r"InvalidContentType|corrupt message|WRONG_VERSION_NUMBER|record layer failure",
        "{store} does not speak TLS",
        f"write {_ENDPOINT} with http://",
    ),
    (
        r"HTTP request (?:was sent )?to an? HTTPS|sent to HTTPS port",
        "{store} speaks TLS only",
        f"write {_ENDPOINT} with https://",
    ),
    (
        r"[Cc]onnection ?[Rr]efused",
        "{store} cannot be reached: connection refused",
        f"start it, or check {_ENDPOINT}",
    ),
    (
        r"dns error|[Nn]ame or service not known|failed to lookup address|nodename nor servname",
        "{store} cannot be reached: its host name is unknown",
        f"check {_ENDPOINT}",
    ),
    (
        r"(?s)invalid list response|is no answer of S3|Unable to extract metadata|neither what was put nor what was"
        r" there|(?:list request.*404 Not Found|405 Method Not Allowed|501 Not Implemented)(?!.*<Code>)",
        "{store} does not answer as S3 does",
        f"check {_ENDPOINT}: another service, a proxy or a login page may answer there",
    ),
    (
        r"Object at location \S+ not found",
        "{store} has no object any more that it listed a moment ago",
        "run again; something else may be removing objects there",
    ),
    (
        r"IncompleteMessage|ConnectionReset|BrokenPipe|[Cc]onnection reset|closed connection without response",
        "{store} ends the connection without an answer",
        f"check whether {_ENDPOINT} is to begin with http:// or https://, and that the server is well",
    ),
    (
        r"(?s)^(?!.*[Cc]onnect).*(?:kind: Timeout|TimedOut|timed out)",
        "{store} is there, and does not answer in time",
        "check the network on the way and whether the server is busy, then run again",
    ),
    (
        r"error sending request|[Cc]onnect|operation timed out|TimedOut|timed out|kind: Timeout",
        "{store} cannot be reached",
        f"check {_ENDPOINT} and that the server is running",
    ),
    (r"\b5\d\d [A-Z]|SlowDown", "{store} answers with errors of its own", "try again later"),
)
_DENIED = r"AccessDenied|403 Forbidden|401 Unauthorized|Unauthorized|InvalidSecurity"
#: Codes of a 403 that is about the keys, not about what they may do.
_OF_THE_KEYS = re.compile("InvalidAccessKeyId|SignatureDoesNotMatch|RequestTimeTooSkewed|Token")


def connect(
    bucket: str, s3: S3Settings, *, anonymous: bool = False, timeout_s: float = REQUEST_S, whole: bool = True
) -> S3Store:
    """A client for `bucket`. Deadlines are always set.

    Args:
        bucket: its name.
        s3: how it is reached; without keys requests are not signed.
        anonymous: requests are not signed, whatever keys there are.
        timeout_s: of a request, and of repeating it.
        whole: the deadline is that of the whole answer; else of each of its parts, for whoever looks after the whole.
    """
    config: S3Config = {
        "region": s3.region,
        "virtual_hosted_style_request": not s3.path_style,
        "checksum_algorithm": "sha256",  # the store refuses what was changed or cut off on its way there
    }
    if s3.endpoint:
        config["endpoint"] = s3.endpoint
    if s3.access_key and s3.secret_key and not anonymous:
        config["access_key_id"] = s3.access_key.get_secret_value()
        config["secret_access_key"] = s3.secret_key.get_secret_value()
        if s3.session_token:
            config["session_token"] = s3.session_token.get_secret_value()
    else:
        config["skip_signature"] = True
    options: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "timeout": timedelta(seconds=timeout_s) if whole else timedelta(days=1),
        "read_timeout": timedelta(seconds=timeout_s),
    }
    if s3.ca_file:
        options["root_certificate"] = authority(s3)
    retries: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=timeout_s)}
    return S3Store(bucket, config=config, client_options=options, retry_config=retries)


def scan_options(s3: S3Settings) -> dict[str, str | int]:
    """The same connection in the words of Polars' `storage_options`; it is told of `ca_file` by `trust`."""
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
    keys = {f"aws_{name.replace('-', '_')}": value for name, value in s3.credentials()}
    return options | (keys or {"aws_skip_signature": "true"})


def get(store: "ObjectStore", key: str) -> "GetResult":
    """An object; raises FileNotFoundError where there is none, also where a 403 says so."""
    return _of_object(obstore.get, store, key)


def head(store: "ObjectStore", key: str) -> "ObjectMeta":
    """What is known of an object; raises FileNotFoundError as `get` does."""
    return _of_object(obstore.head, store, key)


def _of_object(request: Callable[["ObjectStore", str], _Answer], store: "ObjectStore", key: str) -> _Answer:
    """The answer to a request for one object, where a 403 is told from an object that is not there.

    Where the listing has an object that a 403 denied, it may have been written between the two, as others' locks are:
    only a 403 that comes again is a matter of permissions.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return request(store, key)
        except PermissionDeniedError as denied:
            if _absent(store, key, denied):
                raise FileNotFoundError(key) from None
    return request(store, key)


def _absent(store: "ObjectStore", key: str, denied: Exception) -> bool:
    """Whether a 403 means that there is no such object.

    Keys that may list only below a prefix are answered so on AWS and elsewhere; a listing of the object's folder, which
    they may have, tells. Where that one fails for another reason, its own error is the news.
    """
    if _OF_THE_KEYS.search(str(denied)):
        return False
    try:
        found = obstore.list_with_delimiter(store, key.rpartition("/")[0] or None)
    except PermissionDeniedError:
        return False
    return all(entry["path"] != key for entry in found["objects"])


def explain(error: Exception, address: str, *, signed: bool = True) -> StoreError:
    """An error of the client as one line: which address, what is wrong, the cure. Never a key or a signed URL.

    Args:
        error: of obstore, Polars or the standard library.
        address: of the layer or object.
        signed: whether requests carry a signature.
    """
    text = str(error)
    asked = re.search(r"\w+ (https?://[^/\s?]+)", text)
    store = f"the store at {asked[1]}" if asked else "the store"
    for pattern, cause, cure in _CAUSES:
        if re.search(pattern, text):
            return StoreError(f"{address}: {cause.format(store=store)}", cure)
    if re.search(_DENIED, text):
        if not signed:
            return StoreError(f"{address}: {store} requires keys, and none are set", f"set {_KEYS}")
        return StoreError(
            f"{address}: {store} does not allow these keys to do this",
            f"allow them to list, get, put and delete there, or check {_KEYS}",
        )
    first = redact(text.partition("\n")[0])[:200]
    return StoreError(f"{address}: {type(error).__name__}: {first}", "run again with -v for more")
