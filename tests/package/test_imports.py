"""The contracts of the imports (`make lint`) hold, and each is broken by one import that is turned around."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("dataset.py", "import hermes.settings", "Imports go one way BROKEN"),
        ("stages/silver/clean.py", "import hermes.stages.gold.features", "Stages never import each other BROKEN"),
        ("pages/__init__.py", "import hermes.lake.store", "Stages, strategies and pages touch no storage BROKEN"),
    ],
)
def test_one_import_turned_around_is_found(tmp_path: Path, module: str, line: str, broken: str) -> None:
    package = tmp_path / "hermes"
    shutil.copytree(PROJECT / "src" / "hermes", package, ignore=shutil.ignore_patterns("__pycache__"))
    file = package / module
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    command = [sys.executable, "-c", LINT, "--config", PROJECT / "pyproject.toml", "--no-cache"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert broken in done.stdout
