"""What goes over the wire: the token of temporary keys, the region of a new bucket, and errors that hold keys."""

import os
import tempfile
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from hermes.dataset import Dataset
from hermes.errors import StoreError
from hermes.lake.backends import lease, s3, s3_client
from hermes.lake.backends.conditions import Conditions
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake
from hermes.settings import Settings

ACCESS, SECRET, TOKEN = "AKIA-canary-access", "canary-secret-key", "canary-session-token"
NO_BUCKET = "<Error><Code>NoSuchBucket</Code></Error>"


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """A server that notes every request and answers what it is told to: status and body, then `always`."""

    address: str
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    always: tuple[int, str] = (200, "")


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire("")

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            wire.requests.append(Request(self.command, self.path, headers, body))
            status, said = wire.answers.pop(0) if wire.answers else wire.always
            self.send_response(status)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.encode())

        do_GET = do_PUT = do_HEAD = do_DELETE = do

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wire.address = f"http://127.0.0.1:{server.server_port}"
    yield wire
    server.shutdown()
    server.server_close()


def lake(wire: Wire, **more: str) -> Lake:
    flags = {"endpoint": wire.address, "access_key": ACCESS, "secret_key": SECRET, **more}
    return Lake.open(
        Settings.load({"lake.url": "s3://x-{layer}", **{f"s3.{name}": v for name, v in flags.items()}}, environ={})
    )


@pytest.mark.parametrize("token", [TOKEN, None])
def test_the_token_of_temporary_keys_goes_with_every_request(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, token: str | None
):
    monkeypatch.setattr(s3_client, "RETRIES", 0)
    gold = lake(wire, **({"session_token": token} if token else {})).gold
    gold.write_bytes("x.bin", b"x")
    gold.read("x.bin")
    with pytest.raises(StoreError), gold.errors():
        gold.scan([LakeFile("x", 1, "1", gold.locate("x"))]).collect()  # Polars' own client
    assert len(wire.requests) >= 3
    assert {request.headers.get("x-amz-security-token") for request in wire.requests} == {token}


@pytest.mark.parametrize(
    ("region", "body"),
    [("us-east-1", b""), ("eu-central-1", b"<LocationConstraint>eu-central-1</LocationConstraint>")],
)
def test_a_new_bucket_names_its_region_where_s3_wants_that(wire: Wire, region: str, body: bytes):
    wire.answers.append((404, NO_BUCKET))
    lake(wire, region=region).gold.write_bytes("x.bin", b"x")
    first, made, second = wire.requests
    assert (first.path, made.path.partition("?")[0].rstrip("/"), second.path) == (
        "/x-gold/x.bin", "/x-gold", "/x-gold/x.bin",
    )  # fmt: skip
    assert body in made.body
    assert bool(made.body) == bool(body)


@pytest.mark.parametrize("act", ["write", "list", "read", "scan", "bucket"])
def test_keys_that_a_store_repeats_in_its_answer_are_in_no_error_and_no_traceback(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, act: str
):
    monkeypatch.setattr(s3_client, "RETRIES", 0)
    gold = lake(wire, session_token=TOKEN).gold
    said = f"{ACCESS} {SECRET} {TOKEN} <Error><AWSAccessKeyId>{ACCESS}</AWSAccessKeyId><m>{SECRET} {TOKEN}</m></Error>"
    wire.answers.extend(([(404, NO_BUCKET)] if act == "bucket" else []) + [(400, said)] * 3)
    acts = {
        "write": lambda: gold.write_bytes("x.bin", b"x"),
        "bucket": lambda: gold.write_bytes("x.bin", b"x"),
        "list": lambda: gold.files(""),
        "read": lambda: gold.read("x.bin"),
        "scan": lambda: gold.scan([LakeFile("x", 1, "1", gold.locate("x"))]).collect(),
    }
    with pytest.raises(StoreError) as refused, gold.errors():
        acts[act]()
    text = "".join(traceback.format_exception(refused.value))
    assert "x-gold" in text
    for secret in (ACCESS, SECRET, TOKEN):
        assert secret not in text


@pytest.mark.parametrize(
    ("code", "cure"), [("RequestTimeTooSkewed", "set this machine's clock"), ("ExpiredToken", "new temporary keys")]
)
def test_clocks_and_old_tokens_have_a_cure(wire: Wire, code: str, cure: str):
    wire.answers.append((403, f"<Error><Code>{code}</Code></Error>"))
    with pytest.raises(StoreError, match=cure):
        lake(wire).gold.files("")


def test_files_wait_in_a_folder_that_nobody_else_can_plant(wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gold = lake(wire).gold
    with gold.staged() as path:
        assert path.is_relative_to(tmp_path)
        assert gold.staging.stat().st_mode & 0o777 == 0o700
    gold.staging.rmdir()
    gold.staging.symlink_to(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: gold.staging.lstat().st_uid + 1)
    with pytest.raises(StoreError, match="belongs to another user → set TMPDIR"), gold.staged():
        pass


NO_KEY = "<Error><Code>NoSuchKey</Code></Error>"
BARE_404 = ""  # what some servers say of a bucket as of a key


@pytest.fixture
def known_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store honours need not be tried out."""
    monkeypatch.setattr(s3.Bucket, "conditions", lambda _: Conditions(True, "quoted"))


@pytest.mark.usefixtures("known_store")
@pytest.mark.parametrize("said", [NO_BUCKET, BARE_404])
def test_a_lock_in_a_missing_bucket_creates_the_bucket(wire: Wire, said: str):
    wire.answers.extend([(404, said), (404, said), (200, ""), (404, NO_KEY)])
    with lake(wire).locked(Dataset(symbol="BTCUSDT"), "run"):
        pass
    asked = [(request.method, request.path.partition("?")[0].rstrip("/")) for request in wire.requests]
    key = f"/x-gold/{Dataset(symbol='BTCUSDT').lock_key}"
    assert asked[:5] == [("GET", key), ("PUT", key), ("PUT", "/x-gold"), ("GET", key), ("PUT", key)]


@pytest.mark.usefixtures("known_store")
@pytest.mark.parametrize("act", ["write", "lock"])
def test_a_bucket_that_may_not_be_created_is_an_error(wire: Wire, act: str):
    wire.answers.extend(
        [(404, NO_KEY)] * (act == "lock") + [(404, NO_BUCKET), (403, "<Error><Code>AccessDenied</Code></Error>")]
    )
    with pytest.raises(
        StoreError, match=r"x-gold is missing and cannot be created \(HTTP 403 AccessDenied\) → create it"
    ):
        write_or_lock(wire, act)


@pytest.mark.usefixtures("known_store")
@pytest.mark.parametrize("act", ["write", "lock"])
def test_a_store_that_never_has_the_bucket_is_given_up(wire: Wire, monkeypatch: pytest.MonkeyPatch, act: str):
    monkeypatch.setattr(s3, "CREATED_S", 0.2)
    wire.answers.extend([(404, NO_KEY)] * (act == "lock") + [(404, NO_BUCKET), (200, "")])
    wire.always = (404, NO_BUCKET)
    with pytest.raises(StoreError, match=r"bucket x-gold was created, and 0 s later .* is missing → create it"):
        write_or_lock(wire, act)


@pytest.mark.usefixtures("known_store")
def test_a_lock_that_a_store_never_gives_and_never_shows_is_given_up(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    for name in ("LEASE_S", "TAKE_S", "RENEW_S"):
        monkeypatch.setattr(lease, name, 0.1)
    wire.answers.extend([(404, NO_KEY), (412, ""), (404, NO_KEY)] * 1000)
    with pytest.raises(StoreError, match=r"its lock _locks/.* could neither be taken nor seen .* `hermes doctor`"):
        write_or_lock(wire, "lock")


def write_or_lock(wire: Wire, act: str) -> None:
    if act == "write":
        lake(wire).gold.write_bytes("x.bin", b"x")
    with lake(wire).locked(Dataset(symbol="BTCUSDT"), "run"):
        pass
