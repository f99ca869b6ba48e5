"""The commands that docs/strategies.md shows, run as they stand there, one after the other in a fresh folder."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from hermes.settings import Settings
from hermes.strategies import STRATEGIES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "strategies.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_commands(tmp_path: Path):
    (script,) = blocks("bash")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HERMES_", "AWS_", "MINIO_"))}
    path = f"{Path(sys.executable).parent}:{clean['PATH']}"
    for line in script.splitlines():
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=clean | {"PATH": path}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    assert list(tmp_path.glob("lake/gold/trading_signals_my_breakout_spot_SIMUSDT_4h/*/signals.parquet"))


def test_the_settings():
    package, settings = map(tomllib.loads, blocks("toml"))
    assert list(package["project"]["entry-points"]) == ["hermes.strategies"]
    flat = {f"signals.{name}": value for name, value in settings["signals"].items()}
    flat |= {f"strategy.{s}.{name}": v for s, part in settings["strategy"].items() for name, v in part.items()}
    Settings.load(flat, environ={})


def test_every_shipped_strategy_is_named():
    assert [name for name in STRATEGIES if name != "smart_momentum" and f"`{name}`" not in PAGE] == []
