"""Output streams: a full disk, a closed pipe or a missing character never changes the result of a command."""

import errno
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO, cast

#: How a process ends that was told to, as a shell sees it.
ENDED_BY: dict[int, int] = {signal.SIGTERM: 143, signal.SIGHUP: 129}


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
        with suppress(AttributeError):
            stream.reconfigure(errors="replace")
        setattr(sys, name, Stream(stream))


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


class Ended(KeyboardInterrupt):
    """The process received a signal to end; `number` is that of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def end_as_interrupted() -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C; a signal that is ignored, as under `nohup`, stays ignored."""

    def end(number: int, _frame: FrameType | None) -> None:
        global told  # noqa: PLW0603 - of the process
        if told is None:  # told again, it goes on tidying up
            told = number
            raise Ended(number)

    for number in ENDED_BY:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


told: int | None = None  # the signal that told this process to end
