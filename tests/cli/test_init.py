"""`hermes init` and shell completion, as somebody meets them who never typed hermes before."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from hermes.cli.completion import choices
from hermes.dataset import INTERVAL_SECONDS
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.strategies.registry import STRATEGIES

HERMES = Path(sys.executable).with_name("hermes")


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [HERMES, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, timeout=100, check=False
    )


def chosen(path: Path) -> dict[str, str]:
    settings = Settings.load(file=path, environ={})
    return {name: value for name, value, origin in settings.items() if origin != "default"}


def test_yes_writes_a_file_that_the_next_command_reads(tmp_path: Path):
    done = run("init", "ETH/USDT", "--yes", "--interval", "1h", "--set", "ema_fast=10", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["file"] == "hermes.toml"
    assert said["store"]["healthy"]
    assert said["next"] == ["hermes run", "hermes ls"]
    assert chosen(tmp_path / "hermes.toml") == {
        "dataset.symbol": "ETHUSDT",
        "dataset.interval": "1h",
        "strategy.smart_momentum.ema_fast": "10",
    }
    shown = json.loads(run("config", "--json", cwd=tmp_path).stdout)["settings"]
    assert shown["dataset.symbol"] == {"value": "ETHUSDT", "origin": "hermes.toml"}


def test_people_are_told_what_comes_next(tmp_path: Path):
    done = run("init", "--yes", cwd=tmp_path)
    assert done.returncode == 0
    assert "hermes run" in done.stdout
    assert "ready: passed" in done.stdout


def test_a_file_that_is_there_stays(tmp_path: Path):
    path = tmp_path / "hermes.toml"
    path.write_text("# mine\n")
    done = run("init", "--yes", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: hermes.toml is there already → --force replaces it; --config names another one\n"
    assert path.read_text() == "# mine\n"
    assert run("init", "--yes", "--force", "--no-check", cwd=tmp_path).returncode == 0
    assert path.read_text() != "# mine\n"


def test_nobody_there_to_answer(tmp_path: Path):
    done = run("init", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: questions need a terminal → add --yes")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("words", [["--lake", "./lake"], ["--interval", "5h"], ["A", "B"], ["--strategy", "nope"]])
def test_what_cannot_be_writes_nothing(tmp_path: Path, words: list[str]):
    done = run("init", "--yes", *words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


def test_on_s3_it_names_the_variables_and_never_holds_keys(tmp_path: Path, s3_server, monkeypatch: pytest.MonkeyPatch):
    words = ("init", "--yes", "--lake", "s3://init-{layer}", "--endpoint", s3_server.endpoint)
    done = run(*words, "--no-check", "--config", "without.toml", cwd=tmp_path)
    assert done.returncode == 0
    assert "AWS_ACCESS_KEY_ID" in done.stdout
    assert "hermes doctor --config without.toml" in done.stdout
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)
    lake = Lake.open(Settings.load(file=tmp_path / "without.toml"))
    for layer in (lake.bronze, lake.silver, lake.gold):  # the first step makes the buckets
        layer.write_bytes("x", b"")
    done = run(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["next"] == ["hermes run", "hermes ls"]
    text = (tmp_path / "hermes.toml").read_text()
    assert s3_server.secret_key not in text
    assert s3_server.access_key not in text


def test_a_store_that_is_not_fit(tmp_path: Path):
    done = run("init", "--yes", "--lake", "s3://{layer}", "--endpoint", "http://127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be reached" in done.stdout
    assert (tmp_path / "hermes.toml").exists()


def test_questions_are_asked_until_the_answer_is_possible(tmp_path: Path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [HERMES, "init", "--no-check"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"./here\ns3://mine/{layer}\nhttp://localhost:9000\nethusdt\n5h\n1h\n\nma_cross\n")
    _, err = process.communicate(timeout=100)
    os.close(ours)
    assert process.returncode == 0, err
    assert chosen(tmp_path / "hermes.toml") == {
        "lake.url": "s3://mine/{layer}",
        "s3.endpoint": "http://localhost:9000",
        "dataset.symbol": "ETHUSDT",
        "dataset.interval": "1h",
        "archive.url": "s3://data.binance.vision",
        "signals.strategy": "ma_cross",
    }
    assert "expected {layer} in the address" in err
    assert "interval '5h' is not one of" in err


# --- completion ------------------------------------------------------------------------------------------------------


def completed(line: str, cwd: Path) -> list[str]:
    words = {"_HERMES_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run([HERMES], env=os.environ | words, capture_output=True, text=True, cwd=cwd, check=True)
    return done.stdout.split()


def test_the_shell_completes_commands_and_values(tmp_path: Path):
    assert "run" in completed("hermes r", tmp_path)
    assert completed("hermes signals --strategy ma", tmp_path) == ["ma_cross", "macd_trend"]
    assert completed("hermes run --interval 4", tmp_path) == ["4h"]
    assert completed("hermes signals --interval 1", tmp_path) == [each for each in INTERVAL_SECONDS if each[0] == "1"]
    assert completed("hermes signals --log-format ", tmp_path) == ["text", "json"]


def test_every_shipped_strategy_is_offered():
    assert set(choices("signals.strategy")("")) == set(STRATEGIES)


def test_completion_loads_nothing_heavy(tmp_path: Path):
    code = """
import os, sys
os.environ |= {"_HERMES_COMPLETE": "complete_bash", "COMP_WORDS": "hermes signals --strategy s", "COMP_CWORD": "3"}
sys.argv = ["hermes"]
from hermes.cli.entry import _exit_code
try:
    _exit_code()
except SystemExit:
    pass
print(sorted({"polars", "obstore", "bokeh", "duckdb"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines() == ["smart_momentum", "[]"]
