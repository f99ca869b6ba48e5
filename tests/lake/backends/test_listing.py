"""Keys of strangers in a bucket: none of them hides a file of Hermes, or stops a command."""

import logging
from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
from tests.s3_double import Double, Stored, serve_double
from tests.s3_server import S3Server

from hermes.dataset import Dataset
from hermes.errors import StoreError
from hermes.lake import catalog
from hermes.lake.backends import listing, s3_client
from hermes.lake.backends.listing import Listing
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.bronze.archive import Archive

STRANGERS = [
    "t//old.parquet",
    "t/../x.parquet",
    "t/./y.parquet",
    "/leading.txt",
    "t/",
    "t/year=2020/",
    "t//",
    "//",
    "100%/x",
]
ENDLESS = b"<a><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken></a>"
KEPT = ["t/year=2020/a b+c&d%2Fé.parquet", "t/year=2020/data_0.parquet"]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    monkeypatch.setattr(listing, "_warned", set())
    with serve_double() as server:
        yield server


def lake(server: S3Server, **more: str) -> Lake:
    return Lake.open(Settings.load({"lake.url": "s3://strangers-{layer}", **server.flags(), **more}, environ={}))


def test_strangers_hide_nothing(double: Double, caplog: pytest.LogCaptureFixture):
    gold = lake(double).gold
    for key in KEPT:
        gold.write(key, pl.DataFrame({"a": [1]}), {})
    before = gold.files("")
    for key in STRANGERS:
        double.buckets["strangers-gold"][key] = Stored(b"", {})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert gold.files("") == before  # etags and all
            assert gold.files("t") == before
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said))  # each is told once
    assert any("'s3://strangers-gold/t//old.parquet' is passed over" in line for line in said)
    assert gold._backend.exists()
    assert catalog.tables(lake(double)) is not None


@pytest.mark.parametrize("token", [{}, {"s3.session_token": "a token"}])
@pytest.mark.parametrize("name", ["s3_server", "moto"])
def test_the_request_of_our_own_is_signed_as_servers_want_it(
    request: pytest.FixtureRequest, name: str, token: dict, monkeypatch: pytest.MonkeyPatch
):
    server = request.getfixturevalue(name)
    if token and name == "s3_server":
        pytest.skip("SeaweedFS knows no session tokens")
    gold = lake(server, **token).gold
    for key in KEPT:
        gold.write_bytes(key, b"x")
    bucket = gold._backend
    found, _ = bucket._listing._asked("t", delimiter="")
    assert [entry["path"] for entry in found] == KEPT
    _, folders = bucket._listing._asked("t", delimiter="/")
    assert folders == ["t/year=2020"]
    assert [entry["path"] for entry in bucket._listing.below("t")] == KEPT
    monkeypatch.setattr(s3_client, "RETRIES", 0)


def test_more_pages_than_one(moto: S3Server):
    gold = lake(moto).gold
    for number in range(5):
        gold.write_bytes(f"many/{number}.bin", b"x")
    mine = gold._backend._listing
    request = mine._request
    mine._request = lambda query: request({**query, "max-keys": "2"})  # type: ignore[method-assign]
    assert len(mine._asked("many", delimiter="")[0]) == 5


def test_an_archive_with_strangers_is_read(double: Double):
    like = Dataset(symbol="SIMUSDT")
    stem = f"{like.archive_folder}/{like.archive_stem(date(2024, 11, 1))}.zip"
    double.buckets["mirror"] = {
        key: Stored(b"zip", {})
        for key in (stem, f"{like.archive_folder}//x.zip", f"{like.archive_folder}/", f"{stem}/")
    }
    settings = Settings.load(double.flags(), environ={}).s3
    mirror = Listing(s3_client.connect("mirror", settings), "mirror", settings)
    archive = Archive(mirror, True, "s3://mirror")
    (file,) = archive.list(like)
    assert archive.fetch(file).data == b"zip"


@pytest.mark.parametrize("answer", [b"<a><b></a>", b"", b"<a><Contents><Key>t/x</Key></Contents></a>", ENDLESS])
def test_a_damaged_answer_is_no_traceback(double: Double, monkeypatch: pytest.MonkeyPatch, answer: bytes):
    double.buckets["strangers-silver"] = {"t//old.parquet": Stored(b"", {})}
    monkeypatch.setattr(Listing, "_page", lambda *_: answer)
    with pytest.raises(StoreError, match="does not answer as S3 does"):
        lake(double).silver.files("t")
