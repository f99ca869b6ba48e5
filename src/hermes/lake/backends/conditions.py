"""Which conditional requests a store honours, tested with an object of its own.

The same PUT that AWS, MinIO and SeaweedFS refuse overwrites the object on a store that ignores its condition, and
Ceph's gateway refuses an etag in quotes that it takes without. Nothing in an answer tells these stores apart; trying
does.
"""

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, NotSupportedError, PreconditionError

from hermes.lake.backends.s3_client import get, head

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import S3Store

    Mode = Literal["create", "overwrite"] | UpdateVersion

REFUSED = (AlreadyExistsError, PreconditionError)  # what a condition that does not hold is answered with


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that a store honours.

    Attributes:
        create_only: PUT with `If-None-Match: *` is refused where the name is taken.
        if_match: how an etag is written in `If-Match`: as HTTP says (`quoted`), or without quotes (`bare`). None where
            the store ignores or refuses the header.
    """

    create_only: bool
    if_match: Literal["quoted", "bare"] | None

    @property
    def complete(self) -> bool:
        """Whether objects can be created and replaced without ever overwriting another process's write."""
        return self.create_only and self.if_match is not None

    def matching(self, tag: str) -> "UpdateVersion":
        """The mode of a PUT that replaces the version `tag` only."""
        return {"e_tag": _written(tag, self.if_match or "quoted")}

    def __str__(self) -> str:
        if self.create_only and self.if_match:
            return "If-None-Match and If-Match are honoured" + (", etags without quotes" * (self.if_match == "bare"))
        missing = [
            name for name, there in (("If-None-Match", self.create_only), ("If-Match", self.if_match)) if not there
        ]
        return f"{' and '.join(missing)} not honoured"


def bare(tag: str | None) -> str:
    """An etag without its quotes: some stores quote it in one answer and not in another."""
    return (tag or "").removeprefix("W/").strip('"')


def _written(tag: str, form: Literal["quoted", "bare"]) -> str:
    return f'"{bare(tag)}"' if form == "quoted" else bare(tag)


def try_conditions(store: "S3Store", prefix: str) -> Conditions:
    """Try out a store with one object below `prefix`, which is removed again. Costs about ten requests.

    Raises:
        BaseError, OSError: the store's own; FileNotFoundError where the bucket is missing.
    """
    key = f"{prefix}{uuid.uuid4().hex}.probe"
    try:
        return Conditions(_honours_create_only(store, key), _if_match(store, key))
    finally:
        with suppress(BaseError, OSError):
            obstore.delete(store, key)


def _honours_create_only(store: "S3Store", key: str) -> bool:
    if not _done(store, key, b"first", None, "create"):
        return False
    return not _done(store, key, b"second", b"first", "create")


def _if_match(store: "S3Store", key: str) -> Literal["quoted", "bare"] | None:
    forms: tuple[Literal["quoted", "bare"], ...] = ("quoted", "bare")
    for form in forms:
        before, after = f"before {form}".encode(), f"after {form}".encode()
        obstore.put(store, key, before)
        tag = head(store, key)["e_tag"]
        if tag and _done(store, key, after, before, {"e_tag": _written(tag, form)}):
            stale = _done(store, key, b"stale", after, {"e_tag": _written(tag, form)})
            return None if stale else form
    return None


def _done(store: "S3Store", key: str, content: bytes, before: bytes | None, mode: "Mode") -> bool:
    """Whether a conditional PUT was carried out: the content tells, also where the answer was lost.

    Args:
        store: where.
        key: of the object.
        content: what is put.
        before: what is there until then.
        mode: the condition.
    """
    try:
        obstore.put(store, key, content, mode=mode)
    except (NotSupportedError, *REFUSED):
        pass
    except BaseError as error:
        if not re.search("501 Not Implemented|<Code>NotImplemented</Code>|400 Bad Request", str(error)):
            raise
    found = _content(store, key)
    if found not in (content, before):  # a bit flipped on its way must not become a verdict
        raise GenericError(f"{key} is neither what was put nor what was there before")
    return found == content


def _content(store: "S3Store", key: str) -> bytes | None:
    try:
        return bytes(get(store, key).bytes())
    except FileNotFoundError:
        return None


class Known:
    """A cache of the conditions of each store, which are tested once per process."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._known: dict[tuple[str, str], Conditions] = {}

    def of(self, endpoint: str, bucket: str, found: Callable[[], Conditions], *, again: bool = False) -> Conditions:
        """The conditions of a bucket, which `found` finds out the first time, or `again`."""
        with self._mutex:
            name = (endpoint, bucket)
            if again or name not in self._known:
                self._known[name] = found()
            return self._known[name]
