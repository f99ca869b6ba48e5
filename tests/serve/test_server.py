"""What the server answers, to whom, and what it never does: write, run, reach outside the lake."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from threading import Event

import polars as pl
import pytest
from tests.record.decisions import Service, simulated_bars
from tests.record.lakes import put_record
from tests.s3_server import S3Server
from tests.serve.conftest import TABLE, Running, at, running

from hermes.errors import MissingTable, StoreError, UsageError
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, Layer, footer_of
from hermes.serve import handlers
from hermes.serve.handlers import PAGE_POLICY, POLICY
from hermes.serve.reader import Reader, read_only
from hermes.serve.server import Server
from hermes.settings import Settings
from hermes.steps.features import features
from hermes.steps.ingest import ingest
from hermes.steps.refine import refine
from hermes.steps.signals import signals


def execution(root: Path) -> str:
    (folder,) = (root / "gold" / "trading_signals_smart_momentum_spot_SIMUSDT_4h").iterdir()
    return folder.name


def whole(root: Path) -> dict[str, tuple[int, str]]:
    """Every file and folder, with its time and its bytes."""
    return {
        str(path): (path.stat().st_mtime_ns, sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(root.rglob("*"))
    }


def test_every_page_answers_and_nothing_is_written(server: Running, root: Path) -> None:
    before = whole(root)
    overview = server.ask("/")
    assert overview.status == 200
    for name in ("bronze_SIMUSDT_4h", "silver_SIMUSDT_4h", "features_SIMUSDT_4h", TABLE):
        assert f'href="/tables/{name}"' in overview.text
        table = server.ask(f"/tables/{name}")
        assert table.status == 200
        assert "SIMULATED MARKET" in table.text
        assert "<td>" in table.text
    decisions = server.ask("/tables/decisions_smart_momentum_spot_1h").text
    assert decisions.count("<tr>") == 41
    assert "SIMULATED MARKET" in decisions
    name = execution(root)
    assert f'href="/tables/{TABLE}/{name}"' in server.ask(f"/tables/{TABLE}").text
    assert "too few to conclude" in server.ask(f"/tables/{TABLE}").text, "wherever a Sharpe is shown"
    one = server.ask(f"/tables/{TABLE}/{name}")
    assert "fingerprint" not in one.text
    assert "parameters.rsi_low" in one.text
    assert "too few to conclude" in one.text
    framed = server.ask(f"/tables/{TABLE}/{name}/page")
    assert f'<iframe src="/tables/{TABLE}/{name}/report.html" sandbox="allow-scripts"' in framed.text
    made = server.ask(f"/tables/{TABLE}/{name}/report.html")
    assert made.status == 200
    assert "Simulated market." in made.text
    assert server.ask(f"/tables/{TABLE}/{name}/report.html").text == made.text
    assert whole(root) == before


def test_a_stored_page_is_shown_as_it_was_published(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "gold", tmp_path / "gold")
    folder = next((tmp_path / "gold" / "trading_signals_smart_momentum_spot_SIMUSDT_4h").iterdir())
    (folder / "report.html").write_text("<p>as published")
    reader = Reader(at(tmp_path), Lake.open(at(tmp_path)))
    assert reader.page(TABLE, folder.name) == "<p>as published"


def test_of_a_known_table_only_its_own_folder_is_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    files = Layer.files

    def noted(self: Layer, prefix: str, suffix: str = ".parquet") -> list[LakeFile]:
        listed.append(prefix)
        return files(self, prefix, suffix)

    reader, fresh = Reader(at(root), Lake.open(at(root))), Reader(at(root), Lake.open(at(root)))
    names = [each["name"] for each in reader.tables()]
    assert len(names) == 5
    monkeypatch.setattr(Layer, "files", noted)
    shown = {name: reader.table(name) for name in names}
    reader.execution(TABLE, execution(root))
    assert "" not in listed
    assert shown == {name: fresh.table(name) for name in names}
    assert "" in listed


def test_a_known_table_is_shown_as_it_is_now(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "gold", tmp_path / "gold")
    reader = Reader(at(tmp_path), Lake.open(at(tmp_path)))
    reader.tables()
    made = signals(at(tmp_path))
    assert made.execution in {each["name"] for each in reader.table(TABLE)["executions"]}
    shutil.rmtree(tmp_path / "gold" / "trading_signals_smart_momentum_spot_SIMUSDT_4h")
    with pytest.raises(MissingTable, match="the lake has no table"):
        reader.table(TABLE)


def test_the_page_of_a_comparison_leads_to_those_of_its_datasets(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "gold", tmp_path / "gold")
    folder = tmp_path / "gold" / "universe_smart_momentum" / "execution_20250101_000000"
    folder.mkdir(parents=True)
    pl.DataFrame({"symbol": ["SIMUSDT"]}).write_parquet(folder / "universe.parquet")
    (folder / "universe.html").write_text("<p>as published")
    link = f"trading_signals_smart_momentum_spot_SIMUSDT_4h/{execution(root)}/report.html"
    with running(at(tmp_path)) as server:
        assert server.ask(f"/tables/universe_smart_momentum/{folder.name}/report.html").text == "<p>as published"
        assert "Open its page" in server.ask(f"/tables/universe_smart_momentum/{folder.name}").text
        assert "Simulated market." in server.ask(f"/tables/{link}").text
        (folder / "universe.html").unlink()
        assert "Open its page" not in server.ask(f"/tables/universe_smart_momentum/{folder.name}").text
        answer = server.ask(f"/tables/universe_smart_momentum/{folder.name}/report.html")
        assert answer.status == 404
        assert "has no page" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"])
def test_nothing_but_reading_is_answered(server: Running, method: str) -> None:
    for path in ("/", f"/tables/{TABLE}", "/events", "/nowhere"):
        assert server.ask(path, method).status in (400, 405)


def test_head_is_get_without_a_body(server: Running) -> None:
    answer = server.ask(f"/tables/{TABLE}", "HEAD")
    assert (answer.status, answer.text) == (200, "")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../handlers.py", "/static/..%2fhandlers.py", "/static/%2e%2e/handlers.py", "/static/serve.css%00",
        "/tables/..%2f..%2fetc%2fpasswd", "/tables/%2e%2e", f"/tables/{TABLE}/..%2f..%2fpromotions",
        f"/tables/{TABLE}/execution_20200101_000000", f"/tables/{TABLE}/execution_20200101_000000/report.html",
        f"/tables/{TABLE}/..%2fsignals.parquet/report.html", "/tables/features_SIMUSDT_4h/year=2025",
        "/tables/features_SIMUSDT_4h/year=2025/report.html", "/tables/nothing", "/nowhere", "//etc/passwd",
        "/tables/%ff%fe", "/tables/" + "x" * 4000, "/static/", "/tables/", f"/tables/{TABLE}/",
    ],
)  # fmt: skip
def test_no_address_leads_out_of_the_lake(server: Running, path: str) -> None:
    answer = server.ask(path)
    assert answer.status in (400, 404)
    assert "Traceback" not in answer.text
    assert len(answer.text) < 5_000


def test_names_that_are_not_the_servers_are_refused(server: Running) -> None:
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]", "LOCALHOST:1", "127.0.0.2:99"):
        assert server.ask("/static/live.js", host=host).status == 200, host
    for host in ("evil.example", f"evil.example:{server.port}", "localhost.evil.example", "192.0.2.1", "0.0.0.0",
                 "localhost@evil.example", "evil.example/localhost"):  # fmt: skip
        for path in ("/", "/events", "/static/live.js", "/nowhere"):
            assert server.ask(path, host=host).status in (400, 403), host
    assert server.ask("/", host="").status in (400, 403)
    answer = server.ask("/", host="<b>evil</b>.example")
    assert "<b>" not in answer.text


def test_on_other_addresses_any_number_and_the_names_given_are_its_own(root: Path) -> None:
    with running(at(root), "0.0.0.0", ("Lake.Example.org",)) as server:
        for host in ("192.0.2.1:80", "localhost", "lake.example.org:1", "[2001:db8::1]:80"):
            assert server.ask("/static/live.js", host=host).status == 200, host
        assert server.ask("/static/live.js", host="other.example.org").status == 403


def test_every_answer_carries_a_strict_policy(server: Running, root: Path) -> None:
    for path in ("/", "/nowhere", "/tables/nothing", "/static/live.js", f"/tables/{TABLE}"):
        headers = server.ask(path).headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers
        assert "Access-Control-Allow-Origin" not in headers
        assert "Set-Cookie" not in headers
    assert "unsafe" not in POLICY
    page = server.ask(f"/tables/{TABLE}/{execution(root)}/report.html").headers
    assert page["Content-Security-Policy"] == PAGE_POLICY
    assert PAGE_POLICY.startswith("sandbox allow-scripts;")
    for path in ("/", f"/tables/{TABLE}", f"/tables/{TABLE}/{execution(root)}"):
        text = server.ask(path).text
        assert "<script>" not in text
        assert "style=" not in text
        assert " on" not in "".join(part.partition(">")[0] for part in text.split("<") if "=" in part)


def test_status_and_record_come_by_events_when_they_change(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "lake", dirs_exist_ok=True)
    hourly = at(tmp_path / "lake", dataset__interval="1h")
    with running(at(tmp_path / "lake")) as server, server.events() as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.readline() == b"retry: 3000\n"
        first = dict(next_event(stream) for _ in range(2))
        (dataset,) = [each for each in first["status"]["datasets"] if each["interval"] == "4h"]
        assert dataset["symbol"] == "SIMUSDT"
        assert len(first["record"]["rows"]) == 20
        service = Service(simulated_bars(300)).run(250, 291)
        put_record(hourly, service.record.tail(1))
        name, told = next_event(stream)
        assert name == "record"
        assert told["decisions"][0]["hash"] == service.head.hash


def next_event(stream) -> tuple[str, dict]:
    name = ""
    while line := stream.readline().decode():
        if line.startswith("event: "):
            name = line.removeprefix("event: ").strip()
        if line.startswith("data: "):
            return name, json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream has ended")


def test_more_listeners_than_it_can_bear_are_sent_away(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MOST_LISTENERS", 1)
    with server.events() as first:
        assert first.readline()
        assert server.ask("/events").status == 503


def test_a_lake_that_does_not_answer_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Event()
    monkeypatch.setattr(handlers, "DEADLINE_S", 0.1)
    monkeypatch.setattr(Reader, "table", lambda self, name: hold.wait(20))
    try:
        answer = server.ask(f"/tables/{TABLE}")
    finally:
        hold.set()
    assert answer.status == 504
    assert "did not answer" in answer.text


def test_an_error_is_one_line_with_its_cure_and_no_secret(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Reader, name: str) -> None:
        raise StoreError("s3://user:secretsecret@host is <b>broken</b>", "mend <i>it</i>")

    monkeypatch.setattr(Reader, "table", fail)
    answer = server.ask(f"/tables/{TABLE}")
    assert answer.status == 500
    assert "&lt;b&gt;broken" in answer.text
    assert "mend &lt;i&gt;it" in answer.text
    assert "secretsecret" not in answer.text


def test_its_lake_publishes_nothing(root: Path, tmp_path: Path) -> None:
    settings = at(tmp_path)
    with pytest.raises(StoreError, match="`hermes serve` only reads"):
        read_only(Lake.open(settings)).gold.write_bytes("x/y.json", b"{}")
    assert list(tmp_path.rglob("*.json")) == []


def test_addresses_that_cannot_be_had(root: Path) -> None:
    settings = at(root)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 is taken → choose another with --port"):
            Server(settings, Lake.open(settings), "127.0.0.1", port)
    with pytest.raises(UsageError, match="is not an address of this machine"):
        Server(settings, Lake.open(settings), "192.0.2.77", 0)
    with pytest.raises(UsageError, match="cannot be resolved"):
        Server(settings, Lake.open(settings), "no.such.invalid", 0)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGHUP])
def test_from_the_command_line_until_ctrl_c(root: Path, tmp_path: Path, ending: signal.Signals) -> None:
    code = "from hermes.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--lake", f"{root}/{{layer}}"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = process.stdout.readline()
            assert "read-only; stop with Ctrl-C" in said
            process.send_signal(ending)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == ""
    assert err == "stopped\n"


def test_a_lake_on_s3_is_shown_and_not_touched(s3_server: S3Server, simulated: Path, tmp_path: Path) -> None:
    flags = {"lake.url": "s3://served-lake/{layer}", "archive.url": str(simulated), "dataset.symbol": "SIMUSDT"}
    settings = Settings.load(flags | s3_server.flags(), environ={})
    lake = Lake.open(settings)
    ingest(settings, lake)
    refine(settings, lake)
    features(settings, lake)
    made = signals(settings, lake)

    def objects() -> list[tuple[str, str]]:
        layers = (lake.bronze, lake.silver, lake.gold, lake.test)
        return [(file.key, file.version) for layer in layers for file in layer.files("", "")]

    before = objects()
    with running(settings) as server:
        overview = server.ask("/")
        assert "s3://served-lake/{layer}" in overview.text
        assert "SIMUSDT 4h (simulated)" in overview.text
        assert "<td>" in server.ask(f"/tables/{TABLE}").text
        assert server.ask(f"/tables/{TABLE}/{made.execution}").status == 200
        assert "Simulated market." in server.ask(f"/tables/{TABLE}/{made.execution}/report.html").text
        with server.events() as stream:
            assert next_event(stream)[0] == "status"
        assert s3_server.secret_key not in overview.text
    assert objects() == before


def test_an_empty_lake_says_how_to_fill_it(tmp_path: Path) -> None:
    with running(at(tmp_path)) as server:
        answer = server.ask("/")
        assert answer.status == 200
        assert "The lake is empty" in answer.text
    assert list(tmp_path.iterdir()) == []


def test_what_a_lake_says_is_never_markup(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "lake", dirs_exist_ok=True)
    evil = "<img src=x onerror=alert(1)>"
    settings = at(tmp_path / "lake", strategy__smart_momentum__ema_fast=9)
    made = signals(settings)
    file = Path(made.path)
    lineage = json.loads(pl.read_parquet_metadata(file)["hermes"])
    key = f"{file.parent.parent.name}/{file.parent.name}/signals.parquet"
    lineage |= {"generated_at": evil, "python": evil, "warnings": [evil], "sources": [{"path": evil}]}
    lineage["parameters"] |= {evil: evil}
    rows = pl.read_parquet(file).with_columns(pl.lit(evil).alias("strategy"))
    rows.write_parquet(file, metadata=footer_of(lineage, key))
    with running(settings) as server:
        for path in ("/", f"/tables/{TABLE}", f"/tables/{TABLE}/{file.parent.name}"):
            text = server.ask(path).text
            assert "<img" not in text, path
        assert "&lt;img src=x onerror" in server.ask(f"/tables/{TABLE}/{file.parent.name}").text
