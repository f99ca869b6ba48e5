"""Cures of S3 stores that are missing something, differ from others, or keep other bytes than were put."""

from unittest import mock

import polars as pl
from tests.cures.world import World, cures
from tests.s3_double import Quirks, _Handler

from hermes.lake.backends import lease, s3, s3_client


@cures("create it, or let `hermes run` do it")
def a_bucket_that_is_missing(world: World):
    with world.store():
        world.mends("doctor", options="--no-report --no-audit")


@cures("check lake.url and s3.endpoint (AWS_ENDPOINT_URL), or let `hermes run` create it")
def a_bucket_that_went_away(world: World):
    with world.store() as double:
        told = world.told(str(s3_client.explain(Exception("404: NoSuchBucket"), "s3://gold")))
        world.follow(told, options="--no-report --no-audit")
        assert {"bronze", "silver", "gold"} <= double.buckets.keys()


@cures(
    "check s3.access_key and s3.secret_key (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MINIO_ROOT_USER and"
    " MINIO_ROOT_PASSWORD); `hermes config` shows where they come from"
)
def keys_of_another_store(world: World):
    with world.store() as double:
        double.buckets |= {"bronze": {}, "silver": {}, "gold": {}}
        for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
            with mock.patch.object(_Handler, "_list", lambda self, *_, code=code: self._say(403, code)):
                world.shows("ls", "AWS_ACCESS_KEY_ID")
        world.ok("ls")


@cures("keep large tables, and those of other tools, on another store; `hermes doctor` tries one out")
def a_store_that_gives_no_parts(world: World):
    def whole(self: _Handler, objects: dict, key: str) -> None:
        there = objects.get(key)
        self._answer(200, there.data, {"ETag": f'"{there.etag}"', **there.meta}) if there else self._say(
            404, "NoSuchKey"
        )

    with world.store(), mock.patch.object(_Handler, "_get", whole):
        world.lake.gold.write("t/x.parquet", pl.DataFrame({"a": [1]}), {})
        with mock.patch("hermes.lake.backends.whole_reads.FILE_BYTES", 0):
            world.shows("doctor", "ranges", code=1)


@cures("`hermes audit --bytes` tells whether it was damaged there or in transit")
def an_object_that_is_not_what_was_put(world: World):
    with world.store() as double:
        world.ok("run --no-report --no-audit")
        key = next(key for key in double.buckets["silver"] if key.endswith(".parquet") and "rejects" not in key)
        stored = double.buckets["silver"][key]
        stored.data = stored.data[:-9] + b"X" + stored.data[-8:]
        del double.buckets["gold"]
        world.shows("features", key, code=3)


@cures("make it of fewer rows with --start and --end")
def more_than_one_put_carries(world: World):
    with world.store():
        world.ok("run --no-report --no-audit --end 2024-11-20")
        world.monkeypatch.setattr(s3, "MULTIPART_BYTES", 40_000)
        world.chooses("signals", values={"--start": "2024-12-01 --end 2024-12-05", "--end": "2024-11-05"})


@cures("run `hermes doctor`, which checks whether the store supports locks")
def a_lock_that_nobody_gets(world: World):
    with world.store():
        world.lake.gold.write_bytes("there", b"")
        with (
            mock.patch.multiple(lease, LEASE_S=0.2, TAKE_S=0.2),
            mock.patch.object(lease._Lease, "try_to_take", lambda self: False),
        ):
            told = world.fails("ingest")
            assert "FAULT" in world.type("doctor").out
        assert "`hermes doctor`" in told
        world.ok("ingest")


@cures("keep the lake on a store that honours If-Match and If-None-Match; `hermes doctor` tries one out")
def a_store_that_lists_late(world: World):
    with world.store(Quirks(if_match="ignored", if_none_match=False, listed_after_s=3.0)):
        told = world.fails("ingest")
        said = world.type("doctor")
        assert said.code == 1
        assert "`hermes doctor`" in told
    world.monkeypatch.setenv("HERMES_LAKE__URL", "./lake/{layer}")
    world.ok("ingest")
