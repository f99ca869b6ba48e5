"""A real S3 server for tests: `weed mini` of the virtual environment, on ports of its own."""

import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BINARY = Path(sys.executable).with_name("weed")
SERVICES = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
            "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc")  # fmt: skip


@dataclass
class S3Server:
    """Where a server is and what opens it."""

    endpoint: str
    access_key: str = "hermes-tests"
    secret_key: str = "wJalrXUtnFEMIsecret"
    pid: int = 0  # of its process

    def flags(self, **changed: str) -> dict[str, str]:
        """As settings."""
        known = {"endpoint": self.endpoint, "access_key": self.access_key, "secret_key": self.secret_key} | changed
        return {f"s3.{name}": value for name, value in known.items()}

    def environ(self) -> dict[str, str]:
        """As variables of the environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those that the system hands out by itself."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            taken = held.enter_context(socket.socket())
            try:
                taken.bind(("127.0.0.1", random.SystemRandom().randrange(20_000, 32_000)))
            except OSError:
                continue
            ports.append(taken.getsockname()[1])
        return ports


@contextmanager
def serve(folder: Path, attempts: int = 3) -> Iterator[S3Server]:
    """A server that keeps its data in `folder`, until the end of the block; tried on other ports if one was taken."""
    folder.mkdir(exist_ok=True)
    for _ in range(attempts):
        ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        server = S3Server(f"http://127.0.0.1:{ports['s3.port']}")
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [BINARY, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
                 "-webdav=false", "-s3.port.iceberg=0",
                 "-s3.port.lance=0", *(f"-{name}={port}" for name, port in ports.items())],
                env={**os.environ, **server.environ()}, stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
        try:
            if answers(process, server.endpoint):
                server.pid = process.pid
                yield server
                return
        finally:
            process.kill()  # it would take two seconds to say good-bye
            process.wait()
            for port in ports.values():  # which it would remove itself then
                for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    left.unlink(missing_ok=True)
    raise RuntimeError(f"weed mini did not start in {attempts} attempts: see {folder / 'log'}")


def answers(process: subprocess.Popen, endpoint: str, patience_s: float = 60) -> bool:
    """Whether a server that was just started answers before it ends or patience does."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()
        except urllib.error.HTTPError as error:
            if error.code < 500:  # it asks for a signature: it is up
                return True
        except OSError:
            pass
        else:
            return True
        time.sleep(0.05)
    return False
