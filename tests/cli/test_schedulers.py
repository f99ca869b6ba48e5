"""`hermes run` under schedulers: real processes that meet, one that is killed, and what they log."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from hermes.lake.store import Lake
from hermes.settings import Settings

HERMES = Path(sys.executable).with_name("hermes")
TABLE = "trading_signals_smart_momentum_spot_SIMUSDT_4h"
RUN = ("run", "SIMUSDT", "--no-report", "--no-audit")


@pytest.fixture(params=["folder", "s3"])
def lake_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return f"{tmp_path}/{{layer}}"
    for name, value in request.getfixturevalue("s3_server").environ().items():
        monkeypatch.setenv(name, value)
    return f"s3://schedulers/{tmp_path.name}/{{layer}}"


def start(*words: str, lake_url: str, archive: Path, cwd: Path) -> subprocess.Popen:
    command = [HERMES, *words, "--lake", lake_url, "--archive", str(archive)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)


def executions(lake_url: str) -> int:
    return len(Lake.open(Settings.load({"lake.url": lake_url})).gold.files(TABLE))


def lines(err: str) -> list[dict]:
    return [json.loads(line) for line in err.splitlines()]


def test_two_started_together_make_one_execution(lake_url: str, simulated: Path, tmp_path: Path):
    both = [start(*RUN, "--if-changed", "--json", lake_url=lake_url, archive=simulated, cwd=tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=100) for process in both]
    assert executions(lake_url) == 1
    for process, (out, err) in zip(both, said, strict=True):
        if process.returncode:  # they met
            assert "SIMUSDT 4h is being worked on by `hermes run` on" in err
        else:  # the one that made it, or one that came when it was there
            assert len(json.loads(out)["datasets"]) == 1
    assert 0 in [process.returncode for process in both]


def test_one_that_meets_another_fails_and_says_who(lake_url: str, simulated: Path, tmp_path: Path):
    settings = Settings.load({"lake.url": lake_url, "dataset.symbol": "SIMUSDT"})
    with Lake.open(settings).locked(settings.dataset, "refine"):
        process = start(*RUN, lake_url=lake_url, archive=simulated, cwd=tmp_path)
        _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    error = err.splitlines()[-1]
    assert error.startswith("error: SIMUSDT 4h is being worked on by `hermes refine` on")
    assert f"pid {os.getpid()}, since 20" in error
    assert "→ wait until it ends" in error
    assert executions(lake_url) == 0
    process = start(*RUN, lake_url=lake_url, archive=simulated, cwd=tmp_path)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert executions(lake_url) == 1


def test_a_kill_leaves_nothing_in_the_way(simulated: Path, tmp_path: Path):
    lake_url, locks = f"{tmp_path}/{{layer}}", tmp_path / "_locks"
    process = start(*RUN, lake_url=lake_url, archive=simulated, cwd=tmp_path)
    while not [*locks.rglob("*.lock")]:
        assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = start(*RUN, lake_url=lake_url, archive=simulated, cwd=tmp_path)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert executions(lake_url) == 1
    assert not [*locks.rglob("*.lock")]


# --- logs ------------------------------------------------------------------------------------------------------------


def said(*words: str, cwd: Path) -> tuple[int, str, list[dict]]:
    done = subprocess.run([HERMES, *words], capture_output=True, text=True, cwd=cwd, timeout=100, check=False)
    return done.returncode, done.stdout, lines(done.stderr)


def test_json_lines_on_stderr(simulated: Path, tmp_path: Path):
    where = ("--lake", f"{tmp_path}/{{layer}}", "--archive", str(simulated), "--log-format", "json")
    code, out, logged = said(*RUN, *where, "--json", cwd=tmp_path)
    assert code == 0
    assert len(json.loads(out)["datasets"]) == 1
    steps = {each["step"]: each for each in logged if each["event"] == "step"}
    assert list(steps) == ["ingest", "refine", "features", "signals"]
    for each in steps.values():
        assert each["dataset"] == "SIMUSDT 4h"
        assert each["seconds"] >= 0
        assert each["level"] == "info"
    made = json.loads(out)["datasets"][0]
    assert steps["signals"]["rows"] == made["rows"]
    assert steps["ingest"]["written"] == 6
    (run,) = [each for each in logged if each["event"] == "run"]
    assert (run["path"], run["signals"]) == (made["path"], made["total_signals"])
    assert (logged[-1]["event"], logged[-1]["exit_code"], logged[-1]["command"]) == ("end", 0, "run")
    times = [datetime.fromisoformat(each["time"]) for each in logged]
    assert times == sorted(times)
    assert all(each["time"].endswith("Z") for each in logged)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["refine", "NOPEUSDT"], 1, "bronze has no file of NOPEUSDT 4h"),
        (["refine", "NO!"], 2, "NO!"),
        (["refine", "--nope"], 2, "No such option"),
    ],
)
def test_errors_are_json_lines_too(tmp_path: Path, words: list[str], code: int, error: str):
    returned, out, logged = said(*words, "--log-format=json", cwd=tmp_path)
    assert (returned, out) == (code, "")
    (told,) = [each for each in logged if each["event"] == "error"]
    assert error in told["error"]
    assert told["cure"]
    assert told["level"] == "error"
    assert logged[-1]["exit_code"] == code


def test_a_traceback_is_one_line_too(tmp_path: Path):
    _, _, logged = said("refine", "NOPEUSDT", "--log-format", "json", "-v", cwd=tmp_path)
    assert [each["event"] for each in logged] == ["step", "traceback", "error", "end"]
    assert "MissingTable" in logged[1]["traceback"]


@pytest.mark.parametrize("where", ["environment", "file"])
def test_the_format_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str):
    if where == "environment":
        monkeypatch.setenv("HERMES_LOG__FORMAT", "json")
    else:
        (tmp_path / "hermes.toml").write_text('[log]\nformat = "json"\n')
    _, _, logged = said("refine", "NOPEUSDT", cwd=tmp_path)
    assert logged[-1]["event"] == "end"


def test_secrets_are_not_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HERMES_NOTIFY__URL", "http://127.0.0.1:9/T0KEN-in-the-path")
    monkeypatch.setenv("HERMES_NOTIFY__SECRET", "correct horse battery staple")
    done = subprocess.run(
        [HERMES, "run", "NOPEUSDT", "--from", "bronze", "--log-format", "json", "-v"],
        capture_output=True, text=True, cwd=tmp_path, timeout=100, check=False,
    )  # fmt: skip
    (warning,) = [each for each in lines(done.stderr) if each["event"] == "upkeep"]
    assert "127.0.0.1 did not take a notice" in warning["message"]
    shown = subprocess.run([HERMES, "config"], capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    for text in (done.stdout, done.stderr, shown):
        assert "T0KEN" not in text
        assert "battery" not in text
