"""What reaches an S3 store: private authorities, keys that may see only a part of a bucket, errors with a cure."""

import datetime
import ipaddress
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.s3_double import Double, Quirks, Stored, _Handler, serve_double

from hermes.dataset import Dataset
from hermes.errors import ArchiveError, HermesError, SettingsError, StoreError
from hermes.lake.backends import s3, s3_client
from hermes.lake.backends.conditions import Known
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.steps.ingest import _archive
from hermes.steps.maintenance.doctor import diagnose

BTC = Dataset(symbol="BTCUSDT")


@pytest.fixture(autouse=True)
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "RETRIES", 0)
    monkeypatch.setattr(s3, "_CONDITIONS", Known())
    monkeypatch.setenv("SSL_CERT_FILE", "")  # put back afterwards, whatever a test made of it


def certificate(folder: Path, days: int = 2, name: str = "127.0.0.1") -> ssl.SSLContext:
    """A server's TLS; the authority's certificate is `ca.pem` in the folder."""
    now = datetime.datetime.now(datetime.UTC)
    folder.mkdir(exist_ok=True)
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of one's own")])

    def sign(subject: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime.datetime, *, ca: bool) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
            made = made.add_extension(names, critical=False)
        return made.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)

    (folder / "ca.pem").write_bytes(sign(issuer, authority, now + datetime.timedelta(days=9), ca=True))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    chain = folder / "server.pem"
    key = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(sign(subject, server, now + datetime.timedelta(days=days), ca=False) + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Double, Path]]:
    """A store behind TLS of a private authority, and that authority's file."""
    folder = tmp_path_factory.mktemp("tls")
    with serve_double(tls=certificate(folder)) as server:
        yield server, folder / "ca.pem"


def lake(server: Double, *, environ: dict[str, str] | None = None, **more: str) -> Lake:
    flags = {"lake.url": "s3://{layer}", **server.flags(), **{name.replace("__", "."): v for name, v in more.items()}}
    return Lake.open(Settings.load(flags, environ=environ or {}))


def use(made: Lake) -> None:
    """Everything that goes over the wire: the bucket is made, an object is put, listed, read by Polars, and locked."""
    with made.locked(BTC, "run") as held:
        held.silver.write("t/x.parquet", pl.DataFrame({"a": [1]}), {})
    (file,) = made.silver.files("t")
    assert made.silver.scan([file]).collect().height == 1


@pytest.mark.parametrize("how", ["setting", "AWS_CA_BUNDLE"])
def test_a_private_authority_is_trusted(private: tuple[Double, Path], how: str):
    server, authority = private
    server.buckets.clear()
    if how == "setting":
        use(lake(server, s3__ca_file=str(authority)))
    else:
        use(lake(server, environ={"AWS_CA_BUNDLE": str(authority)}))
    trusted = Path(os.environ["SSL_CERT_FILE"]).read_bytes()
    assert authority.read_bytes() in trusted
    if system := ssl.get_default_verify_paths().cafile:
        assert Path(system).read_bytes().rstrip() in trusted  # the public archive's is still among them


def test_ssl_cert_file_alone_does_as_well(private: tuple[Double, Path], monkeypatch: pytest.MonkeyPatch):
    server, authority = private
    server.buckets.clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    use(lake(server))


def test_an_authority_that_nobody_named(private: tuple[Double, Path]):
    server, _ = private
    for act in (lambda made: made.silver.files("t"), lambda made: made.silver.write_bytes("x", b"x"), scan):
        with pytest.raises(StoreError) as refused:
            act(lake(server))
        assert f"the certificate of the store at {server.endpoint} is signed by" in refused.value.message
        assert "UnknownIssuer" in refused.value.message
        assert "s3.ca_file (AWS_CA_BUNDLE)" in refused.value.cure


def scan(made: Lake) -> None:
    """As Polars does it."""
    with made.silver.errors():
        pl.scan_parquet(made.silver.locate("x"), storage_options=made.silver._backend.scan_options).collect()


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"no certificate", "has no certificate")])
def test_an_authority_that_cannot_be_read(tmp_path: Path, content: bytes | None, said: str):
    path = tmp_path / "ca.pem"
    if content:
        path.write_bytes(content)
    settings = Settings.load({"lake.url": "s3://{layer}", "s3.ca_file": str(path)}, environ={})
    with pytest.raises(SettingsError, match=f"s3.ca_file .*{said}"):
        Lake.open(settings)


def reason(
    endpoint: str, act: Callable[[Lake], object] = lambda made: made.silver.files("t"), **more: str
) -> HermesError:
    settings = Settings.load(
        {"lake.url": "s3://{layer}", "s3.endpoint": endpoint, **{f"s3.{name}": v for name, v in more.items()}},
        environ={},
    )
    with pytest.raises(StoreError) as refused:
        act(Lake.open(settings))
    return refused.value


KEYS = {"access_key": "who", "secret_key": "what"}


@pytest.mark.parametrize(
    ("endpoint", "said", "cure"),
    [
        ("http://127.0.0.1:9", "127.0.0.1:9 cannot be reached: connection refused", "s3.endpoint (AWS_ENDPOINT_URL)"),
        ("http://no-such-host.invalid:9000", "cannot be reached: its host name is unknown", "s3.endpoint"),
    ],
)
@pytest.mark.parametrize("act", [lambda made: made.silver.files("t"), scan])
def test_a_store_that_is_not_there(endpoint: str, said: str, cure: str, act: Callable):
    error = reason(endpoint, act, **KEYS)
    assert said in error.message
    assert cure in error.cure


def test_certificates_that_are_not_right(tmp_path: Path):
    for number, (name, days, said) in enumerate(
        (("127.0.0.2", 2, "is for another name"), ("127.0.0.1", -1, "has expired, or is not valid yet"))
    ):
        folder = tmp_path / f"{number}"
        with serve_double(tls=certificate(folder, days, name)) as server:
            error = reason(server.endpoint, **KEYS, ca_file=str(folder / "ca.pem"))
            assert said in error.message


def test_http_and_https_that_are_mixed_up(private: tuple[Double, Path]):
    with serve_double() as plain:
        assert "does not speak TLS" in reason(plain.endpoint.replace("http", "https"), **KEYS).message
    silent = reason(private[0].endpoint.replace("https", "http"), **KEYS)
    assert "ends the connection without an answer" in silent.message
    assert "http:// or https://" in silent.cure


def test_a_tls_port_that_says_so(monkeypatch: pytest.MonkeyPatch):
    said = b"Client sent an HTTP request to an HTTPS server.\n"  # MinIO, and whatever else is written in Go
    monkeypatch.setattr("tests.s3_double._Handler.do_GET", lambda self: self._answer(400, said))
    with serve_double() as server:
        error = reason(server.endpoint, **KEYS)
    assert (error.message, error.cure) == (
        f"s3://silver: the store at {server.endpoint} speaks TLS only",
        "write s3.endpoint (AWS_ENDPOINT_URL) with https://",
    )


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, b""), (200, b"<html>log in"), (200, b"\x00\xff\x1b[2J"), (404, b""), (404, b"<html>no such page"),
     (405, b"no"), (501, b"")],
)  # fmt: skip
@pytest.mark.parametrize(
    "act",
    [lambda made: made.silver.files("t"), lambda made: made.silver.write_bytes("t", b""), use],
)
def test_an_address_at_which_something_else_answers(
    monkeypatch: pytest.MonkeyPatch, status: int, answer: bytes, act: Callable
):
    monkeypatch.setattr(s3_client, "RETRIES", 0)
    for method in ("GET", "PUT"):
        monkeypatch.setattr(f"tests.s3_double._Handler.do_{method}", lambda self: something_else(self, status, answer))
    with serve_double() as server:
        server.buckets["silver"] = {}
        error = reason(server.endpoint, act, **KEYS)
    assert "does not answer as S3 does" in error.message
    assert "s3.endpoint (AWS_ENDPOINT_URL)" in error.cure


def something_else(handler: _Handler, status: int, answer: bytes) -> None:
    handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    handler._answer(status, answer)


@pytest.mark.parametrize("code", ["PermanentRedirect", "AuthorizationHeaderMalformed"])
def test_a_bucket_in_another_region(monkeypatch: pytest.MonkeyPatch, code: str):
    status = 301 if code == "PermanentRedirect" else 400
    monkeypatch.setattr("tests.s3_double._Handler.do_GET", lambda self: self._say(status, code))
    with serve_double() as server:
        error = reason(server.endpoint, **KEYS)
    assert "says that the bucket is in another region" in error.message
    assert "s3.region (AWS_REGION)" in error.cure


def test_a_store_that_is_too_slow_is_told_from_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3_client, "RETRIES", 0)
    monkeypatch.setattr(s3_client, "REQUEST_S", 0.2)
    monkeypatch.setattr(s3, "REQUEST_S", 0.2)
    monkeypatch.setattr("tests.s3_double._Handler.do_GET", lambda self: time.sleep(0.5))
    with serve_double() as server:
        error = reason(server.endpoint, **KEYS)
    assert "is there, and does not answer in time" in error.message


def test_an_object_that_went_away_after_it_was_listed():
    with serve_double() as server:
        made = lake(server)
        made.silver.write("t/x.parquet", pl.DataFrame({"a": [1]}), {})
        (file,) = made.silver.files("t")
        del server.buckets["silver"]["t/x.parquet"]
        with pytest.raises(StoreError, match="has no object any more that it listed a moment ago") as refused:
            made.silver.footer(file)
        assert "run again" in refused.value.cure


@pytest.mark.parametrize(
    ("code", "keys", "said", "cure"),
    [
        ("AccessDenied", {}, "requires keys, and none are set", "AWS_ACCESS_KEY_ID"),
        ("AccessDenied", KEYS, "does not allow these keys to do this", "allow them to list"),
        ("InvalidAccessKeyId", KEYS, "refuses these keys: it does not know the access key", "MINIO_ROOT_USER"),
        ("SignatureDoesNotMatch", KEYS, "refuses these keys: the secret key is another one", "check s3.access_key"),
    ],
)
def test_keys_that_do_not_open(monkeypatch: pytest.MonkeyPatch, code: str, keys: dict, said: str, cure: str):
    with serve_double() as server:
        monkeypatch.setattr("tests.s3_double._Handler._list", lambda self, *_: self._say(403, code))
        server.buckets["silver"] = {}
        error = reason(server.endpoint, **keys)
        assert said in error.message
        assert server.endpoint in error.message
        assert cure in error.cure


# --- keys that may see a part of a bucket -----------------------------------------------------------------------------


@pytest.fixture
def part() -> Iterator[Double]:
    """A store whose keys may list below one prefix: it answers 403 where an object is absent."""
    with serve_double(Quirks(only_below="team/hermes/", no_new_buckets=True)) as server:
        server.buckets["company"] = {"other/secret": None}
        yield server


def test_a_lake_below_a_prefix_needs_no_other_right(part: Double):
    made = lake(part, lake__url="s3://company/team/hermes/{layer}")
    assert made.gold.read("none.json") is None
    assert made.gold._backend.recorded_hashes("none.json") == set()
    use(made)
    with made.gold.staged() as path:
        path.write_bytes(b"x")
        made.gold.create("t/execution/signals.parquet", path)
    assert made.gold.read("t/execution/signals.parquet") == b"x"
    settings = Settings.load({"lake.url": "s3://company/team/hermes/{layer}", **part.flags()}, environ={})
    found = diagnose(settings)
    assert found.healthy, found


def test_an_object_written_between_the_denial_and_the_listing_is_read(part: Double, monkeypatch: pytest.MonkeyPatch):
    key = "team/hermes/gold/lock.claims/other"
    listing = s3_client.obstore.list_with_delimiter

    def meanwhile(*given: object) -> object:
        part.buckets["company"][key] = Stored(b"theirs", {})
        return listing(*given)

    monkeypatch.setattr(s3_client.obstore, "list_with_delimiter", meanwhile)
    store = lake(part, lake__url="s3://company/team/hermes/{layer}").gold._backend._store
    assert bytes(s3_client.get(store, key).bytes()) == b"theirs"


def test_a_lake_where_keys_may_not_list_is_told(part: Double):
    made = lake(part, lake__url="s3://company/another/{layer}")
    with pytest.raises(StoreError, match="does not allow these keys to do this → allow them to list"):
        made.gold.read("none.json")
    settings = Settings.load({"lake.url": "s3://company/another/{layer}", **part.flags()}, environ={})
    found = diagnose(settings)
    assert not found.healthy


@pytest.mark.parametrize("scheme", ["https", "s3"])
def test_an_archive_behind_a_private_authority(private: tuple[Double, Path], scheme: str):
    server, authority = private
    server.buckets["mirror"] = {}
    address = f"{server.endpoint}/mirror" if scheme == "https" else "s3://mirror"
    flags = {**server.flags(), "archive.url": address}
    settings = Settings.load(flags, environ={})
    with pytest.raises(ArchiveError, match=r"UnknownIssuer\) → name the authority's PEM file with SSL_CERT_FILE"):
        _archive(settings).list(BTC)
    if scheme == "s3":
        with pytest.raises(ArchiveError, match="there is nothing under"):
            _archive(Settings.load({**flags, "s3.ca_file": str(authority)}, environ={})).list(BTC)


def test_processes_started_later_trust_it_too(private: tuple[Double, Path]):
    server, authority = private
    code = "import os; from hermes.lake.store import Lake; from hermes.settings import Settings;" \
        "s = Settings.load({'lake.url': 's3://{layer}'}); Lake.open(s).gold.write_bytes('later', b'x');" \
        "print(os.environ['SSL_CERT_FILE'])"  # fmt: skip
    environ = {**os.environ, **server.environ(), "AWS_CA_BUNDLE": str(authority)}
    environ.pop("SSL_CERT_FILE", None)
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert server.buckets["gold"]["later"].data == b"x"
