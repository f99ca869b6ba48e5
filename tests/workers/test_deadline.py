"""No call into Dask is waited for without end: not a peer that says nothing, nor workers that do not stop."""

import signal
import socket
import subprocess
import threading
from types import SimpleNamespace

import pytest

from hermes.errors import ClusterError
from hermes.settings import Settings
from hermes.workers import dask
from hermes.workers.deadline import within
from hermes.workers.pool import place


@pytest.fixture
def never():
    """Something that is waited for without end, until the test is over."""
    over = threading.Event()
    yield over
    over.set()


@pytest.fixture
def impatient(monkeypatch):
    for name in ("_CONNECT_S", "_ANSWER_S", "_CLOSE_S", "_STOP_S", "_GRACE_S", "_ON_ITS_WAY_S", "_START_S"):
        monkeypatch.setattr(dask, name, 0.1)


def test_what_a_call_gives_and_what_it_raises_comes_through():
    assert within(5, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        within(5, divmod, 7, 0)
    with pytest.raises(KeyboardInterrupt):
        within(5, stop)


def stop() -> None:
    raise KeyboardInterrupt


def test_a_call_that_does_not_return_is_left_behind(never):
    with pytest.raises(TimeoutError):
        within(0.01, never.wait)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_a_peer_that_accepts_and_says_nothing_is_no_scheduler(impatient, scheme):
    security = dask._certificate_for_one_run(dask._distributed()) if scheme == "tls" else None
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match="no Dask scheduler answers"):
            dask.Pool(address, security)


def silent_client(never, **parts):
    """A client whose scheduler has fallen silent."""
    return SimpleNamespace(
        id="it", futures={"key": SimpleNamespace(status="pending")}, status="running",
        close=lambda timeout: never.wait(), run_on_scheduler=lambda known: never.wait(), nthreads=never.wait,
        wait_for_workers=lambda number, timeout: never.wait(),
    )  # fmt: skip


def test_a_scheduler_that_falls_silent_is_given_up(impatient, never, monkeypatch):
    first, second = silent_client(never), SimpleNamespace(close=lambda timeout: None)
    made = iter([first, second])
    monkeypatch.setattr(dask, "_distributed", lambda: SimpleNamespace(Client=lambda *_, **__: next(made)))
    pool = dask.Pool("tcp://127.0.0.1:1", None)
    with pytest.raises(ClusterError, match=r"has not answered for 0\.1 s"):
        _ = pool.slots
    pool._promised.add(object())
    assert pool.renewed() and pool._client is second
    assert first.status == "closed"  # so that Dask does not try once more when it is collected
    pool.close()


def test_workers_that_cannot_be_started_in_time_are_an_error(impatient, never, monkeypatch):
    distributed = SimpleNamespace(LocalCluster=lambda **_: never.wait(), Security=dask._distributed().Security)
    monkeypatch.setattr(dask, "_distributed", lambda: distributed)
    with (
        pytest.raises(ClusterError, match=r"2 workers could not be started: they were not ready in 0\.1 s"),
        place(Settings.load({}, environ={}), workers=2),
    ):
        pass


def test_workers_that_do_not_stop_are_killed(impatient, never):
    process = subprocess.Popen(["sleep", "60"])
    workers = {0: SimpleNamespace(pid=process.pid), 1: SimpleNamespace(pid=None)}
    dask._stop(SimpleNamespace(__exit__=lambda *_: never.wait(), workers=workers))
    assert process.wait(10) == -signal.SIGKILL
