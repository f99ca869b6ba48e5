"""Tasks on a Dask cluster: a local one, or one that is already running.

Most of Dask's calls wait forever for a peer that accepts a connection and then sends nothing, and a connection that
breaks during the TLS handshake can end Dask's own tasks. So each call that waits for another process has a deadline.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from functools import partial
from time import sleep
from typing import Any, ParamSpec, TypeVar

from hermes.dataset import expanded
from hermes.errors import ClusterError, UsageError
from hermes.settings.sections import ClusterSettings
from hermes.text import counted
from hermes.workers.deadline import within

P = ParamSpec("P")
Result = TypeVar("Result")

_log = logging.getLogger("hermes.workers.dask")
_CONNECT_S = 10.0
_WORKERS_S = 30.0  # how long the first worker of a cluster is waited for
_START_S = 120.0  # for all processes started here; each imports Hermes
_ANSWER_S = 30.0
_CLOSE_S = 5.0  # for a connection
_STOP_S = 30.0  # for all processes started here; then they are killed
_GRACE_S = 5.0  # after a deadline that Dask knows, so that its own error is the one that is seen
_ON_ITS_WAY_S = 1.0
_FETCH_S = 60.0
_LOOPBACK = "127.0.0.1"  # what is started here cannot be reached from other machines
_TLS = "tls://"
_OWN_CORE = "DASK_HERMES__OWN_CORE"
_WORKER = {
    "POLARS_MAX_THREADS": "1",  # workers are as many as cores: more threads would only wait
    "OMP_NUM_THREADS": "1",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",  # it looks a hundred times a second what a worker does
}


class Pool(Executor):
    """Dask's executor of one scheduler; it reconnects if the scheduler has forgotten this client.

    A client that lost its connection comes back under its old name. A scheduler that notices the loss only then drops
    the client that has just come back, with all its tasks, without notice: waiting for them would never end.
    """

    def __init__(self, address: str, security: Any) -> None:
        self._address = address
        self._security = security
        self._promised: set[Future[Any]] = set()
        self._client = self._connected()

    def submit(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """See `Executor`; a task that was lost, or whose result was, is cancelled. Dask's own pool forgets those."""
        sent = self._client.submit(fn, *args, pure=False, **kwargs)
        promised: Future[Result] = Future()

        def forget(made: Future[Result]) -> None:
            self._promised.discard(made)
            if made.cancelled():
                with suppress(Exception):  # the connection is closed already
                    within(_CLOSE_S, sent.cancel)

        self._promised.add(promised)
        promised.add_done_callback(forget)
        sent.add_done_callback(lambda done: _keep(promised, done))
        return promised

    def renewed(self) -> bool:
        """Check that the scheduler knows this client and all of its pending tasks; if not, reconnect."""
        try:
            for _ in range(2):  # what was sent this very moment may still be on its way
                if self._known():
                    return False
                sleep(_ON_ITS_WAY_S)
        except Exception as error:
            logging.getLogger(__name__).debug("the scheduler does not answer: %s", error)
        self.close()
        self._client = self._connected()
        return True

    def _known(self) -> bool:
        client = self._client
        mine, keys = client.id, [key for key, state in client.futures.copy().items() if state.status == "pending"]

        # Inside of a function, so that it travels as code: a scheduler need not have Hermes installed.
        def known(dask_scheduler: Any) -> bool:
            return mine in dask_scheduler.clients and all(key in dask_scheduler.tasks for key in keys)

        return not self._promised or (bool(keys) and bool(within(_ANSWER_S, client.run_on_scheduler, known)))

    @property
    def slots(self) -> int:
        """Number of tasks that run at once."""
        try:
            return sum(within(_ANSWER_S, self._client.nthreads).values())
        except TimeoutError:
            raise ClusterError(
                f"the scheduler at {self._address} has not answered for {_ANSWER_S:g} s", "look at its logs"
            ) from None

    @property
    def dashboard(self) -> str:
        """Address of Dask's dashboard."""
        return str(self._client.dashboard_link)

    def wait_for_workers(self) -> None:
        """Wait for the first worker; raises ClusterError where none comes."""
        try:
            within(_WORKERS_S + _GRACE_S, self._client.wait_for_workers, 1, _WORKERS_S)
        except TimeoutError:
            cure = f"start some: `dask worker {self._address}`"
            raise ClusterError(f"the cluster at {self._address} has no workers", cure) from None

    def close(self) -> None:
        """Disconnect from the scheduler; pending tasks are dropped."""
        try:
            within(_CLOSE_S + _GRACE_S, self._client.close, _CLOSE_S)
        except Exception as error:  # whatever a broken connection still has to say
            _log.debug("the connection to %s did not close: %s", self._address, error)
            self._client.status = "closed"  # else it closes itself again when it is collected, in any thread

    def _connected(self) -> Any:
        client = partial(_distributed().Client, self._address, timeout=_CONNECT_S, security=self._security)
        try:
            return within(_CONNECT_S + _GRACE_S, client)
        except (OSError, ValueError, TimeoutError) as error:
            if self._address.startswith(_TLS):
                cure = "check that it runs with TLS, and [cluster] ca_file, cert_file and key_file"
            else:
                cure = "start one with `dask scheduler`, and workers with `dask worker`"
            raise ClusterError(f"no Dask scheduler answers at {self._address}", cure) from error


@contextmanager
def started(workers: int) -> Iterator[Pool]:
    """A scheduler in this process with spawned workers, closed to all other clients.

    A port of loopback is open to every user of this machine, and whoever talks to a scheduler runs code on its workers.
    So both sides authenticate with a certificate that is created for this run and never written to disk.
    """
    distributed = _distributed()
    security = _certificate_for_one_run(distributed)
    options: dict[str, Any] = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "processes": True,
        "host": _LOOPBACK,
        "dashboard_address": f"{_LOOPBACK}:0",
        "silence_logs": logging.CRITICAL,
        "security": security,
        "env": _WORKER | ({_OWN_CORE: "1"} if workers == len(_cores()) else {}),
        "preload": __name__,
    }
    try:
        cluster = within(_START_S, partial(distributed.LocalCluster, **options))
    except (OSError, RuntimeError, ValueError) as error:
        said = str(error) or f"they were not ready in {_START_S:g} s"
        raise ClusterError(
            f"{counted(workers, 'worker')} could not be started: {said}", "start fewer, or none"
        ) from error
    try:
        pool = Pool(cluster.scheduler_address, security)
        try:
            yield pool
        finally:
            pool.close()
    finally:
        _stop(cluster)


def _stop(cluster: Any) -> None:
    """Stop the processes of a local cluster: gracefully, or by force after the deadline."""
    try:
        within(_STOP_S, cluster.__exit__, None, None, None)
    except Exception as error:
        _log.debug("the workers did not end: %s", error)
        for pid in [nanny.pid for nanny in cluster.workers.values() if nanny.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def joined(address: str, tls: ClusterSettings) -> Iterator[Pool]:
    """A running scheduler and its workers; warns if the connection is not encrypted.

    Args:
        address: like tls://host:8786.
        tls: certificates for a tls:// address; without them Dask's own configuration is asked.

    Raises:
        UsageError: Dask is not installed, a certificate cannot be read, or the address is not for TLS.
        ClusterError: nothing answers at the address, or it has no workers.
    """
    pool = Pool(address, _security(address, tls))
    try:
        pool.wait_for_workers()
        yield pool
    finally:
        pool.close()


def _certificate_for_one_run(distributed: Any) -> Any:
    try:
        return distributed.Security.temporary()
    except ImportError:
        raise UsageError("--workers needs the package cryptography", "install hermes-signals[cluster]") from None


def _security(address: str, tls: ClusterSettings) -> Any:
    files = {name: expanded(value) for name, value in tls.model_dump().items() if value}
    if not address.startswith(_TLS):
        if files:
            raise UsageError(f"[cluster] has certificates, and {address} is not for TLS", "write it as tls://host:port")
        _log.warning(
            "%s is neither encrypted nor authenticated: whoever reaches it runs code on its workers → start it"
            " with TLS, and give tls://… with [cluster] ca_file, cert_file and key_file",
            address,
        )
        return None
    for name, path in files.items():
        if not os.access(path, os.R_OK):
            raise UsageError(f"[cluster] {name} {path} cannot be read", "check the path and who may read it")
    given = {"ca_file": "tls_ca_file", "cert_file": "tls_client_cert", "key_file": "tls_client_key"}
    security = _distributed().Security(
        require_encryption=True, **{given[name]: str(path) for name, path in files.items()}
    )
    try:
        complete = security.get_connection_args("client")["ssl_context"] is not None
    except OSError as error:
        raise UsageError(
            f"[cluster] the certificates cannot be used: {error}", "give PEM files that belong together"
        ) from None
    if not complete:
        raise UsageError(f"{address} needs certificates", "set [cluster] ca_file, cert_file and key_file")
    return security


def _distributed() -> Any:
    try:
        import distributed  # noqa: PLC0415 - most runs need no cluster, and it is an extra
    except ImportError:
        raise UsageError("Dask is not installed", "install hermes-signals[cluster]") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said by our own errors
    return distributed


def _keep(promised: Future[Any], done: Any) -> None:
    """Pass the outcome of a task on to its future; Dask calls this in a separate thread."""
    with suppress(InvalidStateError):  # nobody waits for it any more
        try:
            if done.status == "error":
                promised.set_exception(done.exception(timeout=_FETCH_S))
            else:
                promised.set_result(done.result(timeout=_FETCH_S))
        except InvalidStateError:
            raise
        except BaseException:  # cancelled, or its result cannot be fetched
            promised.cancel()
            promised.set_running_or_notify_cancel()


def _cores() -> list[int]:
    """The cores that this process may use; empty if unknown."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def dask_setup(worker: Any) -> None:
    """Called by Dask in each worker started here, before its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started it, which stops them all
    if _OWN_CORE in os.environ and worker.name in range(len(cores := _cores())):
        # Polars hands each small piece of work from thread to thread. Between cores, the other core has to be woken for
        # it each time, and both wait meanwhile: two workers that keep to their own core are an eighth faster.
        os.sched_setaffinity(0, {cores[worker.name]})  # this thread, and those that it will start
