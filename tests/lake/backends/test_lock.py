"""One writer for each dataset: who is refused, what frees a lock, and what a holder that lost it must not do."""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Barrier

import obstore
import pytest
from tests.s3_double import Double, Quirks, serve_double

from hermes.dataset import Dataset
from hermes.errors import AlreadyPublished, DatasetLocked, LockLost, StoreError
from hermes.lake import catalog
from hermes.lake.backends import lease, lock, s3
from hermes.lake.store import Lake
from hermes.settings import Settings

BTC, ETH = Dataset(symbol="BTCUSDT"), Dataset(symbol="ETHUSDT")
LEASE_S, RENEW_S = 1.5, 0.3


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", LEASE_S)
    monkeypatch.setattr(lease, "RENEW_S", RENEW_S)


STORES = {"honours nothing": Quirks(if_match="ignored", if_none_match=False), "bare etags": Quirks(if_match="bare")}


@pytest.fixture(scope="module")
def doubles() -> Iterator[dict[str, Double]]:
    """Stores that differ from AWS, by name."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(serve_double(quirks)) for name, quirks in STORES.items()}


@pytest.fixture(params=["folder", "s3", *STORES])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return Settings.load({"lake.url": f"{tmp_path}/{{layer}}"}, environ={})
    if request.param == "s3":
        return on_s3(request, tmp_path)
    server = request.getfixturevalue("doubles")[request.param]
    return Settings.load({"lake.url": f"s3://locks/{tmp_path.name}/{{layer}}", **server.flags()}, environ={})


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return on_s3(request, tmp_path)


def on_s3(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    server = request.getfixturevalue("s3_server")
    return Settings.load({"lake.url": f"s3://locks/{tmp_path.name}/{{layer}}", **server.flags()}, environ={})


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.open(settings)


def test_the_second_is_told_who_is_there(lake: Lake):
    with lake.locked(BTC, "run"), pytest.raises(DatasetLocked) as refused, lake.locked(BTC, "ingest"):
        pass
    told = str(refused.value)
    assert told.startswith(
        f"BTCUSDT 4h is being worked on by `hermes run` on {socket.gethostname()}, pid {os.getpid()}"
    )
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", told)
    assert refused.value.cure
    assert refused.value.exit_code == 1


def test_it_is_free_afterwards(lake: Lake):
    with lake.locked(BTC, "run"):
        pass
    with pytest.raises(ZeroDivisionError), lake.locked(BTC, "run"):
        raise ZeroDivisionError
    with lake.locked(BTC, "run"):
        pass


def test_a_lock_is_held_longer_than_a_lease(lake: Lake):
    with ThreadPoolExecutor(1) as pool, lake.locked(BTC, "run") as held:
        for _ in range(4):  # each watches the lease until it is renewed
            with pytest.raises(DatasetLocked):
                pool.submit(hold, lake, BTC).result()
        held.silver.write_bytes("quality/x.json", b"{}")


def hold(lake: Lake, dataset: Dataset) -> None:
    with lake.locked(dataset, "run"):
        pass


def test_other_datasets_are_free(lake: Lake):
    with lake.locked(BTC, "run"), lake.locked(ETH, "run"), lake.locked(Dataset(interval="1h"), "run"):
        pass


def test_monthly_and_daily_make_one_silver(lake: Lake):
    with lake.locked(BTC, "run"), pytest.raises(DatasetLocked), lake.locked(BTC.with_frequency("daily"), "run"):
        pass


def test_of_many_at_once_one_gets_it(settings: Settings):
    at_once, held = Barrier(8), Barrier(8)

    def attempt(_: int) -> str:
        lake = Lake.open(settings)
        at_once.wait()
        with ExitStack() as stack:
            try:
                stack.enter_context(lake.locked(BTC, "run"))
            except DatasetLocked:
                return "refused"
            finally:
                held.wait()
            return "held"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == ["held", *["refused"] * 7]


def test_never_two_at_once_while_many_come_and_go(load: Callable, tmp_path: Path):
    settings, inside, held = load(tmp_path), [], []

    def come_and_go(_: int) -> None:
        lake = Lake.open(settings)
        for _ in range(40):
            with suppress(DatasetLocked), lake.locked(BTC, "run") as mine:
                inside.append(1)
                held.append(len(inside))
                mine.gold._check()
                inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert set(held) == {1}


@pytest.mark.parametrize("store", STORES)
def test_never_two_at_once_on_a_store_that_differs(doubles: dict[str, Double], store: str):
    settings = Settings.load({"lake.url": "s3://crowd-{layer}", **doubles[store].flags()}, environ={})
    inside, held = [], []

    def come_and_go(_: int) -> None:
        lake = Lake.open(settings)
        for _ in range(12):
            with suppress(DatasetLocked), lake.locked(BTC, "run") as mine:
                inside.append(1)
                held.append(len(inside))
                mine.gold._check()
                inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert set(held) == {1}
    assert not [key for key in doubles[store].buckets["crowd-gold"] if "claims" in key or "probe" in key]


def test_of_two_who_create_one_name_one_gets_it_where_the_store_would_overwrite(doubles: dict[str, Double]):
    settings = Settings.load({"lake.url": "s3://names-{layer}", **doubles["honours nothing"].flags()}, environ={})
    at_once = Barrier(4)

    def attempt(number: int) -> str:
        gold = Lake.open(settings).gold
        with gold.staged() as path:
            path.write_bytes(b"%d" % number)
            at_once.wait()
            try:
                gold.create("x/signals.parquet", path)
            except AlreadyPublished:
                return "taken"
        return f"made {number}"

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(attempt, range(4)))
    (winner,) = [each for each in made if each != "taken"]
    assert Lake.open(settings).gold.read("x/signals.parquet") == winner.removeprefix("made ").encode()


def test_a_store_that_honours_nothing_and_lists_late_gives_no_lock():
    with serve_double(Quirks(if_match="ignored", if_none_match=False, listed_after_s=5)) as late:
        settings = Settings.load({"lake.url": "s3://late-{layer}", **late.flags()}, environ={})
        with pytest.raises(StoreError, match=r"does not list .*nothing can be locked there → keep the lake"):
            hold(Lake.open(settings), BTC)
        assert not [key for key in late.buckets["late-gold"] if "claims" in key]


def test_a_claim_that_was_answered_late_does_not_count(doubles: dict[str, Double], monkeypatch: pytest.MonkeyPatch):
    settings = Settings.load({"lake.url": "s3://slow-{layer}", **doubles["honours nothing"].flags()}, environ={})
    put = obstore.put
    lake = Lake.open(settings)
    with lake.locked(BTC, "run") as held:

        def slow(*args, **kw):
            time.sleep(LEASE_S / 2)  # others may have taken it over when the answer comes
            return put(*args, **kw)

        monkeypatch.setattr(lease.obstore, "put", slow)
        with pytest.raises(LockLost):
            for _ in range(int(LEASE_S / 0.05)):
                held.gold._check()
                time.sleep(0.05)


def test_a_claim_that_somebody_removed_is_lost_at_the_next_beat(doubles: dict[str, Double]):
    double = doubles["honours nothing"]
    settings = Settings.load({"lake.url": "s3://gone-{layer}", **double.flags()}, environ={})
    with Lake.open(settings).locked(BTC, "run") as held:
        held.gold._check()
        (key,) = [key for key in double.buckets["gone-gold"] if ".claims/" in key]
        del double.buckets["gone-gold"][key]
        time.sleep(2 * RENEW_S)
        with pytest.raises(LockLost):
            held.gold._check()


def test_no_table_and_no_listing_shows_it(lake: Lake):
    with lake.locked(BTC, "run"):
        assert catalog.tables(lake) == []
        assert all(layer.files("") == [] for layer in (lake.bronze, lake.silver, lake.gold))


HOLDER = f"""
import sys, time
from hermes.lake.backends import lease
lease.LEASE_S, lease.RENEW_S = {LEASE_S}, {RENEW_S}
from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.settings import Settings
settings = Settings.load({{"lake.url": sys.argv[1]}})
with Lake.open(settings).locked(Dataset(symbol="BTCUSDT"), "run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def killed_later(settings: Settings) -> Iterator[subprocess.Popen]:
    secrets = {
        f"HERMES_{name.upper().replace('.', '__')}": value.get_secret_value() for name, value in settings.secrets()
    }
    environ = os.environ | secrets | {"HERMES_S3__ENDPOINT": settings.s3.endpoint or ""}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, settings.lake.url], stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_kill_leaves_no_stale_lock(lake: Lake, killed_later: subprocess.Popen):
    with pytest.raises(DatasetLocked, match=f"pid {killed_later.pid}"):
        hold(lake, BTC)
    killed_later.send_signal(signal.SIGKILL)
    killed_later.wait()
    hold(lake, BTC)  # on S3 this watches the lease to its end


def test_a_holder_that_hangs_loses_its_lease_and_may_not_publish(bucket: Settings, monkeypatch: pytest.MonkeyPatch):
    lake = Lake.open(bucket)
    monkeypatch.setattr(lease._Lease, "renew", lambda *_: None)
    with lake.locked(BTC, "run") as held:
        held.silver.write_bytes("quality/before.json", b"{}")
        with lake.locked(BTC, "run") as mine:
            mine.silver.write_bytes("quality/theirs.json", b"{}")
            for publish in (
                lambda: held.silver.write_bytes("quality/after.json", b"{}"),
                lambda: create(held, "x/signals.parquet"),
            ):
                with pytest.raises(LockLost, match="BTCUSDT 4h was lost"):
                    publish()
            assert held.silver.read("quality/after.json") is None
            assert held.gold.read("x/signals.parquet") is None
            mine.silver.write_bytes("quality/theirs.json", b"{1}")


def create(lake: Lake, key: str) -> None:
    with lake.gold.staged() as path:
        path.write_bytes(b"signals")
        lake.gold.create(key, path)


def test_a_lease_that_somebody_wrote_over_is_lost_at_the_next_beat(bucket: Settings):
    lake = Lake.open(bucket)
    store = lake.gold._backend._store
    with lake.locked(BTC, "run") as held:
        there = lake.gold.address.removeprefix("s3://locks/")
        obstore.put(store, f"{there}/{BTC.lock_key}", json.dumps({"free": True, "owner": "nobody"}).encode())
        with pytest.raises(LockLost):
            for _ in range(10_000):
                held.gold.write_bytes("x/run.json", b"{}")
    assert json.loads(lake.gold.read(BTC.lock_key))["owner"] == "nobody"  # not ours to release any more


def test_of_two_that_see_a_dead_lease_one_takes_it(bucket: Settings, monkeypatch: pytest.MonkeyPatch):
    lake = Lake.open(bucket)
    with monkeypatch.context() as dead:
        dead.setattr(lease._Lease, "renew", lambda *_: None)
        dead.setattr(lease._Lease, "release", lambda *_: None)
        hold(lake, BTC)
    held = Barrier(2)

    def attempt(_: int) -> str:
        with ExitStack() as stack:
            try:
                stack.enter_context(Lake.open(bucket).locked(BTC, "run"))
            except DatasetLocked:
                return "refused"
            finally:
                held.wait()
            return "held"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, range(2))) == ["held", "refused"]


def test_an_answer_that_got_lost_does_not_lose_the_lease(bucket: Settings, monkeypatch: pytest.MonkeyPatch):
    put, lost = obstore.put, []

    def losing(store, path, content, **how):
        put(store, path, content, **how)
        lost.append(path)
        return put(store, path, content, **how)  # what the client's own retry meets

    lake = Lake.open(bucket)
    monkeypatch.setattr(lease.obstore, "put", losing)
    hold(lake, BTC)
    hold(lake, BTC)
    assert len(lost) >= 4  # twice taken, twice released


def test_a_store_that_is_away_is_named(load: Callable):
    settings = load("s3://gone/{layer}", s3__endpoint="http://127.0.0.1:9", s3__access_key="a", s3__secret_key="b")
    with pytest.raises(StoreError, match="cannot be reached"):
        hold(Lake.open(settings), BTC)


def test_a_store_that_goes_away_ends_the_lease(bucket: Settings, monkeypatch: pytest.MonkeyPatch):
    lake, now = Lake.open(bucket), lease._now
    with lake.locked(BTC, "run") as held:
        monkeypatch.setattr(lease.obstore, "put", gone)
        held.gold._check()
        monkeypatch.setattr(lease, "_now", lambda: now() + LEASE_S)
        with pytest.raises(LockLost):
            held.gold._check()
    monkeypatch.undo()
    assert not json.loads(lake.gold.read(BTC.lock_key))["free"]


def gone(*_, **__):
    raise s3.BaseError("error sending request")


def test_a_lock_file_that_was_removed_is_lost(load: Callable, tmp_path: Path):
    lake = Lake.open(load(tmp_path))
    with lake.locked(BTC, "run") as held:
        (tmp_path / BTC.lock_key).unlink()
        hold(lake, BTC)
        with pytest.raises(LockLost, match="removed"):
            held.gold.write_bytes("x/run.json", b"{}")


def test_a_lock_that_cannot_be_looked_at_is_not_called_removed(
    load: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lake = Lake.open(load(tmp_path))
    with lake.locked(BTC, "run") as held:
        with monkeypatch.context() as failing:
            failing.setattr(os, "stat", fails(os.stat, tmp_path / BTC.lock_key, errno.EIO))
            with pytest.raises(
                StoreError, match=f"BTCUSDT 4h cannot be looked at: .*{BTC.lock_key}: Input/output"
            ) as told:
                held.gold.write_bytes("x/run.json", b"{}")
            assert not isinstance(told.value, LockLost), "it is ours: a live process may try again"
            failing.setattr(os, "stat", fails(os.stat, tmp_path / BTC.lock_key, errno.ESTALE))
            with pytest.raises(LockLost, match="removed"):
                held.gold.write_bytes("x/run.json", b"{}")
        held.gold.write_bytes("x/run.json", b"{}")


def fails(call: Callable, path: Path, number: int) -> Callable:
    """The same call, which fails for one path."""

    def failing(asked, *args, **kw):
        if not isinstance(asked, int) and Path(asked) == path:
            raise OSError(number, os.strerror(number), str(asked))
        return call(asked, *args, **kw)

    return failing


@pytest.fixture
def many(tmp_path: Path) -> Iterator[tuple[list[Path], Callable[[], None]]]:
    """Locks that are held in one folder, and the check of all."""
    paths = [tmp_path / "_locks" / f"{number}.lock" for number in range(20)]
    with ExitStack() as stack:
        held = [stack.enter_context(lock.file_lock(path, path.stem, lock.Holder.me("live"))) for path in paths]
        yield paths, lock.all_of(held)


def test_many_locks_cost_one_listing(many, monkeypatch: pytest.MonkeyPatch):
    paths, check = many
    looked_at, stat = [], os.stat
    with monkeypatch.context() as watched:
        watched.setattr(os, "stat", lambda path, **_: looked_at.append(path) or stat(path))
        watched.setattr(os, "fstat", looked_at.append)
        check()
    assert looked_at == [paths[0].parent]


@pytest.mark.parametrize("how", ["removed", "another file", "moved", "all moved", "copied"])
def test_one_of_many_that_is_not_ours_any_more_is_named(many, how: str):
    paths, check = many
    path = paths[7]
    if how in ("removed", "another file"):
        path.unlink()
    if how == "another file":
        path.touch()
    if how == "moved":
        path.rename(path.with_suffix(".moved"))
    if how in ("all moved", "copied"):
        moved = path.parent.rename(path.parent.with_name("moved"))
        if how == "copied":
            shutil.copytree(moved, path.parent)
    with pytest.raises(LockLost, match=rf"^the lock of {0 if 'all' in how or how == 'copied' else 7} was removed"):
        check()


@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_of_many_locks_each_is_looked_at_where_their_folder_cannot_be(many, monkeypatch: pytest.MonkeyPatch, call: str):
    paths, check = many
    monkeypatch.setattr(os, call, fails(getattr(os, call), paths[0].parent, errno.EIO))
    check()
    paths[3].unlink()
    with pytest.raises(LockLost, match="the lock of 3 was removed"):
        check()


def test_of_many_locks_each_is_looked_at_where_a_listing_gives_other_numbers(many, monkeypatch: pytest.MonkeyPatch):
    """As overlay file systems and FUSE do."""
    paths, check = many
    monkeypatch.setattr(lock, "_listed", lambda folder: {path.name: (1, 1) for path in paths})
    check()


def test_a_folder_that_cannot_be_written(load: Callable, tmp_path: Path):
    (tmp_path / "_locks").write_text("in the way")
    with pytest.raises(StoreError):
        hold(Lake.open(load(tmp_path)), BTC)
