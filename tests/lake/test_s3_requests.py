"""What goes over the wire: the token of temporary keys, the region of a new bucket, and errors that hold keys."""

import os
import tempfile
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from hermes.errors import StoreError
from hermes.lake import s3
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


class Wire(NamedTuple):
    """A server that notes every request and answers what it is told to: status and body, then 200."""

    address: str
    requests: list[Request]
    answers: list[tuple[int, str]]


@pytest.fixture
def wire() -> Iterator[Wire]:
    requests: list[Request] = []
    answers: list[tuple[int, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append(Request(self.command, self.path, headers, body))
            status, said = answers.pop(0) if answers else (200, "")
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
    yield Wire(f"http://127.0.0.1:{server.server_port}", requests, answers)
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
    monkeypatch.setattr(s3, "RETRIES", 0)
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
    monkeypatch.setattr(s3, "RETRIES", 0)
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
    with pytest.raises(StoreError, match="belongs to somebody else → set TMPDIR"), gold.staged():
        pass
