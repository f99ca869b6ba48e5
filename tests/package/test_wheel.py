"""The wheel: built, installed into an environment of its own, and run."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import polars
import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_all_of_the_package_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(PROJECT / "src").as_posix()
        for path in (PROJECT / "src" / "hermes").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == files
    assert "hermes/py.typed" in names


def test_it_runs_the_demo(wheel: Path, tmp_path: Path):
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    (site,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    # What Hermes depends on comes from the environment of the tests; Hermes itself does not.
    (site / "dependencies.pth").write_text(str(Path(polars.__file__).parents[1]))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HERMES_"))}
    script = "import hermes, sys; print(hermes.__file__); from hermes.cli import main; sys.argv[1:] = ['demo']; main()"
    command = [environment / "bin" / "python", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert list((tmp_path / "lake").rglob("report.html"))
