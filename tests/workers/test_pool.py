"""Tasks run the same in threads and on a cluster, and outlive a worker that dies and a connection that breaks."""

import os
import pickle
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster, Security

from hermes.errors import ClusterError, UsageError
from hermes.settings import Settings
from hermes.workers import dask
from hermes.workers import pool as executor
from hermes.workers.dask import Pool
from hermes.workers.pool import RESENT, Place, completed, place

CORES = len(os.sched_getaffinity(0))
CANARY = "canary-of-a-secret-key"


@pytest.fixture(scope="module")
def settings():
    return Settings.load({"s3.access_key": "who", "s3.secret_key": CANARY}, environ={})


@pytest.fixture(scope="module")
def two_workers(settings):
    with place(settings, workers=2) as where:
        yield where


def square(number: int) -> int:
    if number == 3:
        raise ValueError(f"{number} is refused")
    return number * number


def slow_square(number: int) -> int:
    time.sleep(0.1)
    return number * number


def whoami(_: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("POLARS_MAX_THREADS")


def core_of(_: int) -> tuple[int, frozenset[int]]:
    time.sleep(0.05)
    return os.getpid(), frozenset(os.sched_getaffinity(0))


def secret_of(settings: Settings) -> str | None:
    assert settings.s3.secret_key
    return settings.s3.secret_key.get_secret_value()


def die_once(marker: Path) -> str:
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return "done"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def die_always(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def outcomes(where, tasks) -> dict[int, object]:
    return {
        task: repr(result) if isinstance(result, Exception) else result
        for task, result in completed(where, square, tasks)
    }


EXPECTED = {number: number * number for number in range(40)} | {3: "ValueError('3 is refused')"}


def test_threads_do_every_task(settings):
    with place(settings) as where:
        assert outcomes(where, range(40)) == EXPECTED


def test_a_cluster_does_the_same(two_workers):
    assert outcomes(two_workers, range(40)) == EXPECTED
    assert two_workers.slots == 2 and two_workers.dashboard.startswith("http://127.0.0.1:")


def test_tasks_are_taken_as_there_is_room_for_them(settings):
    with place(settings) as where:
        done = completed(where, square, (number + 4 for number in count()))  # without end
        for _ in range(100):
            next(done)
        done.close()


def results(done: Iterable[tuple[Any, Any]]) -> list[Any]:
    """What the tasks returned; none of them failed."""
    found = [result for _, result in done]
    assert not [result for result in found if isinstance(result, Exception)]
    return found


def test_workers_are_processes_of_one_thread(two_workers):
    found = results(completed(two_workers, whoami, range(20)))
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {"1"}


@pytest.mark.skipif(CORES > 4, reason=f"it would start {CORES} workers")
def test_workers_that_are_as_many_as_cores_have_one_each_also_after_one_died(settings, tmp_path):
    with place(settings, workers=CORES) as where:
        before = dict(results(completed(where, core_of, range(20 * CORES))))
        ((_, outcome),) = completed(where, die_once, [tmp_path / "died"])
        assert outcome == "done"
        where.pool._client.wait_for_workers(CORES)
        after = dict(results(completed(where, core_of, range(20 * CORES))))
    assert before.keys() != after.keys()
    each = sorted([core] for core in os.sched_getaffinity(0))
    assert sorted(map(sorted, before.values())) == sorted(map(sorted, after.values())) == each


@pytest.mark.skipif(CORES < 2, reason="there is one core only")
def test_fewer_workers_than_cores_use_any(settings):
    with place(settings, workers=1) as where:
        ((_, cores),) = results(completed(where, core_of, [0]))
    assert cores == os.sched_getaffinity(0)


def test_secrets_reach_workers_but_never_travel(settings, two_workers):
    assert CANARY.encode() not in pickle.dumps(settings) and CANARY not in repr(settings)
    ((_, found),) = completed(two_workers, secret_of, [settings])
    assert found == CANARY


def test_secrets_leave_the_environment_with_the_place(settings):
    assert "HERMES_S3__SECRET_KEY" not in os.environ
    with place(settings, workers=1):
        assert os.environ["HERMES_S3__SECRET_KEY"] == CANARY
    assert "HERMES_S3__SECRET_KEY" not in os.environ


def test_a_task_outlives_its_worker(two_workers, tmp_path):
    tasks = [tmp_path / f"{number}" for number in range(2)]
    found = dict(completed(two_workers, die_once, tasks))
    assert found == dict.fromkeys(tasks, "done")
    assert outcomes(two_workers, range(10)) == {number: EXPECTED[number] for number in range(10)}


def test_a_broken_connection_loses_no_task(settings, two_workers, tmp_path):
    with relay(two_workers.pool._address) as (address, cut), joined(two_workers, address) as where:
        found = []
        for task, result in completed(where, square, range(40)):
            found.append((task, repr(result) if isinstance(result, Exception) else result))
            if len(found) == 5:
                cut()
    assert dict(found) == EXPECTED and len(found) == len(EXPECTED)


def test_tasks_that_the_scheduler_forgot_in_silence_are_sent_again(settings, two_workers, monkeypatch):
    monkeypatch.setattr(executor, "SILENCE_S", 0.5)
    monkeypatch.setattr(dask, "_FETCH_S", 2.0)  # of a result that was on its way when it was forgotten

    def forget(dask_scheduler, client: str) -> None:
        dask_scheduler.remove_client(client)

    with joined(two_workers) as where:
        done = completed(where, slow_square, range(30))
        found = [next(done) for _ in range(3)]
        client = where.pool._client
        client.run_on_scheduler(forget, client=client.id)
        found += done
    assert dict(found) == {number: number * number for number in range(30)} and len(found) == 30


def test_a_slow_task_is_not_taken_for_a_forgotten_one(settings, two_workers, monkeypatch):
    monkeypatch.setattr(executor, "SILENCE_S", 0.01)
    with joined(two_workers) as where:
        client = where.pool._client
        assert dict(completed(where, slow_square, range(6))) == {number: number * number for number in range(6)}
        assert where.pool._client is client


def refused(address: str, security: Security | None) -> str:
    """What a client is told that Dask lets not in."""
    with pytest.raises(OSError) as told:
        Client(address, timeout="1s", security=security).close()
    return str(told.value)


def test_a_stranger_cannot_talk_to_the_workers_of_a_run(two_workers):
    address = two_workers.pool._address
    workers = two_workers.pool._client.scheduler_info()["workers"]
    nannies = [each["nanny"] for each in workers.values()]
    assert address.startswith("tls://127.0.0.1:")
    assert refused(address.replace("tls", "tcp"), None)  # as any user of this machine could have done
    assert refused(address, Security.temporary())  # a certificate, but not of this run
    for each in (address, *workers, *nannies):
        assert not takes_commands(each)
    assert outcomes(two_workers, range(4)) == {number: EXPECTED[number] for number in range(4)}


def takes_commands(address: str) -> bool:
    """Whether a server lets in who shows no certificate: it says the first word then, Dask's handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = address.removeprefix("tls://").split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain) as wrapped:
            return bool(wrapped.recv(1))  # TLS 1.3 refuses a client only at its first read
    except ssl.SSLError as error:
        assert "certificate required" in str(error).lower().replace("_", " ")
        return False


def test_a_cluster_without_tls_is_warned_about_and_used(settings, caplog):
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1") as made,
        place(settings, cluster=made.scheduler_address) as where,
    ):
        assert dict(completed(where, square, [2])) == {2: 4}
    assert "is neither encrypted nor authenticated" in caplog.text


def test_a_cluster_with_tls_takes_the_certificates_of_the_settings(tmp_path, caplog):
    files = certificate(tmp_path)
    known = Security(
        require_encryption=True,
        tls_ca_file=str(files["ca_file"]),
        **{
            f"tls_{role}_{kind}": str(files[f"{kind}_file"])
            for role in ("scheduler", "worker", "client")
            for kind in ("cert", "key")
        },
    )
    settings = Settings.load({f"cluster.{name}": str(path) for name, path in files.items()}, environ={})
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None, host="127.0.0.1", security=known) as made:
        address = made.scheduler_address
        with place(settings, cluster=address) as where:
            assert dict(completed(where, square, [2])) == {2: 4}
        stranger = certificate(tmp_path / "stranger")
        strangers = Settings.load({f"cluster.{name}": str(path) for name, path in stranger.items()}, environ={})
        with pytest.raises(ClusterError, match="check that it runs with TLS"), place(strangers, cluster=address):
            pass
    assert "is not encrypted" not in caplog.text


@pytest.mark.parametrize(
    ("address", "lost", "said"),
    [
        ("tcp://127.0.0.1:1", "", r"is not for TLS → write it as tls://"),
        ("tls://127.0.0.1:1", "key_file", r"key_file .* cannot be read"),
        ("tls://127.0.0.1:1", "cert_file", r"cert_file .* cannot be read"),
    ],
)
def test_certificates_that_cannot_be_used(tmp_path, address, lost, said):
    files = certificate(tmp_path)
    settings = Settings.load({f"cluster.{name}": str(path) for name, path in files.items()}, environ={})
    if lost:
        files[lost].unlink()
    with pytest.raises(UsageError, match=said), place(settings, cluster=address):
        pass


def test_files_that_are_no_certificates_and_none_at_all(settings, tmp_path):
    files = certificate(tmp_path)
    files["key_file"].write_text("no key")
    wrong = Settings.load({f"cluster.{name}": str(path) for name, path in files.items()}, environ={})
    for each, said in ((wrong, "give PEM files that belong together"), (settings, "needs certificates → set")):
        with pytest.raises(UsageError, match=said), place(each, cluster="tls://127.0.0.1:1"):
            pass


def certificate(folder: Path) -> dict[str, Path]:
    """One self-signed certificate, as the files that the settings name."""
    folder.mkdir(exist_ok=True)
    made = Security.temporary()
    files = {f"{name}_file": folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    files["ca_file"].write_text(made.tls_ca_file)
    files["cert_file"].write_text(made.tls_client_cert)
    files["key_file"].write_text(made.tls_client_key)
    return files


def test_a_scheduler_that_stays_away_is_an_error(settings, monkeypatch):
    monkeypatch.setattr(dask, "_CONNECT_S", 0.3)
    with pytest.raises(ClusterError, match="no Dask scheduler answers"), place(settings, cluster="tcp://127.0.0.1:1"):
        pass


def test_one_place_at_a_time(settings):
    with pytest.raises(UsageError, match="--workers"), place(settings, 2, "tcp://127.0.0.1:8786"):
        pass


def test_what_the_cluster_forgets_again_and_again_is_an_error(settings):
    class Forgetful:
        def submit(self, work, task):
            from concurrent.futures import Future

            future: Future[Any] = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            self.sent = getattr(self, "sent", 0) + 1
            return future

    pool = Forgetful()
    ((_, found),) = completed(Place(pool, 1, "forgetful"), square, [1])
    assert isinstance(found, ClusterError) and pool.sent == RESENT + 1


def test_a_task_that_kills_every_worker_is_given_up(settings):
    with place(settings, workers=2) as where:
        ((_, found),) = completed(where, die_always, [1])
    assert isinstance(found, ClusterError) and "died" in found.message and found.cure


@contextmanager
def joined(started, address: str = ""):
    """Another connection to workers that were started here, as one of their own."""
    pool = Pool(address or started.pool._address, started.pool._security)
    try:
        yield Place(pool, started.slots, "joined", renewed=pool.renewed)
    finally:
        pool.close()


@contextmanager
def relay(target: str):
    """A TCP relay to `target`: its address, and a function that cuts every connection through it."""
    host, port = target.removeprefix("tls://").rsplit(":", 1)
    server = socket.create_server(("127.0.0.1", 0))
    pairs: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection((host, int(port)))
                pairs.extend((near, far))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    def cut() -> None:
        for end in pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        pairs.clear()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"tls://127.0.0.1:{server.getsockname()[1]}", cut
    finally:
        server.close()
        cut()
