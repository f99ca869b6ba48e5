"""Indicators of one's own: from a file or a package, with clear errors, and the starter that passes its own test."""

import subprocess
import sys
from pathlib import Path

import pytest

from hermes.errors import IndicatorError, UnknownIndicator, UsageError
from hermes.indicators.columns import column, look_back
from hermes.indicators.registry import known_indicators
from hermes.indicators.starter import write_starter
from hermes.testing import simulated_bars

FILE = """
from typing import Annotated
from hermes.indicators import indicator
from hermes.indicators.definition import CLOSE
from hermes.indicators.shipped import ema
from pydantic import Field

@indicator(look_back=lambda n, m: m, source="a test")
def slope(n: Annotated[int, Field(ge=2)], m: int):
    \"\"\"EMA over N / EMA over N M bars before - 1\"\"\"
    return ema(n) / ema(n).shift(m) - 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_a_file_brings_its_own(file: Path) -> None:
    known = known_indicators([str(file)])
    assert known.sources["slope"].startswith(f"{file} (sha256 ")
    assert known.code == {"slope": file.read_bytes()}
    assert look_back("slope_10_3", known.families) == 3 + 9, "look-backs of indicators that it calls add up"
    bars = simulated_bars(100)
    made = bars.select(column("slope_10_3", known.families), column("ema_10"))
    average = made["ema_10"].to_list()
    assert made["slope_10_3"].null_count() == 12
    assert made["slope_10_3"][50] == average[50] / average[47] - 1
    with pytest.raises(UnknownIndicator, match="slope_1_3' is not a valid slope_N_M"):
        column("slope_1_3", known.families)


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "acme_slopes-1.0.dist-info"
    about.mkdir()
    (tmp_path / "acme_slopes.py").write_text(FILE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_slopes\nVersion: 1.0\n")
    points = about / "entry_points.txt"
    points.write_text("[hermes.indicators]\nslope = acme_slopes:slope\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_slopes", raising=False)
    known = known_indicators()
    assert known.sources["slope"] == "acme_slopes 1.0"
    assert look_back("slope_10_3", known.families) == 3 + 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", "holds no indicator"),
        ("import nowhere_at_all", "line 1: ModuleNotFoundError"),
        (FILE.replace("def slope", "def ema_two2"), "is not lower-case words"),
        (FILE.replace("def slope", "def rsi"), "takes the name 'rsi', which hermes"),
        (FILE.replace("m: int", "m: str"), "parameter m is not a number"),
        (FILE.replace("EMA over N / EMA over N M bars before - 1", ""), "has no docstring"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(content)
    with pytest.raises(IndicatorError, match=message):
        known_indicators([str(path)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndicatorError, match=r"indicator file .*none.py cannot be read: there is no such file"):
        known_indicators([str(tmp_path / "none.py")])


def test_a_function_that_fails_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE.replace("return ema(n)", "return 1 // (n - n) * ema(n)"))
    with pytest.raises(IndicatorError, match="indicator 'slope_10_3' fails: ZeroDivisionError"):
        column("slope_10_3", known_indicators([str(path)]).families)


def test_the_starter_passes_its_own_test(tmp_path: Path) -> None:
    made, test = write_starter("distance_to_mean", tmp_path)
    assert "distance_to_mean" in known_indicators([str(made)]).families
    # conftest and configuration of this project must not be seen there
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run([*command, test.name], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(UsageError, match="would be overwritten"):
        write_starter("distance_to_mean", tmp_path)


@pytest.mark.parametrize("name", ["ema", "json", "Zscore", "a1"])
def test_the_starter_refuses_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_starter(name, tmp_path)
    assert not list(tmp_path.iterdir())
