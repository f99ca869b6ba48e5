"""A demo lake in a temporary folder, made once, and what commands say about it."""

import atexit
import json
import os
import subprocess
import sys
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hermes.dataset import Dataset
from hermes.stages.bronze.simulate import write_archive


@cache
def folder() -> Path:
    """Where the lake of `hermes demo` is."""
    temporary = TemporaryDirectory(prefix="hermes-docs-")
    atexit.register(temporary.cleanup)
    return Path(temporary.name).resolve()


@cache
def document(*words: str) -> dict[str, Any]:
    """What `hermes WORDS --json` prints in that folder, once the demo has run and a second symbol is in its archive."""
    if words != ("demo",):
        document("demo")
        second_symbol()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HERMES_", "AWS_", "MINIO_"))}
    done = subprocess.run(
        [Path(sys.executable).with_name("hermes"), *words, "--json"],
        cwd=folder(), env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"hermes {' '.join(words)}: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


@cache
def second_symbol() -> None:
    """Half a year of SIM1USDT in the demo's archive."""
    write_archive(folder() / "lake" / "archive", Dataset(symbol="SIM1USDT"), date(2024, 1, 1), 6)
