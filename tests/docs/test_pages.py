"""Every block of every page, run as it stands there: page by page, from top to bottom, in one session."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import typer
from tests import real_archive
from tests.docs.pages import (
    NOT_RUN,
    PAGES,
    PROJECT,
    REAL_ARCHIVE,
    RECORD,
    RUN,
    S3_STORE,
    SHOWN,
    Block,
    blocks,
    prose,
    text,
)
from tests.docs.terminal import terminal
from tests.s3_server import BINARY, S3Server, serve

from hermes.cli.app import app

ARCHIVE = real_archive.folder()
FRESH = "<!-- starts in a fresh clone -->"
COMMANDS = typer.main.get_command(app).commands
TARGETS = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.M))
# `make` must not look after the environment that the tests themselves run in.
PRELUDE = """
set -euo pipefail
export PATH="$PWD/.venv/bin:$PATH"
make() { command make --no-print-directory -o install -o .venv/.installed "$@"; }
"""


def session_blocks(page: str) -> list[Block]:
    """Those that are run here, one after the other."""
    return [block for block in blocks(page) if block.language in RUN and not block.not_run and block.marker != RECORD]


WITH_BLOCKS = [page for page in PAGES if session_blocks(page)]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The environment of the newcomer, in which all commands run in one process."""
    with terminal(tmp_path_factory.mktemp("terminal")) as environment:
        yield environment


@pytest.fixture(scope="session")
def demo_lake(environment: Path, once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The lake of a folder in which `hermes demo` was typed. Not to be changed."""

    def demo(folder: Path) -> None:
        (folder / ".venv").symlink_to(environment)
        done = session(folder, PRELUDE + "hermes demo")
        assert done.returncode == 0, done.stderr
        assert "SIMULATED MARKET" in done.stdout

    return once("demo", demo) / "lake"


@pytest.fixture
def newcomer(page: str, tmp_path: Path, environment: Path, demo_lake: Path) -> Path:
    """A clone of the project, as far as its pages need one; with the demo's lake, unless the page makes its own."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / ".venv").symlink_to(environment)
    if FRESH not in text(page):
        shutil.copytree(demo_lake, tmp_path / "lake")
    return tmp_path


def session(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    ambient = ("HERMES_", "AWS_", "MINIO_", "MAKE", "VIRTUAL_ENV")
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env={k: v for k, v in os.environ.items() if not k.startswith(ambient)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def lacking(block: Block) -> str:
    """What this machine lacks to run a block, and how to get it; empty if it lacks nothing."""
    if block.marker == S3_STORE and not BINARY.is_file():
        return "no SeaweedFS here: make install-dev"
    if block.marker == REAL_ARCHIVE and not ARCHIVE.is_dir():
        return f"the real archive is not here: {real_archive.FETCH}"
    return ""


def step(block: Block, number: int, folder: Path, server: S3Server | None) -> str:
    """What runs one block, in bash."""
    content = block.text
    if block.marker == S3_STORE:
        assert server is not None
        content = content.replace("http://127.0.0.1:9000", server.endpoint)
        content = re.sub(r"(MINIO_ROOT_USER)=\S+", rf"\1={server.access_key}", content)
        content = re.sub(r"(MINIO_ROOT_PASSWORD)=\S+", rf"\1={server.secret_key}", content)
    if block.marker == REAL_ARCHIVE:
        content = f"export HERMES_ARCHIVE__URL={ARCHIVE}\n{content}\nunset HERMES_ARCHIVE__URL"
    if block.language != "sh":
        file = folder / f"block_{number}.{block.language}"
        file.write_text(content)
        content = f"python {file.name}" if block.language == "python" else f"cp {file.name} {named(block)}"
    return f'echo "### the block on line {block.line}" >&2\n{content}\n'


def named(block: Block) -> str | None:
    """The file that a block of TOML says it is: its first line is a comment with the name."""
    found = re.match(r"# ([\w-]+\.toml)\b", block.text)
    return found[1] if found else None


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_run(
    page: str, newcomer: Path, tmp_path_factory: pytest.TempPathFactory, subtests: pytest.Subtests
) -> None:
    """A block that cannot run on this machine is reported as skipped; all others run."""
    run = []
    for block in session_blocks(page):
        if reason := lacking(block):
            with subtests.test(page=page, line=block.line):
                pytest.skip(reason)
        else:
            run.append(block)
    with ExitStack() as stack:
        server = None
        if any(block.marker == S3_STORE for block in run):
            server = stack.enter_context(serve(tmp_path_factory.mktemp("weed")))
        steps = [step(block, number, newcomer, server) for number, block in enumerate(run)]
        done = session(newcomer, PRELUDE + "".join(steps))
    assert done.returncode == 0, f"{page}: {done.stderr}\n{done.stdout[-2000:]}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    for block in blocks(page):
        where = f"{page}, line {block.line}"
        if block.not_run:
            assert block.marker.removeprefix(NOT_RUN).strip(), f"{where}: no reason is given"
            continue
        assert block.marker in ("", REAL_ARCHIVE, S3_STORE, RECORD), f"{where}: {block.marker!r} says nothing"
        assert block.language in RUN | SHOWN, f"{where}: {block.language!r} needs <!-- {NOT_RUN}reason -->"
        assert block.language != "toml" or named(block), f"{where}: the first line must be a comment naming the file"
    hidden = re.findall(r"^ {4}(?:\.venv/|hermes |make |export |python |import ).*$", prose(page), re.M)
    assert not hidden, f"{page}: commands in an indented block are not run: {hidden}"


@pytest.mark.parametrize("page", PAGES)
def test_a_comment_marks_the_block_right_below_it(page: str) -> None:
    marks = re.findall(rf"^<!-- (?:{NOT_RUN}|{REAL_ARCHIVE}|{S3_STORE}|{RECORD})", text(page), re.M)
    assert len(marks) == sum(bool(block.marker) for block in blocks(page))


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    """Also those in sentences, and in the blocks that cannot be run."""
    unrun = "\n".join(block.text for block in blocks(page) if block.not_run).replace("\\\n", "")
    spoken = re.findall(r"`(?:\.venv/bin/)?(hermes [^`\n]*)`", prose(page))
    for line in [*spoken, *re.findall(r"\b(hermes [a-z][^\n#]*)", unrun)]:
        _, command, *words = line.split()
        if command == "COMMAND" or command.startswith("-"):
            continue
        assert command in COMMANDS, f"{page}: {line}"
        found = COMMANDS[command]
        if isinstance(found, typer.core.TyperGroup) and words:
            assert words[0] in found.commands, f"{page}: {line}"
            found = found.commands[words.pop(0)]
        parameters = found.params
        known = {"--help", *(name for each in parameters for name in (*each.opts, *each.secondary_opts))}
        wrong = [word for word in words if word.startswith("-") and word.split("=")[0].rstrip(",.") not in known]
        assert not wrong, f"{page}: {line}: {wrong}"
    for target in re.findall(r"`make ([a-z]+)`", prose(page)):
        assert target in TARGETS, f"{page}: make {target}"
