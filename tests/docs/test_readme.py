"""Every command and the Python that README.md shows, run as they stand there, in a fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from s3_server import BINARY, SERVICES, free_ports

PROJECT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def blocks(language: str, tag: str = "") -> list[str]:
    return [text for name, tags, text in BLOCKS if name == language and tags.strip() == tag]


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HERMES_", "AWS_", "MINIO_"))}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `make demo` was typed."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    made = bash(".venv/bin/hermes demo", folder)
    assert made.returncode == 0, made.stderr
    assert "SIMULATED MARKET" in made.stdout
    return folder


def test_the_two_commands_are_makes() -> None:
    commands = {line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()}
    assert commands == {"make demo", "make test"}
    targets = (PROJECT / "Makefile").read_text()
    assert "\ndemo:" in targets
    assert "\ntest:" in targets


@pytest.mark.parametrize("command", [line for text in blocks("sh")[1:] for line in text.splitlines() if line])
def test_command(command: str, newcomer: Path) -> None:
    done = bash(command, newcomer)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "error" not in done.stderr


def test_python(newcomer: Path) -> None:
    (script,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=newcomer, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "datetime" in done.stdout


def test_settings_file(newcomer: Path) -> None:
    (content,) = blocks("toml")
    (newcomer / "minio.toml").write_text(content)
    done = bash(".venv/bin/hermes config --config minio.toml", newcomer)
    assert done.returncode == 0, done.stderr
    assert "s3://{layer}" in done.stdout


def test_commands_with_an_exchange_or_a_store_behind_them_are_known(newcomer: Path) -> None:
    """They cannot run here, but every command and option in them must exist."""
    for line in "".join(blocks("sh", "no-test")).splitlines():
        if line.startswith(".venv/bin/hermes"):
            command, *words = line.split("#")[0].split()
            shown = bash(f"{command} {words[0]} --help", newcomer).stdout
            for option in (word for word in words if word.startswith("--")):
                assert option in shown, f"{line}: {option}"


def test_s3(newcomer: Path) -> None:
    """The two lines that start a store, then the two that use it; only the ports are others."""
    if not BINARY.is_file():
        pytest.skip(f"no S3 server: {BINARY} is not there")
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    start, use = blocks("sh", "s3")
    address = f"127.0.0.1:{ports['s3.port']}"
    others = " ".join(f"-{name}={port}" for name, port in ports.items() if name != "s3.port")
    start = start.replace("127.0.0.1:8333", address).replace("-s3.port=8333", f"-s3.port={ports['s3.port']}")
    start = start.replace("-webdav=false", f"-webdav=false {others} -s3.port.iceberg=0 -s3.port.lance=0")
    wait = f"for _ in $(seq 100); do curl -s -o /dev/null http://{address}/ && break; sleep 0.1; done"
    done = bash(f"{start}\ntrap 'kill %1' EXIT\n{wait}\n{use}", newcomer)
    assert done.returncode == 0, done.stderr
    assert "signals_SIMUSDT_4h" in done.stdout
    assert "s3://gold" in done.stdout
