"""`doctor`: a sound store has no fault; each unsound one is found, with a cure, and nothing of a probe is left."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections import namedtuple
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from tests.s3_double import Double, Quirks, serve_double

from hermes.lake.backends import lease, s3, s3_client
from hermes.lake.backends.conditions import Known
from hermes.lake.backends.folder import Folder
from hermes.settings import Settings
from hermes.steps.maintenance.doctor import Diagnosis, diagnose

TRIED = ["create-only", "hash on record", "replace", "clock", "delete"]
OF_A_FOLDER = ["reachable", "free space", "staging", "hard links", "fsync", "locks", *TRIED]
OF_A_BUCKET = ["reachable", "free space", "conditions", *TRIED[:3], "ranges", *TRIED[3:], "lock"]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test makes of a store is not remembered by the next; those who race for a lock look again soon."""
    monkeypatch.setattr(s3, "_CONDITIONS", Known())
    monkeypatch.setattr(lease, "RENEW_S", 0.3)


@pytest.fixture
def folder(tmp_path: Path) -> Settings:
    return Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={})


@pytest.fixture
def bucket(s3_server) -> Settings:
    """A bucket that is there."""
    settings = Settings.load({"lake.url": f"s3://steps/{uuid.uuid4().hex}/{{layer}}", **s3_server.flags()}, environ={})
    obstore.put(s3_client.connect("steps", settings.s3), "there", b"")
    return settings


def faults(made: Diagnosis) -> set[tuple[str, str]]:
    """Check and cure of whatever is wrong, whatever the layer."""
    assert made.healthy == all(each.ok for each in made.findings)
    assert all(bool(each.cure) == (not each.ok) for each in made.findings)
    return {(each.check, each.cure) for each in made.findings if not each.ok}


def refuse(number: int) -> Callable:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fails


def test_a_new_folder_is_sound_and_nothing_is_left_in_it(folder: Settings, tmp_path: Path):
    made = diagnose(folder)
    assert faults(made) == set()
    assert [(each.layer, each.check) for each in made.findings] == [
        (layer, check) for layer in ("bronze", "silver", "gold") for check in OF_A_FOLDER
    ]
    assert "not there yet" in made.findings[0].found
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list((tmp_path / "lake").glob("[a-z]*"))


def test_a_lake_in_use_stays_as_it_is(folder: Settings, tmp_path: Path):
    gold = tmp_path / "lake" / "gold"
    gold.mkdir(parents=True)
    (gold / "x.parquet").write_bytes(b"x")
    assert diagnose(folder).healthy
    assert [path.name for path in gold.rglob("*")] == ["x.parquet"]


def test_buckets_that_are_there_are_sound_and_nothing_is_left_in_them(bucket: Settings):
    made = diagnose(bucket)
    assert faults(made) == set()
    assert [each.check for each in made.findings] == OF_A_BUCKET * 3
    prefix = bucket.lake.url.removeprefix("s3://steps/").removesuffix("/{layer}")
    assert [
        entry["path"] for page in obstore.list(s3_client.connect("steps", bucket.s3), prefix) for entry in page
    ] == []


def test_no_secret_is_told(bucket: Settings, s3_server):
    told = str(diagnose(bucket).as_json())
    assert s3_server.secret_key not in told
    assert s3_server.access_key not in told


@pytest.mark.parametrize(
    ("changed", "cure"),
    [
        ({"secret_key": "wrong-secret-key"}, "check s3.access_key"),
        ({"endpoint": "http://127.0.0.1:1"}, "check s3.endpoint"),
    ],
)
def test_a_store_that_cannot_be_used(
    bucket: Settings, s3_server, monkeypatch: pytest.MonkeyPatch, changed: dict, cure: str
):
    monkeypatch.setattr(s3_client, "RETRIES", 0)
    settings = Settings.load({"lake.url": bucket.lake.url, **s3_server.flags(**changed)}, environ={})
    made = diagnose(settings)
    assert [each.check for each in made.findings] == ["reachable"] * 3
    assert all(cure in told for _, told in faults(made))


def test_a_bucket_that_is_missing_is_not_made(s3_server):
    settings = Settings.load({"lake.url": f"s3://t{uuid.uuid4().hex}-{{layer}}", **s3_server.flags()}, environ={})
    for _ in range(2):
        assert faults(diagnose(settings)) == {("reachable", "create it, or let `hermes run` do it")}


@pytest.fixture(scope="module")
def double():
    with serve_double() as server:
        server.buckets["steps"] = {}
        yield server


def on_double(double: Double, **quirks: Any) -> Settings:
    double.quirks = Quirks(**quirks)
    return Settings.load({"lake.url": "s3://steps/{layer}", **double.flags()}, environ={})


@pytest.mark.parametrize(
    ("quirks", "said"),
    [
        ({}, "If-None-Match and If-Match are honoured"),
        ({"if_match": "bare"}, "If-None-Match and If-Match are honoured, etags without quotes"),
        ({"quoted_in_lists": False}, "If-None-Match and If-Match are honoured"),
        ({"if_match": "ignored"}, "If-Match not honoured: what needs"),
        ({"if_none_match": False}, "If-None-Match not honoured: what needs"),
        ({"if_match": "ignored", "if_none_match": False}, "If-None-Match and If-Match not honoured: what needs"),
    ],
)
def test_a_store_that_differs_is_told_and_can_be_used(double: Double, quirks: dict, said: str):
    made = diagnose(on_double(double, **quirks))
    assert faults(made) == set()
    assert {each.found.partition(" them")[0] for each in made.findings if each.check == "conditions"} == {said}
    assert [each.check for each in made.findings] == OF_A_BUCKET * 3
    assert double.buckets["steps"] == {}


@pytest.mark.parametrize(
    ("quirks", "found"),
    [({}, {"replace"}), ({"if_match": "ignored", "if_none_match": False}, {"create-only", "lock"})],
)
def test_a_store_whose_listings_lag(double: Double, quirks: dict, found: set[str]):
    made = diagnose(on_double(double, listed_after_s=5, **quirks))
    assert {check for check, _ in faults(made)} == found
    assert not made.healthy
    assert double.buckets["steps"] == {}


def test_keys_that_may_not_delete(double: Double, monkeypatch: pytest.MonkeyPatch):
    settings = on_double(double)
    monkeypatch.setattr(s3.Bucket, "remove", lambda *_: None)
    assert {check for check, _ in faults(diagnose(settings))} == {"delete"}
    double.buckets["steps"].clear()


def test_a_store_that_drops_metadata(bucket: Settings, monkeypatch: pytest.MonkeyPatch):
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *args, **kw: put(*args, **{**kw, "attributes": None}))
    assert {check for check, _ in faults(diagnose(bucket))} == {"hash on record"}


def test_a_store_behind_a_cache(bucket: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3.Bucket, "replace", lambda *_: None)
    assert {check for check, _ in faults(diagnose(bucket))} == {"replace"}


@pytest.mark.parametrize("minutes", [-14, 14])
@pytest.mark.parametrize("store", ["folder", "bucket"])
def test_a_clock_that_is_off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, store: str, minutes: int):
    for backend in (Folder, s3.Bucket):
        told = backend.modified
        monkeypatch.setattr(
            backend, "modified", lambda self, key, told=told: told(self, key) + timedelta(minutes=minutes)
        )
    made = diagnose(request.getfixturevalue(store))
    assert {check for check, _ in faults(made)} == {"clock"}
    off = int(re.search(r"([+-]\d+) s off", next(each.found for each in made.findings if each.check == "clock"))[1])
    assert abs(off - 60 * minutes) <= 2  # stores tell whole seconds


@pytest.mark.parametrize("store", ["folder", "bucket"])
def test_a_full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, store: str):
    settings = request.getfixturevalue(store)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**10, 10**10 - 10**6, 10**6))
    ((check, cure),) = faults(diagnose(settings))
    assert check == "free space"
    assert ("TMPDIR" in cure) == (store == "bucket")


@pytest.mark.parametrize(
    ("target", "call", "number", "check", "cure"),
    [
        (os, "link", errno.EPERM, "hard links", "on S3"),
        (os, "fsync", errno.EINVAL, "fsync", "local disk"),
        (fcntl, "flock", errno.ENOLCK, "locks", "with locks"),
        (Path, "mkdir", errno.EACCES, "staging", "--lake"),
    ],
)
def test_a_file_system_that_lacks_something(
    folder: Settings, monkeypatch: pytest.MonkeyPatch, target: object, call: str, number: int, check: str, cure: str
):
    monkeypatch.setattr(target, call, refuse(number))
    ((found, told),) = faults(diagnose(folder))
    assert found == check
    assert cure in told


@pytest.mark.skipif(os.getuid() != 0, reason="only root can leave files of another user")
def test_staging_of_another_user_is_not_told_as_missing_locks(folder: Settings, tmp_path: Path):
    staging = tmp_path / "lake" / "_staging"
    staging.mkdir(parents=True)
    (staging / "theirs").mkdir()
    (staging / "theirs.lock").touch(mode=0o600)
    tmp_path.chmod(0o777)
    for above in tmp_path.parents[:3]:  # pytest keeps its folders to their owner
        above.chmod(above.stat().st_mode | 0o011)
    for path in (tmp_path / "lake", staging):
        path.chmod(0o777)
    code = (
        "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from hermes.settings import Settings; from hermes.steps.maintenance.doctor import diagnose\n"
        "print([(e.found, e.cure) for e in diagnose(Settings.load({'lake.url': sys.argv[1]})).findings if not e.ok])"
    )
    imports = "import hermes.steps.maintenance.doctor, hermes.lake.probe, hermes.settings\n"
    done = subprocess.run(
        [sys.executable, "-c", imports + code, folder.lake.url], cwd="/", capture_output=True, text=True, check=False
    )
    assert "theirs.lock is root's, and this user may not lock it" in done.stdout, done.stderr
    assert "no locks" not in done.stdout


def test_a_layer_on_a_disk_of_its_own(folder: Settings, monkeypatch: pytest.MonkeyPatch):
    stat = Path.stat

    def elsewhere(self: Path, **kw) -> os.stat_result:
        found = stat(self, **kw)
        if self.name == "_doctor":
            return os.stat_result([*found[:2], found.st_dev + 1, *found[3:10]])
        return found

    monkeypatch.setattr(Path, "stat", elsewhere)
    ((check, cure),) = faults(diagnose(folder))
    assert check == "staging"
    assert "mount" in cure


def test_a_file_in_place_of_the_lake(tmp_path: Path, folder: Settings):
    (tmp_path / "lake").write_text("")
    made = diagnose(folder)
    assert not made.healthy
    assert all(cure for _, cure in faults(made))


def test_an_address_that_cannot_be_a_bucket():
    ((check, _),) = faults(diagnose(Settings.load({"lake.url": "s3://A_B-{layer}"}, environ={})))
    assert check == "address"
