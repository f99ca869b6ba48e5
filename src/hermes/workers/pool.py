"""Where tasks run: threads of this process, spawned processes of this machine, or a running Dask cluster.

All three are a `concurrent.futures.Executor`, so tasks do not depend on where they run. A task holds names and settings
only: `Settings` is sent without secrets, and the task opens the lake itself.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from hermes.errors import ClusterError, UsageError
from hermes.settings import Settings
from hermes.text import counted

Task = TypeVar("Task")
Result = TypeVar("Result")

RESENT = 5  # times that a task is sent again after the cluster forgot it
SILENCE_S = 15.0  # without any task ending, after which a cluster is asked whether it still knows them
_AHEAD = 4  # tasks for each slot that are sent before they can run, so that no worker waits for the next


@dataclass(frozen=True, slots=True)
class Place:
    """Where tasks run.

    Attributes:
        pool: the executor.
        slots: number of tasks that run at once.
        name: for people, like "2 threads".
        dashboard: address of Dask's dashboard, None without one.
        renewed: checks whether all tasks are still known; if not, starts the pool again and returns True.
    """

    pool: Executor
    slots: int
    name: str
    dashboard: str | None = None
    renewed: Callable[[], bool] = lambda: False  # threads forget nothing


@contextmanager
def place(settings: Settings, workers: int | None = None, cluster: str | None = None) -> Iterator[Place]:
    """An executor for tasks until the block is left; then waiting tasks are dropped, and running threads are joined.

    Args:
        settings: their secrets are passed to processes started here, through the environment.
        workers: number of local worker processes with one thread each, under Dask.
        cluster: address of a running Dask scheduler, like tls://host:8786, instead.

    Raises:
        UsageError: both are given, or Dask is not installed.
        ClusterError: nothing answers at the address, or the processes cannot be started.
    """
    if workers and cluster:
        raise UsageError("--workers starts a cluster, --cluster names a running one", "give one of them")
    if workers:
        from hermes.workers import dask  # noqa: PLC0415 - most runs need none, and it is an extra

        with _secrets_in_environment(settings), dask.started(workers) as pool:
            name = f"{counted(workers, 'worker')} of this machine"
            yield Place(pool, pool.slots, name, pool.dashboard, pool.renewed)
    elif cluster:
        from hermes.workers import dask  # noqa: PLC0415

        with dask.joined(cluster, settings.cluster) as pool:
            yield Place(pool, pool.slots, f"the cluster at {cluster}", pool.dashboard, pool.renewed)
    else:
        threads = (os.cpu_count() or 1) + 1  # now and then each waits for the disk
        local = ThreadPoolExecutor(threads, "hermes")
        try:
            yield Place(local, threads, counted(threads, "thread"))
        finally:
            local.shutdown(cancel_futures=True)


def completed(
    where: Place, work: Callable[[Task], Result], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Result | Exception]]:
    """Run `work` for every task; yields each task with its result or error as it completes.

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
            done = wait(waiting, timeout=SILENCE_S, return_when=FIRST_COMPLETED).done
            if not done and where.renewed():
                for future in [each for each in waiting if each.cancel()]:
                    task, sent = waiting.pop(future)
                    waiting[_sent(where, work, task)] = task, sent
            for future in done:
                task, sent = waiting.pop(future)
                try:
                    result = _result(future)
                except CancelledError:
                    if sent < RESENT:
                        waiting[_sent(where, work, task)] = task, sent + 1
                        continue
                    result = ClusterError(f"the cluster lost this task {RESENT + 1} times", "look at its logs")
                yield task, result
    finally:
        for future in waiting:
            future.cancel()


def _result(future: Future[Result]) -> Result | Exception:
    """The result or error of a task; if its workers kept dying, an error that says so. Raises CancelledError."""
    try:
        return future.result()
    except CancelledError:
        raise
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            cure = "it may need more memory: use fewer workers"
            return ClusterError("the workers that ran this died, one after another", cure)
        return error


def _sent(where: Place, work: Callable[[Task], Result], task: Task) -> Future[Result]:
    try:
        return where.pool.submit(work, task)
    except Exception as error:  # what Dask raises where its scheduler stays away is no class of its own
        raise ClusterError(f"{where.name} accepts no tasks any more: {error}", "start it, then run again") from error


@contextmanager
def _secrets_in_environment(settings: Settings) -> Iterator[None]:
    """Put the secrets of these settings into the environment for processes started within the block."""
    before = dict(os.environ)
    for name, value in settings.secrets():
        os.environ[f"HERMES_{name.upper().replace('.', '__')}"] = value.get_secret_value()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
