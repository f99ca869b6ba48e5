"""The lines of docs/read-the-tables.md, in environments with only the tool they are for: no Hermes, no Polars."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.docs.pages import Block, blocks, text
from tests.s3_server import BINARY, S3Server, serve

import hermes

PAGE = "docs/read-the-tables.md"
#: What the two consumers have; the versions are this environment's, so that a cache has them.
DUCKDB, PANDAS = ("duckdb",), ("pandas", "pyarrow")
ABSENT = ("hermes", "polars", "obstore")
SEEN = """
import importlib.util, json
absent = [name for name in {absent!r} if importlib.util.find_spec(name) is None]
print(json.dumps([absent, {features}, {signals}]))
"""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """The Python of a fresh environment with these packages and what they need."""

    def make(packages: tuple[str, ...]) -> Path:
        pinned = [f"{name}=={importlib.metadata.version(name)}" for name in packages]
        folder = tmp_path_factory.mktemp("consumer")
        python = folder / "bin" / "python"
        commands = (
            ["uv", "venv", "--quiet", "--python", sys.executable, folder],
            ["uv", "pip", "install", "--quiet", "--python", python, *pinned],
        )
        if shutil.which("uv") is None:
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
            pip += ["--retries", "1"]
            commands = ([sys.executable, "-m", "venv", folder], [*pip, *pinned])
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                said = f"no package index gave {' '.join(pinned)}: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
                # Without a network there is nothing to install from; where it must run, it must not be silent.
                pytest.fail(said) if os.environ.get("CI") else pytest.skip(said)
        return python

    return make


@pytest.fixture(scope="session")
def demo(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A folder with a lake of two executions, and the rows of its features and of the later execution."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, two_executions({"lake": {"url": f"{folder}/lake/{{layer}}"}, "archive": {"url": str(simulated)}})


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[S3Server]:
    """The documented lines name the buckets themselves: no other test may use them."""
    if not BINARY.is_file():
        pytest.skip(f"no S3 server: {BINARY} is not there")
    with serve(tmp_path) as server:
        yield server


def two_executions(sections: dict[str, dict[str, str]]) -> list[int]:
    """Rows of the features and of the second of two executions, in a lake made for this."""
    given = {**sections, "dataset": {"symbol": "SIMUSDT"}}
    first = hermes.run(hermes.Settings.load(environ={}, **given))
    later = hermes.signals(hermes.Settings.load(environ={}, **given, signals={"start": "2024-12-01"}))
    rows = [hermes.read_features(first.signalled.settings).collect().height, later.tally.rows]
    assert rows[1] < first.signalled.as_json()["rows"]
    return rows


def documented(heading: str, language: str = "python", using: str = "") -> Block:
    """The first block below a heading of the page that is run and uses something."""
    line = text(PAGE).splitlines().index(f"## {heading}")
    return next(
        b for b in blocks(PAGE) if b.line > line and b.language == language and not b.not_run and using in b.text
    )


def seen(python: Path, script: str, folder: Path, **environ: str) -> list[int]:
    """What the script found, in an environment that has none of Hermes' packages."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "AWS_", "MINIO_"))}
    done = subprocess.run(
        [python, "-c", script], cwd=folder, env={**clean, **environ}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    absent, *rows = json.loads(done.stdout.splitlines()[-1])
    assert absent == list(ABSENT)
    return rows


def test_duckdb_alone(environment: Callable, demo: tuple[Path, list[int]]):
    folder, rows = demo
    count = "{}.aggregate('count(*)').fetchall()[0][0]"
    after = SEEN.format(absent=ABSENT, features=count.format("features"), signals=count.format("signals"))
    assert seen(environment(DUCKDB), documented("DuckDB").text + after, folder) == rows


def test_pandas_and_pyarrow_alone_from_a_folder_and_from_s3(
    environment: Callable, demo: tuple[Path, list[int]], own_server: S3Server, simulated: Path
):
    folder, rows = demo
    python = environment(PANDAS)
    checks = "assert features.index.is_monotonic_increasing and 'year' not in features\n"
    after = checks + SEEN.format(absent=ABSENT, features="len(features)", signals="len(signals)")
    assert seen(python, documented("pandas").text + after, folder) == rows

    keys = {"access_key": own_server.access_key, "secret_key": own_server.secret_key}
    store = {"endpoint": own_server.endpoint, **keys}
    assert rows == two_executions({"lake": {"url": "s3://{layer}"}, "archive": {"url": str(simulated)}, "s3": store})
    script = documented("On S3", using="pandas").text
    assert script.count("http://127.0.0.1:9000") == 1
    script = script.replace("http://127.0.0.1:9000", own_server.endpoint)
    environ = {"MINIO_ROOT_USER": own_server.access_key, "MINIO_ROOT_PASSWORD": own_server.secret_key}
    assert seen(python, script + after, folder, **environ) == rows
