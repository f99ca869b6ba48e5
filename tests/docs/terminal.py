"""One process that runs the `hermes` commands of a shell, one after the other: to start each would take a second.

`bin/hermes` in a terminal's environment hands its words, folder, variables and streams over, and ends as the command
did. What cannot be shared starts a process of its own: a command while another one runs, one with worker processes, and
one that asks for another number of threads.
"""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import typer.main

MOST_BYTES = 1 << 20

COMMAND = """#!{python} -ISE
import fcntl, json, os, socket, sys
real = [{python!r}, "-c", "from hermes.cli import main; main()", *sys.argv[1:]]
turn = open({turn!r}, "w")
try:
    fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    os.execv(real[0], real)
if "POLARS_MAX_THREADS" in os.environ or "--workers" in sys.argv:
    os.execv(real[0], real)
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect({address!r})
job = [sys.argv[1:], os.getcwd(), dict(os.environ)]
socket.send_fds(server, [json.dumps(job).encode()], [0, 1, 2])
said = server.recv(16)
sys.exit(int(said) if said else "the process that runs the commands has ended")
"""


@contextmanager
def terminal(folder: Path) -> Iterator[Path]:
    """An environment as `.venv`, whose `hermes` runs in one process until the end of the block."""
    address, environment = folder / "socket", folder / "venv"
    (environment / "bin").mkdir(parents=True)
    for path in Path(sys.prefix).iterdir():
        if path.name != "bin":
            (environment / path.name).symlink_to(path)
    for path in Path(sys.prefix, "bin").iterdir():
        if path.name not in ("hermes", "activate"):
            (environment / "bin" / path.name).symlink_to(path)
    activate = Path(sys.prefix, "bin", "activate").read_text().replace(sys.prefix, str(environment))
    (environment / "bin" / "activate").write_text(activate)
    command = environment / "bin" / "hermes"
    command.write_text(COMMAND.format(python=sys.executable, turn=str(folder / "turn"), address=str(address)))
    command.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(address))
        listening.listen()
        # It ends when the pipe does, so with this process, whatever ends that.
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.terminal", str(listening.fileno())],
            stdin=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2], pass_fds=[listening.fileno()],
        )  # fmt: skip
    try:
        yield environment
    finally:
        process.kill()
        process.communicate()


def serve(listening: socket.socket) -> None:
    """Run what comes, until the pipe on stdin is closed."""
    pipe = os.dup(0)
    while listening.fileno() in select.select([listening.fileno(), pipe], [], [])[0]:
        connection, _ = listening.accept()
        with connection:
            job, handles, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
            words, folder, environ = json.loads(job)
            connection.send(str(answer(words, folder, environ, handles)).encode())


def answer(words: Sequence[str], folder: str, environ: dict[str, str], handles: Sequence[int]) -> int:
    """The exit code of one command."""
    from hermes.cli import streams
    from hermes.cli.entry import _exit_code

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["hermes", *words]
    _put(handles)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
    streams.guard()
    code = _exit_code()
    streams.finish()
    sys.stderr.close()
    _put([os.open(os.devnull, os.O_RDWR) for _ in range(3)])  # whoever reads in a pipe is told of its end
    return code


def _put(handles: Sequence[int]) -> None:
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)


if __name__ == "__main__":
    import hermes.pipeline  # noqa: F401 - while the shell begins

    typer.main.get_command = cache(typer.main.get_command)  # Typer makes all commands each time that one is typed
    serve(socket.socket(fileno=int(sys.argv[1])))
