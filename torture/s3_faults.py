"""An S3 store that answers late, wrongly, half or not at all, by way of a proxy on loopback."""

import functools
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from tests.s3_server import S3Server, serve

from hermes.errors import HermesError
from hermes.lake.backends import lease, s3, s3_client
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.bronze import archive
from torture import lakes
from torture.baseline import Baseline
from torture.lake_mutants import error_swallowed, hash_skipped
from torture.proxy import FAULTS, KINDS, Plan, proxied

ABOUT = (
    "a faulty S3 (500, 503, 429, reset, hang, cut-off body, short body, flipped bit, lost answer × PUT, create, part,"
    " complete, GET, HEAD, LIST), once and for good; passes when the step is done right or ends with a typed error"
    " within the deadline, nothing wrong is published, and running again makes what an undisturbed run makes"
)
COMBINATIONS = len(FAULTS) * len(KINDS)
FULL, SAMPLE = 10 * COMBINATIONS, COMBINATIONS
MUTANTS = {"hash_skipped": hash_skipped, "error_swallowed": error_swallowed}
REQUEST_S = 1  # a whole case must not take a minute
DEADLINE_S = 60
ATTEMPTS = 3
#: Steps that make such a request; parts are of files that Hermes is told to be big, HEAD is asked of http archives.
STEPS: Mapping[str, tuple[str, ...]] = {
    "PUT": ("ingest", "refine", "features", "signals"),
    "create": ("signals",),
    "part": ("ingest", "refine", "features"),
    "complete": ("ingest", "refine", "features"),
    "GET": ("ingest", "refine", "features", "signals"),
    "HEAD": ("ingest",),
    "LIST": ("ingest", "refine", "features", "signals"),
}


@dataclass(frozen=True)
class Given:
    """The lake step by step, an S3 server, a web server of the archive, and the number of requests by kind and step."""

    baseline: Baseline
    server: S3Server
    web: str
    requests: Mapping[tuple[str, str], int]


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """Servers, and one undisturbed run of every step behind the proxy."""
    baseline = Baseline.recorded(folder)
    with serve(folder / "weed") as server, _web(baseline.archive) as web:
        given = Given(baseline, server, web, {})
        counted: dict[tuple[str, str], int] = {}
        for kinds in (("PUT", "create", "GET", "LIST"), ("part", "complete"), ("HEAD",)):  # of one run each
            for step in dict.fromkeys(step for kind in kinds for step in STEPS[kind]):
                plan = Plan()
                _run(step, kinds[0], plan, given, f"undisturbed-{kinds[0]}-{step}")
                counted |= {(kind, step): plan.counts[kind] for kind in kinds}
        counted["create", "signals"] = 1  # and another one where the second has an execution already: not in every run
        for kind, steps in STEPS.items():
            assert all(counted[kind, step] for step in steps), f"no {kind} was made: {counted}"
        yield Given(baseline, server, web, counted)


def case(seed: int, folder: Path, given: Given) -> None:
    """One fault at one kind of request of one step.

    How many requests a run makes varies: those that took too long are repeated. Where a run made fewer than expected,
    it is done again with the fault at one that it made.
    """
    chance = random.Random(seed)
    kind, fault = KINDS[seed % len(KINDS)], FAULTS[seed // len(KINDS) % len(FAULTS)]
    step = chance.choice(STEPS[kind])
    at, for_good = chance.randint(1, given.requests[kind, step]), chance.random() < 0.5
    for _ in range(ATTEMPTS):
        plan = Plan(kind, fault, at, for_good, chance)
        what = f"{step}: {fault} at {kind} number {at}{' and later' if for_good else ''}"
        try:
            done = _run(step, kind, plan, given, folder.name)
            if plan.hits or not done:
                return
            assert plan.counts[kind], f"no {kind} was made: {dict(plan.counts)}"
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        at = chance.randint(1, plan.counts[kind])
    raise AssertionError(f"{what}: it was never met: {dict(plan.counts)}")


def _run(step: str, kind: str, plan: Plan, given: Given, name: str) -> bool:
    """Lay a lake, do the step behind the proxy, look at what is there, run again without; whether it was done."""
    source = given.web if kind == "HEAD" else given.baseline.archive
    direct = lakes.settings_for(f"s3://faults-{{layer}}/{name}", source, **given.server.flags())
    lakes.copy_to_buckets(given.baseline.before_step(step), direct)
    rows_only = kind == "HEAD"  # the footers of bronze then name other versions of the zips
    try:
        done = _disturbed(step, kind, plan, given, direct)
        given.baseline.check(step, lakes.contents(Lake.open(direct)), done=done, rows_only=rows_only)
        with lakes.impatient():
            lakes.STEPS[step](direct, Lake.open(direct))
        given.baseline.check(step, lakes.contents(Lake.open(direct)), done=True, runs=1 + done, rows_only=rows_only)
    finally:
        lakes.remove(Lake.open(direct))
    return done


def _disturbed(step: str, kind: str, plan: Plan, given: Given, direct: Settings) -> bool:
    """The step behind the proxy; whether it was done. What it raises is typed, of one line, and in time."""
    with ExitStack() as stack:
        stack.enter_context(_impatient())
        url, archive_url = given.server.endpoint, direct.archive.url
        if kind == "HEAD":
            archive_url = stack.enter_context(proxied(given.web, plan))
        else:
            url = stack.enter_context(proxied(url, plan))
        if kind in ("part", "complete"):
            stack.enter_context(mock.patch.object(s3, "MULTIPART_BYTES", 100))
        settings = lakes.settings_for(direct.lake.url, archive_url, **given.server.flags(endpoint=url))
        started = time.perf_counter()
        try:
            lakes.STEPS[step](settings, Lake.open(settings))
        except HermesError as error:
            text = str(error)
            assert error.exit_code == 1 and len(text.splitlines()) == 1 and error.cure, f"not one line: {error!r}"
            for secret in (given.server.secret_key, given.server.access_key, "Signature="):
                assert secret not in text, f"the error shows {secret}: {text}"
            return False
        finally:
            seconds = time.perf_counter() - started
            assert seconds < DEADLINE_S / 2, f"it took {seconds:.0f} s"
    return True


@contextmanager
def _impatient() -> Iterator[None]:
    """Deadlines of a second, so that a case is over soon; and only a few months to ask a web server for."""
    soon = timedelta(seconds=REQUEST_S)
    with ExitStack() as stack:
        for module, name, value in (
            (s3, "REQUEST_S", REQUEST_S),
            (s3_client, "REQUEST_S", REQUEST_S),
            (s3_client, "CONNECT_S", REQUEST_S),
            (s3, "LEASE_REQUEST_S", REQUEST_S),
            (lease, "REQUEST_S", REQUEST_S),
            (archive, "FIRST_PERIOD", date(2024, 11, 1)),
            (archive, "_CLIENT", {**archive._CLIENT, "connect_timeout": "1s", "timeout": "1s"}),
            (archive, "_RETRY", {**archive._RETRY, "retry_timeout": soon}),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _web(folder: str) -> Iterator[str]:
    """A plain web server of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.socket.close()
