"""One writer for each dataset: who is refused, what frees a lock, and what a holder that lost it must not do."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Barrier

import obstore
import pytest

from hermes.dataset import Dataset
from hermes.errors import DatasetLocked, LockLost, StoreError
from hermes.lake import catalog
from hermes.lake.backends import lock, s3
from hermes.lake.store import Lake
from hermes.settings import Settings

BTC, ETH = Dataset(symbol="BTCUSDT"), Dataset(symbol="ETHUSDT")
LEASE_S, RENEW_S = 1.5, 0.3


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_S", LEASE_S)
    monkeypatch.setattr(lock, "RENEW_S", RENEW_S)


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return Settings.load({"lake.url": f"{tmp_path}/{{layer}}"}, environ={})
    return on_s3(request, tmp_path)


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


def test_no_table_and_no_listing_shows_it(lake: Lake):
    with lake.locked(BTC, "run"):
        assert catalog.tables(lake) == []
        assert all(layer.files("") == [] for layer in (lake.bronze, lake.silver, lake.gold))


HOLDER = f"""
import sys, time
from hermes.lake.backends import lock
lock.LEASE_S, lock.RENEW_S = {LEASE_S}, {RENEW_S}
from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.settings import Settings
settings = Settings.load({{"lake.url": sys.argv[1]}})
with Lake.open(settings).locked(Dataset(symbol="BTCUSDT"), "run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def killed_later(settings: Settings, s3_server) -> Iterator[subprocess.Popen]:
    environ = os.environ | s3_server.environ()
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
    monkeypatch.setattr(lock._Lease, "renew", lambda *_: None)
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
        dead.setattr(lock._Lease, "renew", lambda *_: None)
        dead.setattr(lock._Lease, "release", lambda *_: None)
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

    def losing(store, path, content, *, mode):
        put(store, path, content, mode=mode)
        lost.append(path)
        return put(store, path, content, mode=mode)  # what the client's own retry meets

    lake = Lake.open(bucket)
    monkeypatch.setattr(lock.obstore, "put", losing)
    hold(lake, BTC)
    hold(lake, BTC)
    assert len(lost) >= 4  # twice taken, twice released


def test_a_store_that_is_away_is_named(load: Callable):
    settings = load("s3://gone/{layer}", s3__endpoint="http://127.0.0.1:9", s3__access_key="a", s3__secret_key="b")
    with pytest.raises(StoreError, match="cannot be reached"):
        hold(Lake.open(settings), BTC)


def test_a_store_that_goes_away_ends_the_lease(bucket: Settings, monkeypatch: pytest.MonkeyPatch):
    lake, now = Lake.open(bucket), lock._now
    with lake.locked(BTC, "run") as held:
        monkeypatch.setattr(lock.obstore, "put", gone)
        held.gold._check()
        monkeypatch.setattr(lock, "_now", lambda: now() + LEASE_S)
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


def test_a_folder_that_cannot_be_written(load: Callable, tmp_path: Path):
    (tmp_path / "_locks").write_text("in the way")
    with pytest.raises(StoreError):
        hold(Lake.open(load(tmp_path)), BTC)
