"""Tests of one layer with objects of its own: whether the store has what Hermes needs.

A probe leaves nothing behind: its objects and new folders are removed.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hermes.errors import AlreadyPublished, HermesError
from hermes.lake.backends.folder import NEEDS_LINKS, Folder
from hermes.lake.backends.hash_records import sync
from hermes.lake.backends.s3 import Bucket
from hermes.lake.backends.staging import leftovers, of_somebody_else
from hermes.lake.files import LakeFile, sha256
from hermes.text import counted

RACERS = 4  # creators of one name at once
CLOCK_LIMIT_S = 300.0  # S3 refuses what is signed 15 minutes off; executions are named by the clock
FREE_BYTES = 1_000_000_000

Backend = Folder | Bucket


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one layer: `found` says what was seen, `cure` what to do if it is not `ok`."""

    layer: str
    check: str
    ok: bool
    found: str
    cure: str = ""


class _Fault(Exception):
    """A problem that a check found, and its cure."""

    def __init__(self, found: str, cure: str) -> None:
        super().__init__(found, cure)
        self.found = found
        self.cure = cure


def probe(name: str, backend: Backend) -> Iterator[Finding]:
    """Test one layer. If it cannot be reached or written to, the checks that need it are skipped."""

    def check(title: str, work: Callable[[], str]) -> Finding:
        try:
            return Finding(name, title, True, work())
        except _Fault as fault:
            return Finding(name, title, False, fault.found, fault.cure)
        except HermesError as error:
            return Finding(name, title, False, error.message, error.cure)

    reachable = check("reachable", lambda: _reachable(backend))
    yield reachable
    if not reachable.ok:
        return
    yield check("free space", lambda: _free_space(backend))
    with _key(backend) as key:
        if isinstance(backend, Folder):
            for title, work in _FOLDER_CHECKS.items():
                finding = check(title, lambda work=work: work(backend, key))  # type: ignore[misc]
                yield finding
                if not finding.ok:  # what follows would only say it again
                    return
        if isinstance(backend, Bucket):
            honoured = check("conditions", lambda: _conditions(backend))
            yield honoured
            if not honoured.ok:
                return
        created = check("create-only", lambda: _create_only(backend, key))
        yield created
        if created.ok:
            yield check("hash on record", lambda: _hash_on_record(backend, key))
            replaced = check("replace", lambda: _replace(backend, key))
            yield replaced
            if isinstance(backend, Bucket) and replaced.ok:
                yield check("ranges", lambda: _ranges(backend, key))
            yield check("clock", lambda: _clock(backend, key))
            yield check("delete", lambda: _delete(backend, key))
        if isinstance(backend, Bucket):
            yield check("lock", lambda: _lock(backend, key))


@contextmanager
def _key(backend: Backend) -> Iterator[str]:
    """A name of our own in the layer; nothing is left of it afterwards."""
    key = f"_doctor/{uuid.uuid4().hex}.probe"
    absent = _absent(backend.root) if isinstance(backend, Folder) else []
    try:
        yield key
    finally:
        with suppress(HermesError):
            backend.remove(key)
        for folder in absent:
            with suppress(OSError):
                folder.rmdir()


def _absent(folder: Path) -> list[Path]:
    """The folders that are not there yet, innermost first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def _reachable(backend: Backend) -> str:
    there = backend.exists()
    if isinstance(backend, Folder):
        return f"{backend.address}" if there else f"{backend.address} is not there yet; the first step makes it"
    if not there:
        raise _Fault(f"{backend.address}: there is no such bucket", "create it, or let `hermes run` do it")
    return f"{backend.address}, requests {'signed' if backend.signed else 'not signed: no keys are set'}"


def _free_space(backend: Backend) -> str:
    """Of the layer's disk; of S3 nobody knows, but files wait on this machine's disk until they are uploaded."""
    folder = backend.root if isinstance(backend, Folder) else backend.staging.root
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    said = f"{free / 1e9:,.1f} GB at {there}"
    if free < FREE_BYTES:
        cure = "free some space" if isinstance(backend, Folder) else "free some space, or set TMPDIR to another disk"
        raise _Fault(f"only {said}", cure)
    return said


def _same_disk(folder: Folder, key: str) -> str:
    with folder.staged(".probe") as path:
        path.write_bytes(b"probe")
        (folder.root / key).parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.stat().st_dev != (folder.root / key).parent.stat().st_dev:
                raise _Fault(
                    f"{folder.staging.root} and {folder.address} are on two file systems",
                    "mount the folder above the layers, not a layer by itself",
                )
        finally:
            with suppress(OSError):
                (folder.root / key).parent.rmdir()
    return f"{folder.staging.root}, on the layer's file system"


def _hard_links(folder: Folder, _key: str) -> str:
    with folder.staged(".probe") as path, folder.staged(".link") as link:
        path.write_bytes(b"probe")
        try:
            os.link(path, link)
        except OSError as error:
            raise _Fault(
                f"this file system makes no hard links ({error.strerror})",
                NEEDS_LINKS,
            ) from None
        try:
            os.link(path, link)
        except FileExistsError:
            return "made, and refused where the name is taken"
    raise _Fault("this file system makes a hard link over a file that is there", "keep the lake on another, or on S3")


def _fsync(folder: Folder, _key: str) -> str:
    with folder.staged(".probe") as path:
        path.write_bytes(b"probe")
        try:
            sync(path)
            sync(path.parent)
        except OSError as error:
            raise _Fault(
                f"this file system cannot be told to write to disk ({error.strerror})",
                "keep the lake on a local disk or on S3: after a power cut, files here may be gone",
            ) from None
    return "accepted, for files and for folders"


def _locks(folder: Folder, _key: str) -> str:
    with folder.staged(".probe"):
        try:
            found = leftovers(folder.staging.root)
        except PermissionError as error:
            raise _Fault(*of_somebody_else(error, folder.staging.root)) from None
        except OSError as error:
            raise _Fault(
                f"this file system has no locks ({error.strerror})", "mount it with locks (NFS: without `nolock`)"
            ) from None
    left = f"; {counted(len(found), 'leftover')} of dead runs, which `hermes prune` removes" if found else ""
    return f"held by live runs{left}"


_FOLDER_CHECKS: dict[str, Callable[[Folder, str], str]] = {
    "staging": _same_disk,
    "hard links": _hard_links,
    "fsync": _fsync,
    "locks": _locks,
}


def _conditions(bucket: Bucket) -> str:
    found = bucket.conditions(again=True)
    if found.complete:
        return str(found)
    return f"{found}: what needs them is done under locks of claims, which are listed"


def _lock(bucket: Bucket, key: str) -> str:
    bucket.rehearse_lock(f"{key}.lock")
    return "taken, refused to another one, renewed, and free again"


def _delete(backend: Backend, key: str) -> str:
    backend.remove(key)
    try:
        backend.read(key)
    except FileNotFoundError:
        if not any(file.key == key for file in backend.list("_doctor")):
            return "gone at once, from listings too"
    raise _Fault("what was deleted is still there", "allow these keys to delete; use a store without a cache before it")


def _create_only(backend: Backend, key: str) -> str:
    """Several create one name at once, and one more afterwards: the store must let exactly one through."""
    with ExitStack() as stack:
        paths = [stack.enter_context(backend.staged(".probe")) for _ in range(RACERS + 1)]
        for number, path in enumerate(paths):
            path.write_bytes(b"%d" % number)

        def create(path: Path) -> bool:
            try:
                backend.create(key, path, sha256(path))
            except AlreadyPublished:
                return False
            return True

        with ThreadPoolExecutor(RACERS) as pool:
            winners = [path for path, won in zip(paths, pool.map(create, paths[:-1]), strict=False) if won]
        late = create(paths[-1])
        if len(winners) != 1 or late or backend.read(key) != winners[0].read_bytes():
            raise _Fault(
                f"{len(winners) + late} of {len(paths)} concurrent creations of one name succeeded",
                "use a store that honours If-None-Match, as AWS S3 and MinIO do: here runs overwrite each other",
            )
    return f"{len(paths)} created one name, 1 got it"


def _hash_on_record(backend: Backend, key: str) -> str:
    # Those who raced for the name may have left records of theirs beside it.
    if hashlib.sha256(backend.read(key)).hexdigest() not in backend.recorded_hashes(key):
        raise _Fault(
            "the store did not keep the SHA-256 that was put on record",
            "use a store that keeps user metadata (x-amz-meta-*): without, no lost answer and no flipped bit is found",
        )
    return "kept"


def _listed(backend: Backend, key: str) -> LakeFile:
    for file in backend.list("_doctor"):
        if file.key == key:
            return file
    raise _Fault("what was written is not listed at once", "use a store whose listings are consistent, as AWS S3's are")


def _replace(backend: Backend, key: str) -> str:
    before = _listed(backend, key)
    content = uuid.uuid4().hex.encode()
    with backend.staged(".probe") as path:
        path.write_bytes(content)
        backend.replace(key, path, sha256(path))
    after = _listed(backend, key)
    if backend.read(key) != content or after.size != len(content) or after.version == before.version:
        raise _Fault("what was replaced is not seen at once", "use a store without a cache before it")
    return "seen at once, under a new version"


def _ranges(bucket: Bucket, key: str) -> str:
    whole = bucket.read(key)
    if bucket.part(key, 1, len(whole) - 1) != whole[1:-1]:
        raise _Fault("a part of an object that was asked for is not that part", "use another store")
    return "a part of an object is read"


def _clock(backend: Backend, key: str) -> str:
    earliest = datetime.now(UTC)
    with backend.staged(".probe") as path:
        path.write_bytes(b"clock")
        backend.replace(key, path, sha256(path))
    stamp, latest = backend.modified(key), datetime.now(UTC)
    # S3 tells whole seconds.
    off = min((stamp - earliest).total_seconds() + 1, 0) or max((stamp - latest).total_seconds(), 0)
    if abs(off) > CLOCK_LIMIT_S:
        raise _Fault(
            f"the store's clock is {off:+,.0f} s off this machine's",
            "set both clocks (NTP): S3 refuses signatures 15 minutes off, and executions are named by the clock",
        )
    return f"the same within {max(abs(off), 1):.0f} s"
