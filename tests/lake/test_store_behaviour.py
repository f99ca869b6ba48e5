"""One behaviour suite over all stores of the lake: a local folder, memory, and a real S3 server."""

import errno
import hashlib
import itertools
import os
import shutil
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import obstore
import polars as pl
import pytest
from obstore.exceptions import BaseError, GenericError
from tests.memory_lake import memory_lake

from hermes.errors import AlreadyPublished, LockLost, StoreError, UsageError
from hermes.lake.backends import folder, hash_records, s3, s3_client
from hermes.lake.files import sha256
from hermes.lake.store import Lake, Layer, fingerprint
from hermes.settings import Settings

FRAME = pl.DataFrame({"a": [1, 2, 3]})
ODD_KEYS = [
    "t/year=2025/data 0 (1).parquet",
    "t/[x]/*.parquet",
    "t/1000/币安人生USDT/é.parquet",
    "t/p%20q/a+b&c~'.parquet",
]


@pytest.fixture(params=["folder", "memory", "s3", "s3 prefix", "moto", "rclone"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty lake; its buckets are not there yet."""
    if request.param == "folder":
        return Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={}))
    if request.param == "memory":
        return memory_lake(tmp_path / "copies")
    if request.param in ("moto", "rclone"):
        return s3_lake(request.getfixturevalue(request.param))
    server = request.getfixturevalue("s3_server")
    # The server has room for few buckets: a prefix of its own does as well.
    return s3_lake(server, f"/a company/{uuid.uuid4().hex}", "shared") if "prefix" in request.param else s3_lake(server)


@pytest.fixture
def gold(lake: Lake) -> Layer:
    return lake.gold


def s3_lake(server, prefix: str = "", bucket: str = "", **changed: str) -> Lake:
    url = f"s3://{bucket or f't{uuid.uuid4().hex}'}-{{layer}}{prefix}"
    return Lake.open(Settings.load({"lake.url": url, **server.flags(**changed)}, environ={}))


def create(layer: Layer, path: Path, key: str = "t/x.bin") -> str:
    """Publish a staged file under a new name; returns its SHA-256."""
    digest = sha256(path)
    layer.create(key, path, digest)
    return digest


def staged_files(layer: Layer) -> list[Path]:
    """What stands in the staging folder of a local layer."""
    return [path for path in (Path(layer.address).parent / folder.STAGING).rglob("*") if path.is_file()]


def lose_answers(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every commit is done, and its answer is lost; of a network's file system, too."""
    if isinstance(layer._backend, folder.Folder):
        link = os.link

        def lost_link(*args: object) -> None:
            link(*args)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))  # what a repeated request is told

        monkeypatch.setattr(os, "link", lost_link)
        return
    put = obstore.put

    def lost_put(store, key, *args, **kw):
        put(store, key, *args, **kw)
        if "_locks/" in key:  # locks and what the store honours have tests of their own
            return
        raise GenericError("Generic S3 error: error sending request: connection closed before message completed")

    monkeypatch.setattr(obstore, "put", lost_put)


def test_an_empty_lake_has_nothing(gold: Layer):
    assert gold.files("") == []
    assert gold.files("t") == []
    assert gold.read("t/none.json") is None


def test_what_is_written_is_listed_scanned_and_read_back(gold: Layer):
    digest = gold.write("t/x.parquet", FRAME, {"layer": "gold", "名": "é"})
    (file,) = gold.files("t")
    content = gold.read("t/x.parquet")
    assert (file.key, file.size) == ("t/x.parquet", len(content))
    assert hashlib.sha256(content).hexdigest() == digest
    assert gold._backend.recorded_hashes("t/x.parquet") == {digest}
    assert gold.fingerprints([file]) == [digest]
    assert gold.scan([file]).collect().equals(FRAME)
    assert gold.footer(file) == {"layer": "gold", "名": "é"}
    assert file.location == gold.locate("t/x.parquet")


def test_a_file_of_another_tool_has_no_footer_and_no_hash(gold: Layer, request: pytest.FixtureRequest):
    with gold.staged() as path:
        FRAME.write_parquet(path)
        gold._backend.replace("t/x.parquet", path, "")
    (file,) = gold.files("t")
    if "rclone" in request.node.name:
        with pytest.raises(StoreError, match="does not answer with the part of an object that was asked for"):
            gold.footer(file)
        return
    assert gold.footer(file) == {}
    assert gold.footers([file, file]) == [{}, {}]


def test_notes_of_other_systems_are_no_files_of_a_table(gold: Layer):
    gold.write("t/x.parquet", FRAME, {})
    gold.write_bytes("t/._x.parquet", b"what a Mac notes about x")
    assert [file.key for file in gold.files("t")] == ["t/x.parquet"]


def test_an_empty_file_in_a_table_is_named(gold: Layer):
    gold.write_bytes("t/empty.parquet", b"")
    (file,) = gold.files("t")
    for act in (lambda: gold.footer(file), lambda: gold.scan([file]).collect()):
        with pytest.raises(StoreError) as refused, gold.errors():
            act()
        assert "→" in str(refused.value)
    assert "t/empty.parquet" in str(refused.value)


def stranger(path: Path, kind: str) -> None:
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.with_name("nothing"))


@pytest.mark.parametrize("kind", ["a pipe", "a link to a file that is not there"])
def test_what_is_no_file_stops_no_listing_and_is_never_read(tmp_path: Path, kind: str):
    gold = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={})).gold
    gold.write("t/x.parquet", FRAME, {})
    stranger(Path(gold.address) / "t" / "y.parquet", kind)
    good, odd = gold.files("t")
    assert gold.footer(good) == {}
    for act in (
        lambda: gold.footer(odd),
        lambda: gold.scan([good, odd]),
        lambda: gold.schemas([odd]),
        lambda: gold.hashed(odd),
    ):
        with pytest.raises(StoreError, match=f"y.parquet is {kind}, not a file → put the file itself there"):
            act()


def test_a_pipe_in_place_of_a_small_file_is_never_read(tmp_path: Path):
    gold = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={})).gold
    Path(gold.address).mkdir(parents=True)
    os.mkfifo(Path(gold.address) / "run.json")
    with pytest.raises(StoreError, match=r"run\.json is a pipe"):
        gold.read("run.json")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    gold = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={})).gold

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with gold.staged() as path:
        path.write_bytes(b"mine")
        with pytest.raises(
            StoreError, match=r"makes no hard links .* → keep the lake on a file system that makes them"
        ):
            create(gold, path)
    assert gold.files("", "") == []
    assert not (Path(gold.address) / "t").exists()


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_names(gold: Layer, key: str):
    gold.write(key, FRAME, {"key": key})
    (file,) = gold.files("t")
    assert file.key == key
    scanned = gold.scan([file], include_file_paths="path").collect()
    assert scanned["path"].unique().to_list() == [file.location]
    assert gold.footer(file) == {"key": key}
    assert len(gold._backend.recorded_hashes(key)) == 1


def test_a_listing_is_of_one_folder_in_the_order_of_keys(gold: Layer):
    for key in ("t/month=2/a.parquet", "t/month=10/a.parquet", "tt/a.parquet", "t.parquet"):
        gold.write(key, FRAME, {})
    gold.write_bytes("t/run.json", b"{}")
    assert [file.key for file in gold.files("t")] == ["t/month=10/a.parquet", "t/month=2/a.parquet"]
    assert [file.key for file in gold.files("t", ".json")] == ["t/run.json"]
    assert len(gold.files("")) == 4


def test_create_is_once(gold: Layer):
    with gold.staged() as path:
        path.write_bytes(b"mine")
        mine = create(gold, path)
    with gold.staged() as path:
        path.write_bytes(b"another's")
        with pytest.raises(AlreadyPublished):
            create(gold, path)
    assert gold.read("t/x.bin") == b"mine"
    assert gold._backend.recorded_hashes("t/x.bin") == {mine}


def test_two_creators_have_one_winner(gold: Layer, request: pytest.FixtureRequest):
    if "moto" in request.node.name:
        pytest.skip("moto's threads race within one PUT, which `hermes doctor` finds out")
    gold.write_bytes("t/first", b"")  # so that the race is for the key, not for the bucket
    start = threading.Barrier(6)

    def race(number: int) -> str | None:
        with gold.staged() as path:
            path.write_bytes(b"x" * number)  # sizes differ: a folder tells versions by time and size, and time ticks
            start.wait()
            try:
                return create(gold, path)
            except AlreadyPublished:
                return None

    with ThreadPoolExecutor(6) as pool:
        winners = [digest for digest in pool.map(race, range(6)) if digest]
    assert len(winners) == 1
    assert gold._backend.recorded_hashes("t/x.bin") == set(winners)
    assert hashlib.sha256(gold.read("t/x.bin")).hexdigest() == winners[0]


def test_a_lost_answer_to_a_create_is_found_to_be_our_own(gold: Layer, monkeypatch: pytest.MonkeyPatch):
    gold.write_bytes("t/first", b"")
    lose_answers(gold, monkeypatch)
    with gold.staged() as path:
        path.write_bytes(b"mine")
        mine = create(gold, path)
    with gold.staged() as path:
        path.write_bytes(b"another's")
        with pytest.raises(StoreError):
            create(gold, path)
    monkeypatch.undo()
    assert gold.read("t/x.bin") == b"mine"
    assert gold._backend.recorded_hashes("t/x.bin") == {mine}


def test_a_big_file_is_replaced_in_parts_and_never_created_in_parts(gold: Layer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3, "MULTIPART_BYTES", 8 * 1024**2)
    for content in (os.urandom(1024**2) * 11, os.urandom(1024**2) * 12):
        digest = gold.write_bytes("t/big.bin", content)
        (file,) = gold.files("t", ".bin")
        assert file.size == len(content)
        assert gold.hashed(file) == (digest, {digest})
        assert gold.fingerprints([file]) == [digest]
    if isinstance(gold._backend, folder.Folder):
        return
    with gold.staged() as path:
        path.write_bytes(content)
        # What is sent in parts cannot be create-only: it is refused, not sent without.
        with pytest.raises(StoreError, match="one create-only PUT carries 8,388,608 → make it of fewer rows"):
            create(gold, path)
    assert gold.read("t/x.bin") is None


def test_what_is_removed_is_gone_with_its_hash(gold: Layer):
    gold.write("t/x.parquet", FRAME, {})
    gold.write("t/y.parquet", FRAME, {})
    gold.remove("t/x.parquet")
    gold.remove("t/x.parquet")  # none is no error
    assert [file.key for file in gold.files("t")] == ["t/y.parquet"]
    assert not gold.is_own("t/x.parquet")
    assert gold.is_own("t/y.parquet")
    assert gold.lost("", {"t/y.parquet"}) == []
    with gold.staged() as path:
        path.write_bytes(b"new")
        create(gold, path, "t/x.parquet")
    assert gold.read("t/x.parquet") == b"new"


def test_bytes_are_hashed_as_they_are_beside_their_record(gold: Layer):
    digest = gold.write_bytes("t/x.bin", b"one")
    (file,) = gold.files("t", ".bin")
    assert gold.hashed(file) == (digest, {digest})
    gold.remove("t/x.bin")
    assert gold.hashed(file) is None


def test_a_fingerprint_is_of_the_version_that_was_listed(gold: Layer):
    old = gold.write_bytes("t/x.bin", b"one")
    (listed,) = gold.files("t", ".bin")
    new = gold.write_bytes("t/x.bin", b"other")
    assert gold.fingerprints(gold.files("t", ".bin")) == [new]
    assert gold.fingerprints([listed])[0] in (old, listed.version)
    assert new != old


def test_a_replacement_is_whole_and_seen(gold: Layer):
    gold.write("t/x.parquet", FRAME, {})
    gold.write("t/y.parquet", FRAME, {})
    snapshot = gold.files("t")
    assert gold.unchanged("t", snapshot)
    assert gold.same(snapshot)
    assert gold.same(snapshot[:1])
    assert not gold.unchanged("t", snapshot[:1])
    digest = gold.write("t/x.parquet", pl.DataFrame({"a": [4, 5, 6]}), {})
    assert not gold.unchanged("t", snapshot)
    assert not gold.same(snapshot)
    assert gold.same(snapshot[1:])
    assert gold.scan(gold.files("t")[:1]).collect()["a"].to_list() == [4, 5, 6]
    assert gold._backend.recorded_hashes("t/x.parquet") == {digest}


def test_a_new_file_changes_the_snapshot_of_a_folder_but_not_of_the_files(gold: Layer):
    gold.write("t/x.parquet", FRAME, {})
    snapshot = gold.files("t")
    gold.write("t/y.parquet", FRAME, {})
    assert not gold.unchanged("t", snapshot)
    assert gold.same(snapshot)


def test_nothing_can_be_read_while_it_is_staged(gold: Layer, lake: Lake):
    with gold.staged() as path:
        gold.stage(path, FRAME, {})
        assert gold.files("") == []
        assert not path.is_relative_to(gold.address)
    assert not path.exists()


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt()])
def test_a_staged_file_is_gone_after_an_error(gold: Layer, error: BaseException):
    with pytest.raises(type(error)), gold.staged() as path:
        path.write_bytes(b"x")
        raise error
    assert not path.exists()
    assert staged_files(gold) == []


def test_rows_that_were_lost_while_writing_are_noticed(gold: Layer, monkeypatch: pytest.MonkeyPatch):
    write = pl.DataFrame.write_parquet
    monkeypatch.setattr(pl.DataFrame, "write_parquet", lambda self, path, **kw: write(self.head(1), path, **kw))
    with pytest.raises(StoreError, match="1 row after writing 3"):
        gold.write("t/x.parquet", FRAME, {})
    assert gold.files("") == []


def test_a_corrupt_file_is_one_line(gold: Layer):
    gold.write_bytes("t/x.parquet", b"PAR1 not really PAR1")
    (file,) = gold.files("t")
    for read in (lambda: gold.footer(file), lambda: gold.scan([file]).collect()):
        with pytest.raises(StoreError) as refused, gold.errors():
            read()
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("No space left on device (os error 28)", "No space left on device → free some space"),
        ("[Errno 28] No space left on device", "No space left on device → free some space"),  # to a file of Python's
        ("[Errno 5] Input/output error", "Input/output error → check the folder"),
    ],
)
def test_a_full_disk_while_staging(gold: Layer, monkeypatch: pytest.MonkeyPatch, said: str, cure: str):
    def full(self, path, **kw):
        raise pl.exceptions.ComputeError(f"parquet: File out of specification: underlying IO error: {said}")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(StoreError, match=cure):
        gold.write("t/x.parquet", FRAME, {})
    assert gold.files("") == []


@pytest.mark.parametrize("kind", [pl.exceptions.PanicException, pl.exceptions.ComputeError])
def test_ctrl_c_that_polars_tells_as_an_error_of_its_own(gold: Layer, kind: type[BaseException]):
    with pytest.raises(KeyboardInterrupt), gold.errors():
        raise kind('called `Result::unwrap()`: JoinError::Panic(Id(133), "__POLARS_ABORT_KEYBOARD_INTERRUPT", ...)')


def test_a_fingerprint_tells_parts_apart():
    assert fingerprint("a", ["b"]) == fingerprint("a", ["b"])
    assert len({fingerprint("ab"), fingerprint("a", "b"), fingerprint(["a", "b"]), fingerprint()}) == 4


# --- a local folder --------------------------------------------------------------------------------------------------


@pytest.fixture
def local(tmp_path: Path) -> Layer:
    return Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={})).gold


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "--lake"), (errno.EACCES, "--lake"), (errno.EIO, "check")],
)
@pytest.mark.parametrize("call", ["link", "fsync"])
def test_an_error_of_the_disk_publishes_nothing(
    local: Layer, monkeypatch: pytest.MonkeyPatch, number: int, cure: str, call: str
):
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with local.staged() as path:
        path.write_bytes(b"x")
        monkeypatch.setattr(os, call, fails)
        with pytest.raises(StoreError) as refused:
            create(local, path, "t/x.parquet")
    assert cure in str(refused.value)
    assert os.strerror(number) in str(refused.value)
    assert local.files("") == []
    assert not (Path(local.address) / "t").exists()
    assert staged_files(local) == []


@pytest.mark.parametrize("method", ["create", "replace"])
def test_a_file_whose_hash_cannot_be_recorded_is_not_published(
    local: Layer, monkeypatch: pytest.MonkeyPatch, method: str
):
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(hash_records.Records, "expect", fails)
    with local.staged() as path:
        path.write_bytes(b"x")
        with pytest.raises(StoreError, match="free some space"):
            create(local, path, "t/x.parquet") if method == "create" else local.replace("t/x.parquet", path)
    assert local.files("") == []


def test_a_replacement_that_is_cut_off_leaves_the_old_bytes_with_their_hash(
    local: Layer, monkeypatch: pytest.MonkeyPatch
):
    old = local.write_bytes("t/x.bin", b"old")

    replace = Path.replace

    def fails(self: Path, target: Path) -> None:
        if target.name == "x.bin":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(StoreError):
        local.write_bytes("t/x.bin", b"new")
    assert local.read("t/x.bin") == b"old"
    assert old in local._backend.recorded_hashes("t/x.bin")


def test_a_file_that_another_tool_wrote_over_is_not_known_by_the_old_hash(local: Layer):
    digest = local.write_bytes("t/x.bin", b"ours")
    path = Path(local.address, "t/x.bin")
    path.write_bytes(b"them")
    os.utime(path, ns=(1, 1))  # as fast as it was, the clock may not have moved
    (file,) = local.files("t", ".bin")
    assert local.fingerprints([file]) == [file.version]
    assert local.hashed(file) == (sha256(path), {digest})


def test_a_copy_of_a_lake_that_keeps_times_keeps_its_hashes(local: Layer, tmp_path: Path):
    digest = local.write_bytes("t/x.bin", b"ours")
    shutil.copytree(tmp_path / "lake", tmp_path / "copy")
    copy = Lake.open(Settings.load({"lake.url": f"{tmp_path}/copy/{{layer}}"}, environ={})).gold
    assert copy.fingerprints(copy.files("t", ".bin")) == [digest]


@pytest.mark.parametrize("method", ["create", "replace"])
def test_a_publish_cut_off_anywhere_leaves_whole_bytes_with_their_hash(
    local: Layer, monkeypatch: pytest.MonkeyPatch, method: str
):
    """A kill is an exception that nobody handles, at each call to the system in turn."""
    calls = [(os, "link"), (os, "fsync"), (os, "open"), (Path, "replace"), (Path, "unlink")]
    for target, name in calls:
        for number in range(12):
            key = f"t/{name}{number}.bin"
            old = local.write_bytes(key, b"old") if method == "replace" else None
            with monkeypatch.context() as patch, suppress(Killed):
                kill_at(patch, target, name, number)
                with local.staged() as path:
                    path.write_bytes(b"new")
                    digest = sha256(path)
                    create(local, path, key) if method == "create" else local.replace(key, path)
            found = {file.key: local.hashed(file) for file in local.files("t", ".bin")}
            assert local.lost("", set(found)) == []
            if old or key in found:
                now, recorded = found[key]
                assert now in {old, digest}
                assert now in recorded


class Killed(BaseException):
    """Nobody catches it."""


def kill_at(patch: pytest.MonkeyPatch, target: object, name: str, number: int) -> None:
    """From the call on that has this number, `name` does nothing any more."""
    real, calls = getattr(target, name), itertools.count()

    def dies(*args: object, **kw: object) -> object:
        if next(calls) >= number:
            raise Killed
        return real(*args, **kw)

    patch.setattr(target, name, dies)


def test_a_file_that_goes_while_it_is_listed_is_left_out(local: Layer, monkeypatch: pytest.MonkeyPatch):
    for name in ("x", "y"):
        local.write_bytes(f"t/{name}.bin", b"x")
    scandir = os.scandir

    class Entries(list[os.DirEntry[str]]):
        def __enter__(self) -> "Entries":
            return self

        def __exit__(self, *_: object) -> None: ...

    def meanwhile(path: str) -> Entries:
        with scandir(path) as entries:
            found = Entries(entries)
        Path(f"{local.address}/t/x.bin").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os, "scandir", meanwhile)
    assert [file.key for file in local.files("t", ".bin")] == ["t/y.bin"]


def test_a_file_that_went_without_hermes_is_missed(local: Layer):
    local.write_bytes("t/x.bin", b"x")
    local.write_bytes("u/y.bin", b"y")
    Path(local.address, "t/x.bin").unlink()
    assert local.lost("", {"u/y.bin"}) == ["t/x.bin"]
    assert local.lost("u", {"u/y.bin"}) == []


def test_a_removal_that_is_cut_off_leaves_nothing_missed(local: Layer, monkeypatch: pytest.MonkeyPatch):
    left = []
    for number in range(6):
        digest = local.write_bytes("t/x.bin", b"x")
        with monkeypatch.context() as patch, suppress(Killed):
            kill_at(patch, Path, "unlink", number)
            local.remove("t/x.bin")
        found = local.files("t", ".bin")
        left.append(len(found))
        assert all(local.hashed(file) == (digest, {digest}) for file in found)
        assert local.lost("", {file.key for file in found}) == []
        local.remove("t/x.bin")
    assert left == sorted(left, reverse=True)
    assert set(left) == {0, 1}
    assert not [path for path in Path(local.address).parent.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path):
    (tmp_path / "lake").write_text("")
    layer = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={})).gold
    for act in (lambda: layer.files(""), lambda: layer.write("x.parquet", FRAME, {}), lambda: layer.read("x")):
        with pytest.raises(StoreError, match=f"{tmp_path}/lake.*→") as refused:
            act()
        assert len(str(refused.value).splitlines()) == 1


def test_staging_is_beside_the_layers_and_hashes_too(local: Layer, tmp_path: Path):
    local.write("t/x.parquet", FRAME, {})
    assert sorted(path.name for path in (tmp_path / "lake").iterdir()) == ["_hashes", "_staging", "gold"]
    assert staged_files(local) == []
    assert [path.name for path in Path(local.address).rglob("*") if path.is_file()] == ["x.parquet"]


# --- S3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"secret_key": "wrong-secret-key"}, "refuses these keys"),
        ({"access_key": "wrong-access-key"}, "refuses these keys"),
        ({"endpoint": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line_without_keys(
    s3_server, monkeypatch: pytest.MonkeyPatch, changed: dict, said: str
):
    bucket = f"t{uuid.uuid4().hex}"
    s3_lake(s3_server, bucket=bucket).gold.write("t/x.parquet", FRAME, {})
    (file,) = s3_lake(s3_server, bucket=bucket).gold.files("t")
    monkeypatch.setattr(s3_client, "RETRIES", 0)
    gold = s3_lake(s3_server, bucket=bucket, **changed).gold
    acts = (
        lambda: gold.files(""),
        lambda: gold.footer(file),
        lambda: gold.scan([file]).collect(),
        lambda: gold.read("t/x.parquet"),
        lambda: gold.write("t/y.parquet", FRAME, {}),
        lambda: gold.fingerprints([file]),
    )
    for act in acts:
        with pytest.raises(StoreError, match=said) as refused, gold.errors():
            act()
        text = str(refused.value)
        assert len(text.splitlines()) == 1
        assert bucket in text
        assert "→" in text
        for key in (s3_server.access_key, s3_server.secret_key, *(v for n, v in changed.items() if n != "endpoint")):
            assert key not in text


def test_a_missing_bucket_is_made(s3_server, monkeypatch: pytest.MonkeyPatch):
    # This server makes buckets by itself on a PUT; others answer NoSuchBucket.
    gold = s3_lake(s3_server).gold
    backend, put, answers = gold._backend, obstore.put, iter(["<Code>NoSuchBucket</Code>"])

    def strict(*args, **kw):
        if answer := next(answers, None):
            raise GenericError(answer)
        assert list(obstore.list(backend._store)) == []  # an error would say that the bucket is not there
        put(*args, **kw)

    with pytest.raises(BaseError, match="NoSuchBucket"):
        list(obstore.list(backend._store))
    monkeypatch.setattr(obstore, "put", strict)
    gold.write("t/x.parquet", FRAME, {})
    assert [file.key for file in gold.files("")] == ["t/x.parquet"]
    backend._create_bucket()  # somebody was faster: no error


def test_a_bucket_is_not_made_with_wrong_keys_or_without_any(s3_server):
    for flags in (s3_server.flags(secret_key="wrong"), {"s3.endpoint": s3_server.endpoint}):
        bucket = f"t{uuid.uuid4().hex}"
        gold = Lake.open(Settings.load({"lake.url": f"s3://{bucket}-{{layer}}", **flags}, environ={})).gold
        with pytest.raises(StoreError) as refused:
            gold.write("t/x.parquet", FRAME, {})
        assert len(str(refused.value).splitlines()) == 1
        assert s3_lake(s3_server, bucket=bucket).gold.files("") == []


def test_deadlines_are_set_for_both_clients(s3_server):
    backend = s3_lake(s3_server).gold._backend
    assert backend.scan_options["timeout"] == "60s"
    assert backend.scan_options["max_retries"] == s3_client.RETRIES
    assert {"timeout", "connect_timeout"} <= backend._store.client_options.keys()
    assert backend._store.retry_config["max_retries"] == s3_client.RETRIES


@pytest.mark.parametrize("bucket", ["UPPER", "a", "x_y", "-x", "x" * 64])
def test_a_name_that_is_no_bucket_is_refused(bucket: str):
    with pytest.raises(StoreError, match="is not a bucket name"):
        s3.Bucket(f"s3://{bucket}", Settings.load(environ={}).s3)


def record_of(local: Layer, key: str) -> Path:
    return next(Path(local.address).parent.joinpath(folder.HASHES).rglob(f"{Path(key).name}.sha256"))


def test_records_of_a_file_that_is_replaced_again_and_again_stay_short(local: Layer):
    digests = [local.write_bytes("t/x.bin", str(number).encode()) for number in range(100)]
    (file,) = local.files("t", ".bin")
    assert local.fingerprints([file]) == digests[-1:] and local.hashed(file) == (digests[-1], {digests[-1]})
    assert record_of(local, "t/x.bin").stat().st_size < 2 * hash_records._LONGEST


def test_a_record_that_a_power_cut_lost_or_cut_off_leaves_the_hash_known(local: Layer):
    local.write_bytes("t/x.bin", b"before")
    after = local.write_bytes("t/x.bin", b"after")
    (file,) = local.files("t", ".bin")
    record = record_of(local, "t/x.bin")
    whole = record.read_text()
    last = whole.rstrip("\n").rfind("\n") + 1
    for end in range(last, len(whole)):  # that it was published is not on disk, or a part of it
        record.write_text(whole[:end])
        assert local.fingerprints([file]) == [after] and local.hashed(file) == (after, {after}), whole[last:end]
    again = local.write_bytes("t/x.bin", b"again")
    (file,) = local.files("t", ".bin")
    assert local.fingerprints([file]) == [again] and local.hashed(file) == (again, {again})


def test_a_snapshot_of_hard_links_keeps_its_hashes(local: Layer, tmp_path: Path):
    before = local.write_bytes("t/x.bin", b"before")
    root = Path(local.address).parent
    shutil.copytree(root, tmp_path / "snapshot", copy_function=os.link)
    local.write_bytes("t/x.bin", b"after, and longer")
    flags = {"lake.url": f"{tmp_path}/snapshot/{{layer}}"}
    snapshot: Layer = getattr(Lake.open(Settings.load(flags, environ={})), Path(local.address).name)
    (file,) = snapshot.files("t", ".bin")
    assert snapshot.hashed(file) == (before, {before}) and snapshot.fingerprints([file]) == [before]


def test_an_address_with_dots_makes_no_folder_on_the_way(tmp_path: Path):
    flags = {"lake.url": f"{tmp_path}/a/b/../../lake/{{layer}}"}
    Lake.open(Settings.load(flags, environ={})).gold.write_bytes("t/x.bin", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake"]


KEYS = [f"many/year={year}/month={month}/x.bin" for year in (2024, 2025) for month in range(1, 13)]


def staged_for(keys: list[str], where: Path) -> dict[str, Path]:
    staged = {key: where / f"{number}.staged" for number, key in enumerate(keys)}
    for key, path in staged.items():
        path.write_text(key)
    return staged


@pytest.mark.parametrize("in_order", [True, False])
def test_many_files_are_published_at_once(gold: Layer, tmp_path: Path, in_order: bool):
    digests = gold.replace_all(staged_for(KEYS, tmp_path), in_order=in_order)
    assert digests == [hashlib.sha256(key.encode()).hexdigest() for key in KEYS]
    assert [file.key for file in gold.files("many", ".bin")] == sorted(KEYS)
    assert all(gold.read(key) == key.encode() for key in KEYS)


def test_a_lock_that_is_lost_between_files_leaves_the_first_ones(gold: Layer, tmp_path: Path):
    asked = itertools.count()
    in_a_folder = isinstance(gold._backend, folder.Folder)  # which asks once for all: nothing takes long in between

    def check() -> None:
        if next(asked) == (0 if in_a_folder else 2):
            raise LockLost("the lock was lost", "run again")

    with pytest.raises(LockLost):
        gold.with_checks(check).replace_all(staged_for(KEYS, tmp_path))
    assert [file.key for file in gold.files("many", ".bin")] == ([] if in_a_folder else KEYS[:2])


@pytest.mark.parametrize("method", ["create", "replace", "replace_all"])
def test_all_that_a_publish_needs_is_on_disk_before_it_and_the_publish_itself_after(
    local: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
):
    """Else a power cut leaves names without bytes, or bytes without a record."""
    told: list[tuple[str, Path]] = []

    def tells(target: object, name: str, path_of: Callable[..., Path]) -> None:
        real = getattr(target, name)
        monkeypatch.setattr(target, name, lambda *args: (real(*args), told.append((name, path_of(*args))))[0])

    tells(os, "fsync", lambda handle: Path(f"/proc/self/fd/{handle}").readlink())
    tells(os, "link", lambda _, final: Path(final))
    tells(Path, "replace", lambda _, final: Path(final))
    keys = KEYS if method == "replace_all" else KEYS[:1]
    staged = staged_for(keys, tmp_path)
    if method == "create":
        local.create(keys[0], staged[keys[0]])
    elif method == "replace":
        local.replace(keys[0], staged[keys[0]])
    else:
        local.replace_all(staged)
    root = Path(local.address)
    finals = [root / key for key in keys]
    published = [at for at, (name, _) in enumerate(told) if name != "fsync"]
    assert [told[at][1] for at in published] == finals  # in their order
    before = {path for _, path in told[: published[0]]}
    after = {path for _, path in told[published[-1] + 1 :]}
    assert before >= set(staged.values())
    assert before >= {root.parent / "_hashes" / root.name / f"{key}.sha256" for key in keys}
    assert before >= {above for final in finals for above in final.parents[1:] if above.is_relative_to(root)}
    assert after >= {final.parent for final in finals}
    assert len(told) == len(set(told))  # nothing twice


def test_many_files_cut_off_anywhere_leave_the_first_ones_published_each_with_its_hash(
    local: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A kill is an exception that nobody handles, at each call to the system in turn."""
    for target, name in [(os, "fsync"), (os, "open"), (Path, "replace")]:
        for number in range(0, 24, 3):
            keys = [f"{name}{number}/{key}" for key in KEYS[:6]]
            for key in keys[::2]:
                local.write_bytes(key, b"old")
            with monkeypatch.context() as patch, suppress(Killed):
                kill_at(patch, target, name, number)
                local.replace_all(staged_for(keys, tmp_path))
            there = [local.read(key) for key in keys]
            new = sum(content == key.encode() for content, key in zip(there, keys, strict=True))
            assert there == [key.encode() for key in keys[:new]] + [None if at % 2 else b"old" for at in range(new, 6)]
            found = local.files(f"{name}{number}", ".bin")
            assert all(now in recorded for now, recorded in filter(None, map(local.hashed, found)))
            assert local.lost(f"{name}{number}", {file.key for file in found}) == []


def test_a_figure_that_changed_in_a_footer_is_noticed(local: Layer):
    local.write("t/x.parquet", FRAME, {"return_pct": 12.25})
    path = Path(local.address) / "t/x.parquet"
    (file,) = local.files("t")
    assert local.footer(file) == {"return_pct": 12.25}
    path.write_bytes(path.read_bytes().replace(b"12.25", b"92.25"))
    with pytest.raises(StoreError, match="what its footer says of it cannot be read"):
        local.footer(file)


def test_an_impossible_time_is_damage(local: Layer):
    with pytest.raises(StoreError, match="impossible time"), local.errors():
        pl.Series([2**60], dtype=pl.Datetime("us")).max()


def test_a_lake_below_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    before = Path.cwd()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        with pytest.raises(UsageError, match="a working folder that no longer exists"):
            Lake.open(Settings.load(environ={}))
        assert Lake.open(Settings.load({"lake.url": f"{tmp_path}/{{layer}}"}, environ={})).gold.files("") == []
    finally:
        monkeypatch.chdir(before)
