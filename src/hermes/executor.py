"""Where tasks run: threads of this process, spawned processes of this machine, or a Dask cluster that runs already.

All three are a `concurrent.futures.Executor`, so what is done does not know where. A task carries names and settings
only: `Settings` travels without secrets, and whoever runs it opens the lake itself.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from hermes.errors import ClusterError, UsageError
from hermes.settings import Settings

Task = TypeVar("Task")
Result = TypeVar("Result")

RESENT = 5  # times that a task is sent again after the cluster forgot it
_AHEAD = 4  # tasks for each slot that are sent before they can run, so that no worker waits for the next
_CONNECT = "10s"
_WORKERS = "30s"  # how long the first worker of a cluster is waited for
_LOOPBACK = "127.0.0.1"  # what is started here, nobody else can reach
_ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}  # workers are as many as cores: more would only wait


@dataclass(frozen=True, slots=True)
class Place:
    """Where tasks run.

    Attributes:
        pool: takes them.
        slots: how many run at once.
        name: for people, like "2 threads".
        dashboard: address of Dask's dashboard, None without one.
    """

    pool: Executor
    slots: int
    name: str
    dashboard: str | None = None


@contextmanager
def place(settings: Settings, workers: int | None = None, cluster: str | None = None) -> Iterator[Place]:
    """Somewhere to run tasks, until the block is left; then what waits is dropped, what runs in a thread ends first.

    Args:
        settings: whose secrets the processes started here are given, through their environment.
        workers: start so many processes of one thread each, with Dask.
        cluster: address of a running Dask scheduler, like tcp://host:8786, instead.

    Raises:
        UsageError: both are given, or Dask is not installed.
        ClusterError: nothing answers at the address, or the processes cannot be started.
    """
    if workers and cluster:
        raise UsageError("--workers starts a cluster, --cluster names a running one", "give one of them")
    if workers:
        with _secrets_in_environment(settings), _started(workers) as client:
            yield _on(client, f"{workers} worker{'s' if workers > 1 else ''} of this machine")
    elif cluster:
        with _joined(cluster) as client:
            yield _on(client, f"the cluster at {cluster}")
    else:
        threads = os.cpu_count() or 1
        pool = ThreadPoolExecutor(threads, "hermes")
        try:
            yield Place(pool, threads, f"{threads} thread{'s' if threads > 1 else ''}")
        finally:
            pool.shutdown(cancel_futures=True)


def completed(
    where: Place, work: Callable[[Task], Result], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Result | Exception]]:
    """Do `work` for every task: each with its result, or what it raised, as they end.

    Only a few tasks wait at any time, however many there are. What a cluster forgets, because its scheduler or the
    way to it was lost, is sent again: `work` must bear being done twice.
    """
    waiting: dict[Future[Result], tuple[Task, int]] = {}
    coming = iter(tasks)
    try:
        while True:
            for task in islice(coming, where.slots * (1 + _AHEAD) - len(waiting)):
                waiting[_sent(where, work, task)] = task, 0
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                task, sent = waiting.pop(future)
                try:
                    yield task, future.result()
                except CancelledError:
                    if sent == RESENT:
                        yield task, ClusterError(f"the cluster lost this task {RESENT + 1} times", "look at its logs")
                    else:
                        waiting[_sent(where, work, task)] = task, sent + 1
                except Exception as error:
                    yield task, _explained(error)
    finally:
        for future in waiting:
            future.cancel()


def _sent(where: Place, work: Callable[[Task], Result], task: Task) -> Future[Result]:
    try:
        return where.pool.submit(work, task)
    except Exception as error:  # what Dask raises where its scheduler stays away is no class of its own
        raise ClusterError(f"{where.name} takes no tasks any more: {error}", "start it, then run again") from error


def _on(client: Any, name: str) -> Place:
    return Place(client.get_executor(pure=False), sum(client.nthreads().values()), name, client.dashboard_link)


@contextmanager
def _started(workers: int) -> Iterator[Any]:
    """A scheduler in this process and workers in spawned ones, reachable from this machine only."""
    distributed = _distributed()
    options: dict[str, Any] = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "processes": True,
        "host": _LOOPBACK,
        "dashboard_address": f"{_LOOPBACK}:0",
        "silence_logs": logging.CRITICAL,
        "env": _ONE_THREAD,
    }
    try:
        cluster = distributed.LocalCluster(**options)
    except (OSError, RuntimeError, TimeoutError) as error:
        raise ClusterError(f"{workers} workers cannot be started: {error}", "start fewer, or none") from error
    with cluster, distributed.Client(cluster) as client:
        yield client


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address}", "start one with `dask scheduler`, and workers with `dask worker`"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS)
        except TimeoutError:
            cure = f"start some: `dask worker {address}`"
            raise ClusterError(f"the cluster at {address} has no workers", cure) from None
        yield client


def _distributed() -> Any:
    try:
        import distributed  # noqa: PLC0415 - most runs need no cluster, and it is an extra
    except ImportError:
        raise UsageError("Dask is not installed", "install hermes-signals[cluster]") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said by our own errors
    return distributed


@contextmanager
def _secrets_in_environment(settings: Settings) -> Iterator[None]:
    """Processes started meanwhile find the secrets that these settings hold, wherever those came from."""
    before = dict(os.environ)
    for name, value in settings.secrets():
        os.environ[f"HERMES_{name.upper().replace('.', '__')}"] = value.get_secret_value()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _explained(error: Exception) -> Exception:
    """A worker that died again and again says nothing itself."""
    if type(error).__name__ == "KilledWorker":
        return ClusterError(
            "the workers that ran this died, one after another", "it may need more memory: use fewer workers"
        )
    return error
