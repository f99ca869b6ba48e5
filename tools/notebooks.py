"""The notebooks with their outputs: `python -m tools.notebooks` runs and stores them, `--check` only compares.

An output is the same each time but for the names of executions, which are not compared. No folder of a machine is
stored, and no output of more than `LONGEST` characters, such as a whole page: its text stays.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os.path import commonprefix
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
LONGEST = 200_000  # characters of an output that is stored
TIMEOUT_S = 300
#: The name of an execution is its moment; all else that is put out is the same each time.
EXECUTION = re.compile(r"execution_\d{8}_\d{6}")


def names() -> list[str]:
    """Every notebook."""
    return [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]


def read(name: str) -> nbformat.NotebookNode:
    """A notebook as it is stored."""
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def run(book: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """The notebook with what its cells put out when they run in `folder`, from the first to the last.

    The kernel is this very Python, reached through files instead of ports.
    """
    with _runtime() as sockets:
        kernel = AsyncKernelManager(transport="ipc", ip=str(sockets), kernel_name="python3")
        options = {"timeout": TIMEOUT_S, "record_timing": False, "resources": {"metadata": {"path": str(folder)}}}
        NotebookClient(book, km=kernel, **options).execute()
    return book


@contextmanager
def _runtime() -> Iterator[Path]:
    """Where the kernel's sockets are: their path must be short."""
    with tempfile.TemporaryDirectory(prefix="k") as short:
        before = os.environ.get("JUPYTER_RUNTIME_DIR")
        os.environ["JUPYTER_RUNTIME_DIR"] = short
        try:
            yield Path(short) / "socket"
        finally:
            if before is None:
                del os.environ["JUPYTER_RUNTIME_DIR"]
            else:
                os.environ["JUPYTER_RUNTIME_DIR"] = before


def storable(book: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """The notebook that ran in `folder`, as it is stored: no path of this machine, no output that is too long."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            for kind in [kind for kind, said in output.get("data", {}).items() if len(said) > LONGEST]:
                del output.data[kind]
            _replace(output, str(folder), ".")
    book.metadata["language_info"] = {"name": "python"}  # not the version of this machine's
    return book


def _replace(node: dict, old: str, new: str) -> None:
    """Replace a text in every value of an output."""
    for key, value in node.items():
        if isinstance(value, str):
            node[key] = value.replace(old, new)
        elif isinstance(value, dict):
            _replace(value, old, new)


def differences(stored: nbformat.NotebookNode, made: nbformat.NotebookNode) -> list[str]:
    """One line for each cell whose outputs are not those that are stored."""
    found = []
    for number, (before, now) in enumerate(zip(stored.cells, made.cells, strict=True)):
        ours, theirs = _said(before), _said(now)
        if ours != theirs:
            at = len(commonprefix([ours, theirs]))  # noqa: RUF071 - of texts, not of paths
            shown = slice(max(0, at - 40), at + 60)
            found.append(f"cell {number}: stored …{ours[shown]!r}, made …{theirs[shown]!r}")
    return found


def _said(cell: nbformat.NotebookNode) -> str:
    """What is compared of a cell's outputs."""
    parts = []
    for output in cell.get("outputs", []):
        parts += [output.get("text", ""), *(f"{kind}: {said}" for kind, said in sorted(output.get("data", {}).items()))]
    return EXECUTION.sub("execution", "\n".join(parts))


def main(line: Sequence[str] | None = None) -> int:
    """Run the notebooks, each in a fresh folder; 1 where outputs are not those that are stored."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help=f"which ones: {' '.join(names())}; default all")
    parser.add_argument("--check", action="store_true", help="store nothing; exit code 1 where an output differs")
    given = parser.parse_args(line)
    if unknown := sorted(set(given.names) - set(names())):
        parser.error(f"no notebook {' '.join(unknown)}; there are {' '.join(names())}")
    for variable in [each for each in os.environ if each.startswith(("HERMES_", "AWS_", "MINIO_"))]:
        del os.environ[variable]  # settings of whoever runs this
    wrong = 0
    for name in given.names or names():
        with tempfile.TemporaryDirectory(prefix="hermes-notebook-") as folder:
            made = storable(run(read(name), Path(folder)), Path(folder))
        found = differences(read(name), made)
        if given.check:
            print(f"{name}: {'as stored' if not found else '; '.join(found)}")
            wrong += bool(found)
        else:
            nbformat.write(made, FOLDER / f"{name}.ipynb")
            print(f"{name}: stored")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
