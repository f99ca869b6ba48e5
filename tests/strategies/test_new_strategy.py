"""`hermes new-strategy` to signals, with the documented commands only; and `hermes strategies`."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hermes.strategies import STRATEGIES

Hermes = Callable[..., tuple[int, str, str]]


def test_from_nothing_to_signals(hermes: Hermes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("hermes.cli.app.DEMO_MONTHS", 5)
    assert hermes("demo")[0] == 0
    code, out, _ = hermes("new-strategy", "my_breakout", "--json")
    written = json.loads(out)
    assert (code, written["strategy"], written["test"]) == (0, "my_breakout.py", "test_my_breakout.py")

    words = ["SIMUSDT", "--strategy", "./my_breakout.py:MyBreakout", "--set", "window=30", "--json"]
    results = {}
    for command in ("backtest", "signals", "show"):
        code, out, err = hermes(command, *words)
        assert (code, err) == (0, "")
        (results[command],) = json.loads(out)["datasets"]
        assert results[command]["strategy"] == "my_breakout"
    assert results["backtest"]["metrics"] == results["signals"]["metrics"] == results["show"]["metrics"]
    assert results["show"]["parameters"] == {"window": 30}
    assert results["show"]["derived_columns"] == ["sma_30"]
    assert results["signals"]["buy_signals"] > 10
    assert (
        json.loads(hermes("show", "SIMUSDT", "--strategy", "my_breakout", "--set", "window=30", "--json")[1])[
            "datasets"
        ][0]
        == results["show"]
    )

    (table,) = (each for each in json.loads(hermes("ls", "--json")[1])["tables"] if "my_breakout" in each["table"])
    said = hermes("sql", f"select count(*) from {table['table']} where cross_up", "--json")[1]
    assert json.loads(said)["rows"] == [[results["signals"]["buy_signals"]]]

    paths = json.loads(hermes("config", "SIMUSDT", *words[1:])[1])["paths"]
    assert paths["signals table"] == "trading_signals_my_breakout_spot_SIMUSDT_4h"
    code, out, _ = hermes("signals", *words[:-1])
    assert code == 0
    assert "my_breakout window=30" in out

    (shown,) = json.loads(hermes("strategies", "./my_breakout.py", "--json")[1])["strategies"]
    assert (shown["name"], shown["columns"]) == ("my_breakout", ["sma_20"])


def test_run_takes_a_file_and_the_config_names_it(hermes: Hermes, simulated: Path, tmp_path: Path):
    assert hermes("new-strategy", "steady")[0] == 0
    (tmp_path / "hermes.toml").write_text('[signals]\nstrategy = "./steady.py"\n[strategy.steady]\nwindow = 40\n')
    code, out, err = hermes("run", "SIMUSDT", "--archive", str(simulated), "--json")
    assert (code, err) == (0, "")
    (dataset,) = json.loads(out)["datasets"]
    assert dataset["strategy"] == "steady"
    lineage = json.loads(hermes("show", "SIMUSDT", "--json")[1])["datasets"][0]
    assert lineage["parameters"] == {"window": 40}


def test_its_test_passes_and_finds_a_look_ahead(hermes: Hermes, tmp_path: Path):
    for name in ("honest", "peeking"):
        assert hermes("new-strategy", name)[0] == 0
    file = tmp_path / "peeking.py"
    file.write_text(file.read_text().replace("close.shift(1) <= average", "close.shift(-1) <= average"))
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "test_honest.py", "test_peeking.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert len(re.findall(r"^PASSED test_honest\.py::", done.stdout, re.M)) == 3
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.M)
    assert "test_peeking.py::test_it_does_not_look_ahead" in failed
    assert not [each for each in failed if each.startswith("test_honest.py")]
    assert done.returncode == 1


def test_nothing_is_overwritten(hermes: Hermes, tmp_path: Path):
    assert hermes("new-strategy", "mine")[0] == 0
    (tmp_path / "mine.py").write_text("precious")
    (tmp_path / "test_other.py").write_text("precious too")
    for name, there in (("mine", "mine.py and test_mine.py"), ("other", "test_other.py")):
        code, _, err = hermes("new-strategy", name)
        assert code == 2
        assert f"{there} would be overwritten" in err
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert not (tmp_path / "other.py").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MyBreakout", "is not lower-case words"),
        ("../x", "is not lower-case words"),
        ("smart_momentum", "there is a strategy 'smart_momentum' already"),
        ("random", "is the name of a Python module"),
        ("polars", "is the name of a Python module"),
        ("class", "is the name of a Python module"),
    ],
)
def test_names_that_cannot_be_had(hermes: Hermes, tmp_path: Path, name: str, said: str):
    code, out, err = hermes("new-strategy", name)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())


def test_the_list(hermes: Hermes):
    code, out, err = hermes("strategies")
    assert (code, err) == (0, "")
    for name in STRATEGIES:
        assert name in out
    assert "12 (integer from 2 to 10000)" in out
    code, out, _ = hermes("strategies", "--json")
    assert [each["name"] for each in json.loads(out)["strategies"]] == list(STRATEGIES)
    code, _, err = hermes("strategies", "ma_crass")
    assert code == 2
    assert "did you mean ma_cross?" in err


def test_a_file_that_is_wrong_is_one_line(hermes: Hermes, tmp_path: Path):
    (tmp_path / "bad.py").write_text("import polars as pl\n1 / 0\n")
    for command in ("signals", "backtest", "show", "strategies"):
        spec = ["./bad.py"] if command == "strategies" else ["SIMUSDT", "--strategy", "./bad.py"]
        code, out, err = hermes(command, *spec)
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert "bad.py line 2: ZeroDivisionError: division by zero" in line
