"""Code of users: a Python file, which is run once, or the entry points of an installed package."""

import os
import sys
import traceback
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from keyword import iskeyword
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError, UsageError, first_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_modules: dict[str, ModuleType] = {}  # by content, so that a file is run once and its classes stay the same


@cache
def _entry_points(path: tuple[str, ...]) -> Any:
    """The entry points of all packages on this `sys.path`; cached, as the search opens a file of each package."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to load, and what is shipped needs it not

    return entry_points()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of user code: its name in messages, the error to raise, the group of entry points.

    Attributes:
        shipped: reserved names, which no package may use.
    """

    noun: str
    error: type[HermesError]
    group: str
    shipped: Container[str]

    def read_file(self, path: Path) -> bytes:
        """The file's content; raises HermesError of this kind where it cannot be read."""
        try:
            return path.read_bytes()
        except OSError as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise self.error(f"{self.noun} file {path} cannot be read: {reason}", "check the path") from None
        except ValueError:
            raise self.error(f"{self.noun} file {str(path)!r} is not a path", "check the path") from None

    def run_file(self, path: Path, content: bytes) -> tuple[ModuleType, str]:
        """The file as a module, and its SHA-256; a file of this content is run once.

        It is registered under a name of its own, which typed classes look up.

        Raises:
            HermesError: of this kind, where the file fails; names the line.
        """
        digest = sha256(content).hexdigest()
        key = f"hermes_{self.noun}_{path.stem}_{sha256(os.fsencode(path.resolve()) + digest.encode()).hexdigest()[:16]}"
        if key not in _modules:
            _modules[key] = self._executed(key, path, content)
        return _modules[key], digest

    def _executed(self, key: str, path: Path, content: bytes) -> ModuleType:
        spec = spec_from_file_location(key, path)
        assert spec
        module = module_from_spec(spec)
        sys.modules[key] = module
        try:
            exec(compile(content, str(path), "exec"), vars(module))
        except (Exception, SystemExit) as error:
            del sys.modules[key]
            line = next(_lines(error, str(path)), None)
            where = f"{path} line {line}" if line else str(path)
            raise self.error(f"{where}: {in_one_line(error)}", "correct the file") from error
        return module

    def installed(self) -> "dict[str, EntryPoint]":
        """Entry points of installed packages by name.

        Raises:
            HermesError: of this kind, if two packages define one name, or one uses a shipped name.
        """
        found: dict[str, EntryPoint] = {}
        for point in _entry_points(tuple(sys.path)).select(group=self.group):
            if point.name in self.shipped or point.name in found:
                rival = _package(found[point.name]) if point.name in found else "hermes"
                raise self.error(
                    f"{rival} and {_package(point)} both bring {self.article} {self.noun} {point.name!r}",
                    "uninstall one of them",
                )
            found[point.name] = point
        return found

    def write_starter(self, name: str, folder: Path, content: str, test: str) -> tuple[Path, Path]:
        """Write `NAME.py` and `test_NAME.py` into a folder; files that are there already are left alone.

        Args:
            name: a Python identifier.

        Returns:
            Both paths.

        Raises:
            UsageError: the name is taken, or a file of that name is there.
            HermesError: of this kind, where the files cannot be written.
        """
        if name in self.shipped or name in self.installed():
            raise UsageError(f"there is {self.article} {self.noun} {name!r} already", "choose another name")
        paths = folder / f"{name}.py", folder / f"test_{name}.py"
        if there := [str(path) for path in paths if path.exists()]:
            raise UsageError(f"{' and '.join(there)} would be overwritten", "choose another name, or move it away")
        if iskeyword(name) or name in sys.stdlib_module_names or find_spec(name):
            hidden = f"{name!r} is the name of a Python module, which {name}.py would hide"
            raise UsageError(hidden, "choose another name")
        try:
            for path, text in zip(paths, (content, test), strict=True):
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
        except OSError as error:
            raise self.error(
                f"{path} cannot be written: {error.strerror}", "change to a folder that you can write to"
            ) from None
        return paths

    @property
    def article(self) -> str:
        """`a` or `an`."""
        return "an" if self.noun[0] in "aeiou" else "a"

    def load(self, point: "EntryPoint") -> tuple[Any, str, str]:
        """The object of an entry point, its name in messages, and the package with its version.

        Raises:
            HermesError: of this kind, where it cannot be loaded.
        """
        origin = f"{self.noun} {point.name!r} of {_package(point)} ({point.value})"
        try:
            found = point.load()
        except Exception as error:
            reason = in_one_line(error)
            raise self.error(f"{origin} cannot be loaded: {reason}", "correct or update the package") from error
        return found, origin, f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _package(point: "EntryPoint") -> str:
    return point.dist.name if point.dist else point.value


def _lines(error: BaseException, file: str) -> Iterator[int]:
    """Where in `file` an error arose, the innermost line first."""
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno:
        yield error.lineno
    yield from (
        frame.lineno
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if frame.filename == file and frame.lineno
    )


def in_one_line(error: BaseException) -> str:
    """An error's type and the first line of its message."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    first = first_line(message)
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
