"""`hermes init` and shell completion, as somebody meets them who never typed hermes before."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes.cli.completion import choices
from hermes.dataset import INTERVAL_SECONDS
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.strategies.registry import STRATEGIES

HERMES = Path(sys.executable).with_name("hermes")
Hermes = Callable[..., Any]


def chosen(path: Path) -> dict[str, str]:
    settings = Settings.load(file=path, environ={})
    return {name: value for name, value, origin in settings.items() if origin != "default"}


def test_yes_writes_a_file_that_the_next_command_reads(hermes: Hermes, tmp_path: Path):
    done = hermes("init", "ETH/USDT", "--yes", "--interval", "1h", "--set", "ema_fast=10", "--json")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert said["file"] == "hermes.toml"
    assert said["store"]["healthy"]
    assert said["next"] == ["hermes run", "hermes ls"]
    assert chosen(tmp_path / "hermes.toml") == {
        "dataset.symbol": "ETHUSDT",
        "dataset.interval": "1h",
        "strategy.smart_momentum.ema_fast": "10",
    }
    shown = json.loads(hermes("config", "--json").out)["settings"]
    assert shown["dataset.symbol"] == {"value": "ETHUSDT", "origin": "hermes.toml"}


def test_people_are_told_what_comes_next(hermes: Hermes, tmp_path: Path):
    done = hermes("init", "--yes")
    assert done.code == 0
    assert "hermes run" in done.out
    assert "ready: passed" in done.out


def test_a_file_that_is_there_stays(hermes: Hermes, tmp_path: Path):
    path = tmp_path / "hermes.toml"
    path.write_text("# mine\n")
    done = hermes("init", "--yes")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: hermes.toml is there already → --force replaces it; --config names another one\n"
    assert path.read_text() == "# mine\n"
    assert hermes("init", "--yes", "--force", "--no-check").code == 0
    assert path.read_text() != "# mine\n"


def test_nobody_there_to_answer(hermes: Hermes, tmp_path: Path):
    done = hermes("init")
    assert done.code == 2
    assert done.err.startswith("error: questions need a terminal → add --yes")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("words", [["--lake", "./lake"], ["--interval", "5h"], ["A", "B"], ["--strategy", "nope"]])
def test_what_cannot_be_writes_nothing(hermes: Hermes, tmp_path: Path, words: list[str]):
    done = hermes("init", "--yes", *words)
    assert done.code in (1, 2)
    assert len(done.err.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


def test_on_s3_it_names_the_variables_and_never_holds_keys(
    hermes: Hermes, tmp_path: Path, s3_server, monkeypatch: pytest.MonkeyPatch
):
    words = ("init", "--yes", "--lake", "s3://init-{layer}", "--endpoint", s3_server.endpoint)
    done = hermes(*words, "--no-check", "--config", "without.toml")
    assert done.code == 0
    assert "AWS_ACCESS_KEY_ID" in done.out
    assert "hermes doctor --config without.toml" in done.out
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)
    lake = Lake.open(Settings.load(file=tmp_path / "without.toml"))
    for layer in (lake.bronze, lake.silver, lake.gold):  # the first step makes the buckets
        layer.write_bytes("x", b"")
    done = hermes(*words, "--json")
    assert done.code == 0, done.out
    assert json.loads(done.out)["next"] == ["hermes run", "hermes ls"]
    text = (tmp_path / "hermes.toml").read_text()
    assert s3_server.secret_key not in text
    assert s3_server.access_key not in text


def test_a_store_that_is_not_fit(hermes: Hermes, tmp_path: Path):
    done = hermes("init", "--yes", "--lake", "s3://{layer}", "--endpoint", "http://127.0.0.1:9")
    assert done.code == 1
    assert "cannot be reached" in done.out
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
