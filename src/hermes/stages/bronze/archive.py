"""The exchange's archive in a folder, on S3 or on a web server: list, fetch, verify checksums.

Longer than 300 lines, because folders, S3 and http servers differ in what they can list and say, and callers need not
know which of them it is.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import HTTPStore, LocalStore

from hermes.dataset import Dataset, expanded
from hermes.errors import ArchiveError, ChecksumMismatch, KlinesRefused, NameRefused, UsageError
from hermes.stages.bronze.klines import most_bytes
from hermes.stages.bronze.source import Store, explain, oddity, read_body
from hermes.text import counted

if TYPE_CHECKING:
    from obstore import ListResult, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

FIRST_PERIOD = date(2017, 8, 1)  # nothing in the exchange's archive is older
CHECKSUM_BYTES = 4096  # several times a CHECKSUM file's size
FETCHERS = 8  # files of a server fetched at once
PROBES = 16  # requests at once where files can only be asked for one by one

# An endpoint that swallows packets is given up after two connects: the second starts before the 8 s are over.
_CLIENT: "ClientConfig" = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1 day", "allow_http": True}
_RETRY: "RetryConfig" = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=2), "base": 2},
}
_CHECKSUM = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S+)\s*")


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One zip of the archive.

    Attributes:
        dataset: of the file.
        period: its first day.
        size: bytes, if known.
        version: its etag, else its last change, else empty.
        odd: the problem and its cure, if there is no readable file of this name.
    """

    dataset: Dataset
    period: date
    size: int | None
    version: str
    odd: tuple[str, str] | None = None

    @property
    def stem(self) -> str:
        """Name without its ending, like `BTCUSDT-4h-2025-01`."""
        return self.dataset.archive_stem(self.period)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes of one zip.

    Attributes:
        sha256: of the bytes, lower hex.
        verified: False if the archive has no CHECKSUM.
        at: when it was requested, by this machine's clock (UTC).
        modified: when it was last changed, by the archive (Last-Modified, or the file's time); None if unknown.
    """

    file: ArchiveFile
    data: bytes
    sha256: str
    verified: bool
    at: datetime
    modified: datetime | None

    def about(self, rows: int) -> dict[str, Any]:
        """What the footer of its file in bronze says of it."""
        return {
            "layer": "bronze",
            "source": f"{self.file.stem}.zip",
            "size": self.file.size,
            "version": self.file.version,
            "sha256": self.sha256,
            "verified": self.verified,
            "rows": rows,
        }


class Archive:
    """One archive behind any object store; made by `open_archive`. Safe to share between threads.

    Args:
        store: the store that holds it.
        listable: whether the store can list folders (a plain HTTP server cannot).
        address: for messages, without secrets.
        root: folder of the archive within the store, "" for the store itself.
        folder: its local path; None for a remote archive.
    """

    def __init__(self, store: Store, listable: bool, address: str, root: str = "", folder: Path | None = None) -> None:
        self._store = store
        self._here = folder.resolve() if folder else None
        self._denied = False  # whether a server answered 403 to what it may not have
        self._listable = listable
        self._address = address
        self._root = f"{root}/" if root else ""
        #: how many files to fetch at once: those of a folder wait for nothing but a core
        self.fetchers = (os.cpu_count() or 1) if isinstance(store, LocalStore) else FETCHERS

    def list(self, dataset: Dataset, since: date | None = None, until: date | None = None) -> list[ArchiveFile]:
        """Files of the series whose month or day overlaps [since, until] (inclusive, None is open), oldest first.

        Raises:
            ArchiveError: the symbol, the interval or the span is not in the archive, or it cannot be reached.
        """
        first, last = since or date.min, until or date.max
        if dataset.data_frequency == "monthly":
            first = first.replace(day=1)
        files = self._listed(dataset) if self._listable else self._probed(dataset, first, last)
        taken = sorted((file for file in files if first <= file.period <= last), key=lambda file: file.period)
        if taken:
            return taken
        if self._listable and not files:
            self._refuse_series(dataset)
        if self._listable:
            periods = [dataset.archive_stem(file.period) for file in files]
            cure = f"its files go from {min(periods)} to {max(periods)}"
        else:
            cure = "check the symbol, the interval and the span: this address cannot list what it has"
        if self._denied:
            cure = f"{cure}, and it answers 403 (no permission) to whatever it lacks or keeps to itself"
        span = f"from {since or 'the beginning'} to {until or 'today'}"
        raise ArchiveError(f"{self._address} has no {dataset.data_frequency} file of {dataset} {span}", cure)

    def series(self, like: Dataset) -> Sequence[Dataset]:
        """All series that differ from this one only in the symbol, by symbol.

        Raises:
            ArchiveError: the archive cannot be listed.
        """
        if not self._listable:
            raise ArchiveError(
                f"{self._address} cannot list its symbols, as an http server offers no listing",
                "name them (--symbols-file), or take a folder or an s3:// address",
            )
        symbols = self._names(like.archive_folder.rsplit("/", 2)[0])
        wanted = [series for symbol in symbols if (series := _series(like, symbol))]
        with ThreadPoolExecutor(PROBES) as pool:
            there = pool.map(lambda each: each.interval in self._names(each.archive_folder.rpartition("/")[0]), wanted)
        return [each for each, found in zip(wanted, there, strict=True) if found]

    def checksum(self, file: ArchiveFile) -> str | None:
        """Published SHA-256 of the zip (lower hex), or None when there is no CHECKSUM file.

        Raises:
            ChecksumMismatch: the CHECKSUM file is malformed or of another file.
            KlinesRefused: the CHECKSUM file is far too large.
        """
        try:
            text = self._get(file, ".zip.CHECKSUM", CHECKSUM_BYTES)[0].decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        found = _CHECKSUM.fullmatch(text)
        if not found or found[2] != f"{file.stem}.zip":
            holds = f"the SHA-256 of {found[2][:80]!r}" if found else counted(len(text), "character")
            raise ChecksumMismatch(
                f"{file.stem}.zip.CHECKSUM holds {holds if text else 'nothing'}, not a SHA-256 and {file.stem}.zip",
                "repair or remove the CHECKSUM file in the archive",
            )
        return found[1].lower()

    def fetch(self, file: ArchiveFile) -> Fetched:
        """The zip, checked against its CHECKSUM; both are fetched once more when they differ.

        Raises:
            ChecksumMismatch: they differ twice, or the CHECKSUM file is malformed.
            KlinesRefused: one of them is too large.
            ArchiveError: the zip no longer exists, or the archive cannot be reached.
        """
        for _ in range(2):
            published = self.checksum(file)
            at = datetime.now(UTC)
            try:
                data, modified = self._get(file, ".zip", most_bytes(file.dataset, file.period))
            except FileNotFoundError as error:
                raise ArchiveError(
                    f"{self._address} has no {file.stem}.zip any more", "list the archive again"
                ) from error
            sha256 = hashlib.sha256(data).hexdigest()
            if published in (None, sha256):
                return Fetched(file, data, sha256, verified=published is not None, at=at, modified=modified)
        raise ChecksumMismatch(
            f"{file.stem}.zip has SHA-256 {sha256}, its CHECKSUM says {published}, fetched twice",
            f"the archive's copy is damaged: try again later, or leave it out: --exclude {file.stem}",
        )

    # --- reading the store ------------------------------------------------------------------------------------------

    def _get(self, file: ArchiveFile, ending: str, most: int) -> tuple[bytes, datetime | None]:
        """Bytes, and when they were last changed."""
        name = f"{file.stem}{ending}"
        if odd := file.odd or oddity(self._here, f"{file.dataset.archive_folder}/{name}"):
            raise KlinesRefused(*odd)
        with self._reading():
            try:
                found = self._store.get(f"{self._root}{file.dataset.archive_folder}/{name}")
            except PermissionDeniedError:
                if self._listable or ending == ".zip":
                    raise
                self._denied = True  # a server that hides what it lacks, of which the zip itself is not
                raise FileNotFoundError(name) from None
            if found.meta["size"] > most:  # asked before the body is fetched: memory does not grow with what is served
                raise KlinesRefused(
                    f"{name} has {found.meta['size']:,} bytes, too many for its period (at most {most:,})",
                    f"repair the file in the archive, or leave it out: --exclude {file.stem}",
                )
            changed = found.meta["last_modified"]
            return read_body(found, name, most, self._address), changed if _is_known(changed) else None

    def _folder(self, path: str) -> "ListResult[Sequence[ObjectMeta]]":
        with self._reading():
            if self._here:
                return self._local_folder(self._here / path, path)
            return self._store.list_with_delimiter(f"{self._root}{path}")

    def _local_folder(self, folder: Path, path: str) -> "ListResult[Sequence[ObjectMeta]]":
        """Zips and folders of a local folder; names that the store cannot take and circles of links are passed over."""
        objects: list[ObjectMeta] = []
        folders: list[str] = []
        for name in self._entries(path):
            inside = f"{path}/{name}"
            if os.path.isdir(folder / name):  # noqa: PTH112 - says no to a circle of links, too
                folders.append(inside)
            elif os.path.isfile(folder / name) and name.lower().endswith(".zip"):  # noqa: PTH113
                with suppress(BaseError, OSError, ValueError):
                    objects.append(self._store.head(inside))
        return {"objects": objects, "common_prefixes": folders}

    def _listed(self, dataset: Dataset) -> Sequence[ArchiveFile]:
        """Every zip of the series; CHECKSUM and unrelated files are ignored.

        Entries that are named like a zip of the series, or nearly so, and cannot be read are listed as odd.
        """
        there = self._folder(dataset.archive_folder)
        files, odd = {}, {}
        for meta in there["objects"]:
            name = meta["path"].rpartition("/")[2]
            stem = name.removesuffix(".zip")
            if stem != name and (period := dataset.parse_stem(stem)):
                files[period] = _archive_file(dataset, period, meta)
            elif period := _nearly(dataset, name):
                right = f"{dataset.archive_stem(period)}.zip"
                cure = f"rename it to {right}, and its CHECKSUM likewise"
                odd[period] = ArchiveFile(dataset, period, None, "", (f"{name} should be named {right}", cure))
        names = {path.rpartition("/")[2] for path in there["common_prefixes"]} | self._entries(dataset.archive_folder)
        for name in names:
            period = dataset.parse_stem(name.removesuffix(".zip")) if name.endswith(".zip") else None
            if period and period not in files and (why := oddity(self._here, f"{dataset.archive_folder}/{name}")):
                odd[period] = ArchiveFile(dataset, period, None, "", why)
        return [*files.values(), *(file for period, file in odd.items() if period not in files)]

    def _entries(self, folder: str) -> set[str]:
        """Names in a local folder, including those that a listing of the store omits, like broken links."""
        try:
            return set(os.listdir(self._here / folder)) if self._here else set()  # noqa: PTH208 - names, not paths
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError as error:
            where = error.filename or folder
            raise ArchiveError(
                f"archive {self._address} cannot be read: {where}: {error.strerror}", "correct it there, or remove it"
            ) from error

    def _probed(self, dataset: Dataset, first: date, last: date) -> Sequence[ArchiveFile]:
        """The zips found by requesting each period of the calendar."""
        first, last = max(first, FIRST_PERIOD), min(last, datetime.now(UTC).date())
        days = (first + timedelta(n) for n in range((last - first).days + 1))
        periods = [day for day in days if dataset.data_frequency == "daily" or day.day == 1]
        probe = partial(self._probe, dataset)
        with ThreadPoolExecutor(PROBES) as pool:
            # The first one alone, so that a server that is away costs one time-out and not two rounds of them.
            found = [*map(probe, periods[:1]), *pool.map(probe, periods[1:])]
        return [file for file in found if file]

    def _probe(self, dataset: Dataset, period: date) -> ArchiveFile | None:
        try:
            with self._reading(PermissionDeniedError):
                meta = self._store.head(f"{self._root}{dataset.archive_folder}/{dataset.archive_stem(period)}.zip")
        except FileNotFoundError:
            return None  # never traded then, or not published yet
        except PermissionDeniedError:
            self._denied = True  # so do servers that hide what they have say of what they lack
            return None
        return _archive_file(dataset, period, meta)

    def _refuse_series(self, dataset: Dataset) -> NoReturn:
        """Raise an error that names what the archive has instead of the missing series."""
        symbol_folder = dataset.archive_folder.rpartition("/")[0]
        symbols_folder = symbol_folder.rpartition("/")[0]
        kind = f"{dataset.data_frequency} {dataset.market} {dataset.data_category}"
        intervals = self._names(symbol_folder)
        if dataset.interval in intervals:
            raise ArchiveError(
                f"{self._address} has no zip of {dataset} under {dataset.archive_folder}",
                f"its files are named like {dataset.archive_stem(FIRST_PERIOD)}.zip",
            )
        if intervals:
            raise ArchiveError(
                f"{self._address} has no {kind} of {dataset.symbol} at interval {dataset.interval}",
                f"it has {dataset.symbol} at {', '.join(intervals)}",
            )
        if symbols := self._names(symbols_folder):
            near = get_close_matches(dataset.symbol, symbols, n=3) or symbols[:5]
            raise ArchiveError(
                f"{self._address} has no {kind} of symbol {dataset.symbol} (symbols there: {len(symbols):,})",
                f"did you mean {' or '.join(near)}?",
            )
        raise ArchiveError(
            f"{self._address} has no {kind}: there is nothing under {symbols_folder}",
            "give the address of the folder that holds data/",
        )

    def _names(self, folder: str) -> Sequence[str]:
        return sorted(path.rpartition("/")[2] for path in self._folder(folder)["common_prefixes"])

    @contextmanager
    def _reading(self, *told: type[Exception]) -> Iterator[None]:
        """Turn the store's errors into one line each, except for missing files and the errors in `told`."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError, ValueError) as error:
            if isinstance(error, told):
                raise
            what, cure = explain(str(error))
            raise ArchiveError(f"archive {self._address} cannot be read: {what}", cure) from error


def _nearly(dataset: Dataset, name: str) -> date | None:
    """First day of the period that a zip's wrong name means: without its zeros, in other case, or one of two copies.

    Like `BTCUSDT-4h-2020-8.zip`, `btcusdt-4h-2020-08.ZIP` and `BTCUSDT-4h-2020-08 (1).zip`.
    """
    daily = dataset.data_frequency == "daily"
    begun = dataset.archive_stem(FIRST_PERIOD).removesuffix(
        f"{FIRST_PERIOD:%Y-%m-%d}" if daily else f"{FIRST_PERIOD:%Y-%m}"
    )
    numbers = r"(\d{4})-(\d{1,2})" + r"-(\d{1,2})" * daily
    found = re.fullmatch(rf"{re.escape(begun)}{numbers}(?!-?\d).*\.zip", name, re.I | re.S | re.A)
    return dataset.parse_stem(begun + "-".join(each.zfill(2) for each in found.groups())) if found else None


def _series(like: Dataset, symbol: str) -> Dataset | None:
    """A folder's name as a symbol, or None."""
    try:
        series = like.with_symbol(symbol)
    except NameRefused:
        return None
    return series if series.symbol == symbol else None


def open_archive(address: str, s3_store: Callable[[str], Store]) -> Archive:
    """The archive at `address`: a local folder, `http(s)://…` or `s3://bucket/prefix`. Sends no request yet.

    Args:
        address: of the folder that holds `data/`.
        s3_store: makes the client of a bucket, with the endpoint, keys and timeouts of the settings.

    Raises:
        UsageError: the address is invalid.
        ArchiveError: a local folder that does not exist.
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        folder = expanded(address)
        if not address or not os.path.isdir(folder):  # noqa: PTH112 - says no to a name that is too long, too
            raise ArchiveError(f"archive folder {address!r} does not exist", "give the folder that holds data/")
        return Archive(LocalStore(folder), listable=True, address=address, folder=folder)
    bucket, _, root = rest.partition("/")
    if "@" in bucket or "?" in rest:
        raise UsageError("archive address carries a user, a password or a query", "leave them out: they would be shown")
    if scheme == "s3" and bucket:
        return Archive(s3_store(bucket), listable=True, address=address, root=root.strip("/"))
    if scheme in ("http", "https") and bucket:
        return Archive(_http_store(address), listable=False, address=address)
    raise UsageError(
        f"archive address {address!r} is not a folder, an http(s):// or an s3:// address",
        "write it like https://data.binance.vision, s3://bucket/prefix or ./folder",
    )


def _http_store(address: str) -> HTTPStore:
    try:
        return HTTPStore(address, client_options=_CLIENT, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise UsageError(
            f"archive address {address!r} is not a URL: {error}", "write it like https://host/path"
        ) from error


def _archive_file(dataset: Dataset, period: date, meta: "ObjectMeta") -> ArchiveFile:
    changed = meta["last_modified"]
    version = meta["e_tag"] or (changed.isoformat() if _is_known(changed) else "")
    return ArchiveFile(dataset, period, meta["size"], version)


def _is_known(changed: datetime) -> bool:
    """Whether a time of change is known: obstore returns 1970 if it is not."""
    return changed.timestamp() > 0
