"""The exchange's archive behind a folder, an HTTP server and an object store: one behaviour, one-line errors."""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
from obstore.store import MemoryStore

from hermes.dataset import Dataset
from hermes.errors import ArchiveError, ChecksumMismatch, KlinesRefused, UsageError
from hermes.stages.bronze import archive as archive_module
from hermes.stages.bronze import source
from hermes.stages.bronze.archive import Archive, ArchiveFile, open_archive
from hermes.stages.bronze.klines import most_bytes

MONTHLY = Dataset()
DAILY = MONTHLY.with_frequency("daily")
HAN = Dataset(symbol="币安人生USDT")


def no_s3(bucket: str) -> MemoryStore:
    raise AssertionError(f"nobody asked for {bucket}")


def objects(dataset: Dataset, *periods: date) -> dict[str, bytes]:
    """Key → bytes of zips (their content is their name) with good CHECKSUM files."""
    made = {}
    for period in periods:
        stem = dataset.archive_stem(period)
        key, data = f"{dataset.archive_folder}/{stem}.zip", f"zip of {stem}".encode()
        made[key] = data
        made[f"{key}.CHECKSUM"] = f"{hashlib.sha256(data).hexdigest()}  {stem}.zip\n".encode()
    return made


CONTENT = {
    **objects(MONTHLY, *(date(2024, month, 1) for month in range(1, 13)), date(2025, 1, 1)),
    **objects(DAILY, *(date(2025, 2, day) for day in range(1, 11))),
    **objects(HAN, date(2025, 10, 1)),
    **objects(Dataset(interval="1h"), date(2024, 1, 1)),
    **objects(Dataset(symbol="ETHUSDT"), date(2024, 1, 1)),
    # strangers among the files
    f"{MONTHLY.archive_folder}/BTCUSDT-1h-2024-02.zip": b"",
    f"{MONTHLY.archive_folder}/BTCUSDT-4h-2024-13.zip": b"",
    f"{MONTHLY.archive_folder}/BTCUSDT-4h-2024-02-01.zip": b"",
    f"{MONTHLY.archive_folder}/BTCUSDT-4h-2023-12.zip.part": b"",
    f"{MONTHLY.archive_folder}/BTCUSDT-4h-2023-12.csv": b"",
    f"{MONTHLY.archive_folder}/BTCUSDT-4h-2023-12": b"",
    f"{Dataset(interval='8h').archive_folder}/readme.txt": b"",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    for key, data in CONTENT.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and answers any path that starts with a three-digit status with that status."""

    protocol_version = "HTTP/1.1"  # keeps connections: the tests ask a lot
    disable_nagle_algorithm = True

    def send_head(self):
        status = self.path.split("/")[1]
        if status.isdigit():
            self.send_error(int(status))
            return None
        return super().send_head()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    def handle(*args: object) -> _Handler:
        return _Handler(*args, directory=str(folder))

    with ThreadingHTTPServer(("127.0.0.1", 0), handle) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def memory(content: dict[str, bytes], prefix: str = "") -> MemoryStore:
    store = MemoryStore()
    for key, data in content.items():
        store.put(f"{prefix}{key}", data)
    return store


@pytest.fixture(params=["folder", "http", "s3", "s3 with a prefix"])
def anywhere(request: pytest.FixtureRequest, folder: Path, server: str) -> Archive:
    """The same archive, wherever it stands."""
    if request.param == "folder":
        return open_archive(str(folder), no_s3)
    if request.param == "http":
        return open_archive(server, no_s3)
    prefix = "mirrors/binance/" if "prefix" in request.param else ""
    buckets = {"market": memory(CONTENT, prefix)}
    return open_archive(f"s3://market/{prefix}", buckets.__getitem__)


def stems(files: list[ArchiveFile]) -> list[str]:
    return [file.stem for file in files]


# --- one behaviour everywhere ---------------------------------------------------------------------------------------


def test_all_zips_of_the_series_are_listed_oldest_first(anywhere: Archive) -> None:
    files = anywhere.list(MONTHLY, None, None)
    assert stems(files) == [*(f"BTCUSDT-4h-2024-{month:02d}" for month in range(1, 13)), "BTCUSDT-4h-2025-01"]
    assert {file.size for file in files} == {len(b"zip of BTCUSDT-4h-2024-01")}
    assert all(file.version for file in files)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (date(2024, 3, 31), date(2024, 4, 1), ["2024-03", "2024-04"]),
        (date(2024, 3, 1), date(2024, 3, 1), ["2024-03"]),
        (date(2024, 12, 15), None, ["2024-12", "2025-01"]),
        (None, date(2024, 2, 29), ["2024-01", "2024-02"]),
    ],
)
def test_a_month_is_taken_when_it_overlaps_the_span(
    anywhere: Archive, since: date | None, until: date | None, expected: list[str]
) -> None:
    assert stems(anywhere.list(MONTHLY, since, until)) == [f"BTCUSDT-4h-{month}" for month in expected]


def test_daily_files_are_listed_by_day(anywhere: Archive) -> None:
    files = anywhere.list(DAILY, date(2025, 2, 9), date(2025, 3, 1))
    assert stems(files) == ["BTCUSDT-4h-2025-02-09", "BTCUSDT-4h-2025-02-10"]


def test_a_symbol_in_any_script_is_found(anywhere: Archive) -> None:
    (file,) = anywhere.list(HAN, date(2025, 9, 1), None)
    assert anywhere.fetch(file).data.decode() == "zip of 币安人生USDT-4h-2025-10"


def test_what_is_fetched_is_verified(anywhere: Archive) -> None:
    file = anywhere.list(MONTHLY, None, date(2024, 1, 31))[0]
    fetched = anywhere.fetch(file)
    assert fetched.data == b"zip of BTCUSDT-4h-2024-01"
    assert fetched.sha256 == hashlib.sha256(fetched.data).hexdigest() == anywhere.checksum(file)
    assert fetched.verified
    assert fetched.file == file


def test_an_empty_span_is_an_error(anywhere: Archive) -> None:
    with pytest.raises(ArchiveError, match=r"no monthly file of BTCUSDT 4h from 2025-02-01 to 2025-03-31"):
        anywhere.list(MONTHLY, date(2025, 2, 1), date(2025, 3, 31))


def test_a_span_in_the_future_is_an_error(anywhere: Archive) -> None:
    with pytest.raises(ArchiveError, match="no monthly file"):
        anywhere.list(MONTHLY, date(2999, 1, 1), None)


def test_a_file_that_vanished_is_an_error(anywhere: Archive) -> None:
    with pytest.raises(ArchiveError, match=r"has no BTCUSDT-4h-2020-01.zip any more"):
        anywhere.fetch(ArchiveFile(MONTHLY, date(2020, 1, 1), None, ""))


# --- what is not there ----------------------------------------------------------------------------------------------


def test_an_unknown_interval_names_those_of_the_symbol(folder: Path) -> None:
    with pytest.raises(ArchiveError, match=r"of BTCUSDT at interval 5m → it has BTCUSDT at 1h, 4h, 8h"):
        open_archive(str(folder), no_s3).list(Dataset(interval="5m"))


def test_an_unknown_symbol_names_the_nearest(folder: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no monthly spot klines of symbol ETHUSD .* did you mean ETHUSDT or "):
        open_archive(str(folder), no_s3).list(Dataset(symbol="ETHUSD"))


def test_a_folder_without_zips_is_an_error(folder: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no zip of BTCUSDT 8h .* named like BTCUSDT-8h-2017-08.zip"):
        open_archive(str(folder), no_s3).list(Dataset(interval="8h"))


def test_a_folder_that_is_no_archive_says_which_to_give(folder: Path) -> None:
    for dataset, inside in ((MONTHLY, folder / "data"), (Dataset(market="um"), folder)):
        with pytest.raises(ArchiveError, match="the folder that holds data/"):
            open_archive(str(inside), no_s3).list(dataset)


def test_the_span_that_is_there_is_named(folder: Path) -> None:
    with pytest.raises(ArchiveError, match="its files go from BTCUSDT-4h-2024-01 to BTCUSDT-4h-2025-01"):
        open_archive(str(folder), no_s3).list(MONTHLY, date(2025, 2, 1))


def test_http_is_asked_for_nothing_before_2017_and_after_today(server: str) -> None:
    asked = []
    archive = open_archive(server, no_s3)
    head = archive._store.head
    archive._store = SimpleNamespace(head=lambda path: asked.append(path) or head(path))
    archive.list(MONTHLY, date(1990, 1, 1), date(2999, 1, 1))
    today = datetime.now(UTC).date()
    assert min(asked).endswith("BTCUSDT-4h-2017-08.zip")
    assert max(asked).endswith(f"BTCUSDT-4h-{today:%Y-%m}.zip")
    assert len(asked) == len(set(asked)) == (today.year - 2017) * 12 + today.month - 7


# --- checksums ------------------------------------------------------------------------------------------------------

FILE = ArchiveFile(MONTHLY, date(2024, 1, 1), None, "")
KEY = f"{MONTHLY.archive_folder}/{FILE.stem}.zip"


class _Moody:
    """A store whose answers change: for each ending, one answer after another (the last one stays)."""

    def __init__(self, zips: list[bytes], checksums: list[bytes]) -> None:
        self.answers = {".zip": zips, ".zip.CHECKSUM": checksums}
        self.fetched = 0

    def get(self, key: str) -> SimpleNamespace:
        ending = key[key.index(".zip") :]
        self.fetched += ending == ".zip"
        answers = self.answers[ending]
        data = answers.pop(0) if len(answers) > 1 else answers[0]
        return SimpleNamespace(
            stream=lambda min_chunk_size: iter([data]),
            meta={"size": len(data), "last_modified": datetime(1970, 1, 1, tzinfo=UTC)},
        )


def says(data: bytes) -> bytes:
    return f"{hashlib.sha256(data).hexdigest()}  {FILE.stem}.zip\n".encode()


def test_a_damaged_download_is_fetched_once_more() -> None:
    store = _Moody([b"damaged", b"good"], [says(b"good")])
    fetched = Archive(store, True, "a mirror").fetch(FILE)
    assert (fetched.data, fetched.verified, store.fetched) == (b"good", True, 2)


def test_a_file_published_again_between_the_two_requests_is_taken() -> None:
    store = _Moody([b"new"], [says(b"old"), says(b"new")])
    assert Archive(store, True, "a mirror").fetch(FILE).data == b"new"


def test_a_mismatch_that_stays_is_refused_after_two_downloads() -> None:
    store = _Moody([b"damaged"], [says(b"good")])
    with pytest.raises(ChecksumMismatch) as caught:
        Archive(store, True, "a mirror").fetch(FILE)
    for data in (b"damaged", b"good"):
        assert hashlib.sha256(data).hexdigest() in str(caught.value)
    assert "BTCUSDT-4h-2024-01.zip" in str(caught.value)
    assert store.fetched == 2


@pytest.mark.parametrize("ending", ["", ".CHECKSUM"])
def test_a_file_that_is_too_big_for_its_period_is_not_read(ending: str) -> None:
    good = {KEY: b"zip", f"{KEY}.CHECKSUM": says(b"zip")}
    archive = Archive(memory(good | {f"{KEY}{ending}": bytes(most_bytes(MONTHLY, FILE.period) + 1)}), True, "a mirror")
    with pytest.raises(KlinesRefused, match=rf"2024-01\.zip{re.escape(ending)} has [\d,]+ bytes, too many") as caught:
        archive.fetch(FILE)
    assert caught.value.cure


def test_without_a_checksum_file_our_own_hash_is_kept() -> None:
    archive = Archive(memory({KEY: b"zip"}), True, "a mirror")
    fetched = archive.fetch(FILE)
    assert archive.checksum(FILE) is None
    assert not fetched.verified
    assert fetched.sha256 == hashlib.sha256(b"zip").hexdigest()


@pytest.mark.parametrize("shape", ["{sha}  {name}", "{sha} *{name}\r\n", "{SHA}  {name}\n"])
def test_the_usual_shapes_of_a_checksum_file_are_read(shape: str) -> None:
    sha = hashlib.sha256(b"zip").hexdigest()
    text = shape.format(sha=sha, SHA=sha.upper(), name=f"{FILE.stem}.zip")
    archive = Archive(memory({KEY: b"zip", f"{KEY}.CHECKSUM": text.encode()}), True, "a mirror")
    assert archive.checksum(FILE) == sha
    assert archive.fetch(FILE).verified


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"<html>",
        b"abc  BTCUSDT-4h-2024-01.zip",
        b"0" * 64,
        b"0" * 64 + b"  BTCUSDT-4h-2024-02.zip",
        b"0" * 63 + b"g  BTCUSDT-4h-2024-01.zip",
        b"0" * 64 + b"  BTCUSDT-4h-2024-01.zip\n" + b"0" * 64 + b"  BTCUSDT-4h-2024-02.zip",
    ],
)
def test_a_malformed_checksum_file_is_refused(text: bytes) -> None:
    archive = Archive(memory({KEY: b"zip", f"{KEY}.CHECKSUM": text}), True, "a mirror")
    for ask in (archive.checksum, archive.fetch):
        with pytest.raises(ChecksumMismatch, match=r"BTCUSDT-4h-2024-01\.zip\.CHECKSUM holds") as caught:
            ask(FILE)
        assert "\n" not in str(caught.value)


# --- addresses and unreachable servers ------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/no/such/folder", "", __file__, "x" * 800])
def test_a_folder_that_does_not_exist_is_named(address: str) -> None:
    with pytest.raises(ArchiveError, match="does not exist") as caught:
        open_archive(address, no_s3)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("address", ["ftp://host/x", "s3://", "s3:///x", "http://", "https:///x", "http://[x", "://"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="archive address") as caught:
        open_archive(address, no_s3)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize(
    "address", ["https://me:hush@host/x", "s3://me:hush@bucket", "ftp://me:hush@h", "http://h/?k=hush"]
)
def test_an_address_with_a_secret_in_it_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_archive(address, no_s3)
    assert "hush" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "keys"), (403, "keys"), (500, "500 Internal Server Error"), (503, "503 Service Unavailable")],
)
@pytest.mark.parametrize("act", ["list", "fetch", "checksum"])
def test_a_server_that_refuses_is_told_in_one_line(server: str, status: int, words: str, act: str) -> None:
    if status == 403 and act != "fetch":
        pytest.skip("a server that hides what it lacks says the same, see below")
    archive = open_archive(f"{server}/{status}", no_s3)
    asks: dict[str, Callable[[], object]] = {
        "list": lambda: archive.list(MONTHLY),
        "fetch": lambda: archive.fetch(FILE),
        "checksum": lambda: archive.checksum(FILE),
    }
    with pytest.raises(ArchiveError, match=words) as caught:
        asks[act]()
    assert str(caught.value).startswith(f"archive {server}/{status} cannot be read: it answered {status} ")
    assert "\n" not in str(caught.value)


def test_a_server_that_answers_403_to_all_is_told(server: str) -> None:
    with pytest.raises(ArchiveError, match=r"has no monthly file .* it answers 403 \(no permission\)"):
        open_archive(f"{server}/403", no_s3).list(MONTHLY)


class _Hiding(SimpleHTTPRequestHandler):
    """As CloudFront before a private bucket: 403 for what is absent."""

    def send_error(self, code: int, *_: object, **__: object) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Dripping(_Hiding):
    """Sends a body in pieces, with a rest between them."""

    pieces, rest_s = 10, 0.05

    def copyfile(self, source: IO[bytes], outputfile: IO[bytes]) -> None:
        data = source.read()
        size = -(-len(data) // self.pieces)
        for begin in range(0, len(data), size):
            outputfile.write(data[begin : begin + size])
            outputfile.flush()
            time.sleep(self.rest_s)


@contextmanager
def web(folder: Path, handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_mirror_that_hides_what_it_lacks_is_read(simulated: Path) -> None:
    like = Dataset(symbol="SIMUSDT")
    with web(simulated, _Hiding) as address:
        archive = open_archive(address, no_s3)
        files = archive.list(like)
        assert [file.stem for file in files] == [file.stem for file in open_archive(str(simulated), no_s3).list(like)]
        assert archive.fetch(files[0]).verified
        missing = ArchiveFile(like, date(2020, 1, 1), None, "")
        assert archive.checksum(missing) is None
        with pytest.raises(ArchiveError, match="403"):
            archive.fetch(missing)


def test_a_file_may_take_longer_than_the_deadline_as_long_as_it_grows(
    simulated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "_CLIENT", {**archive_module._CLIENT, "read_timeout": "300ms"})
    monkeypatch.setattr(source, "PROGRESS_S", 0.2)
    monkeypatch.setattr(source, "PROGRESS_BYTES", 10)
    with web(simulated, _Dripping) as address:
        archive = open_archive(address, no_s3)
        (first, *_) = open_archive(str(simulated), no_s3).list(Dataset(symbol="SIMUSDT"))
        assert archive.fetch(first).verified  # half a second in all
        monkeypatch.setattr(source, "PROGRESS_BYTES", 10_000_000)
        with pytest.raises(ArchiveError, match=r"sends SIMUSDT-4h-2024-10\.zip\S* too slowly: [\d,]+ bytes in 0 s"):
            archive.fetch(first)
        monkeypatch.setattr(_Dripping, "rest_s", 3)
        with pytest.raises(ArchiveError, match="cannot be read"):
            archive.fetch(first)


# --- what may stand in the place of a file ----------------------------------------------------------------------------


def plant(kind: str, path: Path, elsewhere: Path) -> None:
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to(path.with_name("nothing"))
    elif kind == "circle of links":
        path.symlink_to(path)
    else:
        elsewhere.write_text("a secret of somebody else")
        path.symlink_to(elsewhere)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link out", "link to nothing", "circle of links"])
@pytest.mark.parametrize("ending", ["", ".CHECKSUM"])
def test_what_is_no_file_is_refused_by_name(simulated_copy: Path, tmp_path: Path, kind: str, ending: str) -> None:
    like = Dataset(symbol="SIMUSDT")
    name = f"SIMUSDT-4h-2024-11.zip{ending}"
    plant(kind, simulated_copy / like.archive_folder / name, tmp_path / "elsewhere")
    archive = open_archive(str(simulated_copy), no_s3)
    files = archive.list(like)
    assert len(files) == 6  # the gap is not silent
    (file,) = [each for each in files if each.period == date(2024, 11, 1)]
    with pytest.raises(KlinesRefused, match=re.escape(name)) as refused:
        archive.fetch(file)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["a\x1b[31mb.zip", "a\nb.zip", "%2e%2e.zip", "..zip", "a\udcff.zip", "SIMUSDT-4h-2024-11\x1b[2J.zip"]
)
def test_names_of_strangers_stop_no_listing(simulated_copy: Path, name: str) -> None:
    like = Dataset(symbol="SIMUSDT")
    (simulated_copy / like.archive_folder / name).write_bytes(b"x")
    (simulated_copy / like.archive_folder.rpartition("/")[0] / "a\x1b[2J").mkdir()
    archive = open_archive(str(simulated_copy), no_s3)
    assert [file.odd for file in archive.list(like)] == [None] * 6
    assert {each.symbol for each in archive.series(like)} == {"SIMUSDT", "SIM1USDT"}


def test_a_link_within_the_archive_is_followed(simulated_copy: Path) -> None:
    like = Dataset(symbol="SIMUSDT")
    path = simulated_copy / like.archive_folder / "SIMUSDT-4h-2024-11.zip"
    path.rename(simulated_copy / "kept.zip")
    path.symlink_to(simulated_copy / "kept.zip")
    archive = open_archive(str(simulated_copy), no_s3)
    assert archive.fetch(archive.list(like)[1]).verified


@pytest.mark.parametrize("where", ["folder", "bucket"])
@pytest.mark.parametrize("name", ["SIMUSDT-4h-2025-1.zip", "SIMUSDT-4h-2025-01.ZIP", "simusdt-4H-2025-01.zip",
                                  "SIMUSDT-4h-2025-01 (1).zip", "SIMUSDT-4h-2025-01-copy.zip"])  # fmt: skip
def test_a_month_with_a_wrong_name_is_named(simulated_copy: Path, where: str, name: str) -> None:
    like = Dataset(symbol="SIMUSDT")
    folder = simulated_copy / like.archive_folder
    (folder / "SIMUSDT-4h-2025-01.zip").rename(folder / name)
    archive = open_archive(str(simulated_copy), no_s3)
    if where == "bucket":
        there = {str(path.relative_to(simulated_copy)): path.read_bytes() for path in folder.iterdir()}
        archive = Archive(memory(there), True, "a mirror")
    (file,) = [each for each in archive.list(like) if each.period == date(2025, 1, 1)]
    said = re.escape(f"{name} should be named SIMUSDT-4h-2025-01.zip → rename it to")
    with pytest.raises(KlinesRefused, match=said):
        archive.fetch(file)
    (folder / "SIMUSDT-4h-2025-02-15.zip").write_bytes(b"x")  # of a day, among the months
    assert len(archive.list(like)) == 6


def test_an_unreachable_server_is_told_in_one_line() -> None:
    archive = open_archive("http://127.0.0.1:9/mirror", no_s3)  # the discard port: nobody listens
    with pytest.raises(ArchiveError) as caught:
        archive.list(MONTHLY)
    assert str(caught.value).startswith("archive http://127.0.0.1:9/mirror cannot be read: connection refused → ")
    assert "\n" not in str(caught.value)


def test_a_server_that_is_away_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = open_archive("http://127.0.0.1:9", no_s3)
    asked = []
    archive._store = SimpleNamespace(head=lambda path: asked.append(path) or (_ for _ in ()).throw(OSError("away")))
    with pytest.raises(ArchiveError, match="away"):
        archive.list(MONTHLY)
    assert len(asked) == 1


def test_the_real_archive_is_verified_from_first_to_last(archive: Path) -> None:
    real = open_archive(str(archive), no_s3)
    files = real.list(MONTHLY) + real.list(DAILY)
    assert len(files) == 107
    assert all(real.fetch(file).verified for file in files)
