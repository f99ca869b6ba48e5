"""Tasks run the same in threads and on a cluster, and outlive a worker that dies and a connection that breaks."""

import os
import pickle
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from hermes import executor
from hermes.errors import ClusterError, UsageError
from hermes.executor import RESENT, completed, place
from hermes.settings import Settings

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


def test_workers_are_processes_of_one_thread(two_workers):
    found = [result for _, result in completed(two_workers, whoami, range(20))]
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {"1"}


@pytest.mark.skipif(CORES > 4, reason=f"it would start {CORES} workers")
def test_workers_that_are_as_many_as_cores_have_one_each_also_after_one_died(settings, tmp_path):
    with place(settings, workers=CORES) as where:
        before = dict(result for _, result in completed(where, core_of, range(20 * CORES)))
        ((_, outcome),) = completed(where, die_once, [tmp_path / "died"])
        assert outcome == "done"
        where.pool._client.wait_for_workers(CORES)
        after = dict(result for _, result in completed(where, core_of, range(20 * CORES)))
    assert before.keys() != after.keys()
    each = sorted([core] for core in os.sched_getaffinity(0))
    assert sorted(map(sorted, before.values())) == sorted(map(sorted, after.values())) == each


@pytest.mark.skipif(CORES < 2, reason="there is one core only")
def test_fewer_workers_than_cores_use_any(settings):
    with place(settings, workers=1) as where:
        ((_, (_, cores)),) = completed(where, core_of, [0])
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
    scheduler = two_workers.pool._address
    with relay(scheduler) as (address, cut), place(settings, cluster=address) as where:
        found = []
        for task, result in completed(where, square, range(40)):
            found.append((task, repr(result) if isinstance(result, Exception) else result))
            if len(found) == 5:
                cut()
    assert dict(found) == EXPECTED and len(found) == len(EXPECTED)


def test_tasks_that_the_scheduler_forgot_in_silence_are_sent_again(settings, two_workers, monkeypatch):
    monkeypatch.setattr(executor, "SILENCE_S", 0.5)

    def forget(dask_scheduler, client: str) -> None:
        dask_scheduler.remove_client(client)

    with place(settings, cluster=two_workers.pool._address) as where:
        done = completed(where, slow_square, range(30))
        found = [next(done) for _ in range(3)]
        client = where.pool._client
        client.run_on_scheduler(forget, client=client.id)
        found += done
    assert dict(found) == {number: number * number for number in range(30)} and len(found) == 30


def test_a_slow_task_is_not_taken_for_a_forgotten_one(settings, two_workers, monkeypatch):
    monkeypatch.setattr(executor, "SILENCE_S", 0.01)
    with place(settings, cluster=two_workers.pool._address) as where:
        client = where.pool._client
        assert dict(completed(where, slow_square, range(6))) == {number: number * number for number in range(6)}
        assert where.pool._client is client


def test_a_scheduler_that_stays_away_is_an_error(settings):
    with pytest.raises(ClusterError, match="no Dask scheduler answers"), place(settings, cluster="tcp://127.0.0.1:1"):
        pass


def test_one_place_at_a_time(settings):
    with pytest.raises(UsageError, match="--workers"), place(settings, 2, "tcp://127.0.0.1:8786"):
        pass


def test_what_the_cluster_forgets_again_and_again_is_an_error(settings):
    class Forgetful:
        def submit(self, work, task):
            from concurrent.futures import Future

            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            self.sent = getattr(self, "sent", 0) + 1
            return future

    from hermes.executor import Place

    pool = Forgetful()
    ((_, found),) = completed(Place(pool, 1, "forgetful"), square, [1])
    assert isinstance(found, ClusterError) and pool.sent == RESENT + 1


def test_a_task_that_kills_every_worker_is_given_up(settings):
    with place(settings, workers=2) as where:
        ((_, found),) = completed(where, die_always, [1])
    assert isinstance(found, ClusterError) and "died" in found.message and found.cure


@contextmanager
def relay(target: str):
    """A TCP relay to `target`: its address, and a function that cuts every connection through it."""
    host, port = target.removeprefix("tcp://").rsplit(":", 1)
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
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", cut
    finally:
        server.close()
        cut()
