"""Output streams: a full disk, a closed pipe or a missing character never changes the result of a command."""

import errno
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

_NATIVE = 2  # the descriptor that native code prints to


class Stream:
    """A stream that ignores writes after the first error; all else is delegated to the wrapped stream.

    Attributes:
        lost: the first error, None without one.
    """

    def __init__(self, below: TextIO) -> None:
        self._below = below
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or ignore the text if an earlier write failed."""
        if self.lost is None:
            try:
                self._below.write(text)
            except OSError as error:
                self.lost = error
        return len(text)

    def flush(self) -> None:
        """Flush the buffer."""
        if self.lost is None:
            try:
                self._below.flush()
            except OSError as error:
                self.lost = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


def guard() -> None:
    """Replace stdout and stderr by a `Stream` each; characters that their encoding lacks are replaced.

    A stream that was closed before the command started counts as unread.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - lives as long as the process
        if name == "stderr":
            stream = _apart_from_native(stream)
        with suppress(AttributeError):
            stream.reconfigure(errors="replace")
        setattr(sys, name, Stream(stream))


def _apart_from_native(stream: TextIO) -> TextIO:
    """The same stream, on a descriptor that native code does not know of."""
    global _is_apart  # noqa: PLW0603 - of the process
    try:
        if stream.fileno() != _NATIVE:
            return stream
        own = open(os.dup(_NATIVE), "w", buffering=1, encoding=stream.encoding)  # noqa: PTH123, SIM115 - as above
    except (AttributeError, OSError, ValueError):  # no file
        return stream
    _is_apart = True
    return own


def silence_native() -> None:
    """Hide what native code prints to stderr from now on, such as panics; what Hermes prints is still seen."""
    if _is_apart:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _NATIVE)
        os.close(nowhere)


_is_apart = False


def finish() -> OSError | None:
    """Flush; returns the error of stdout, None if all was written or the reader closed the pipe."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, Stream):
            stream.flush()
            if stream.lost:  # Python would try once more when it ends, and call that a failure
                _silence(cast("TextIO", stream))
    lost = sys.stdout.lost if isinstance(sys.stdout, Stream) else None
    return None if lost is None or lost.errno == errno.EPIPE else lost


def _silence(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
