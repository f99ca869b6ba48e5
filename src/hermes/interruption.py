"""Ctrl-C, SIGTERM and SIGHUP end a command in one way, whatever library it is inside.

Polars puts a handler of SIGINT before Python's when it is imported. With it, Ctrl-C makes all threads of Polars panic,
and a thread that waits for one of them prints that it panicked as well. Polars never hears of SIGTERM, which therefore
waits until Polars returns. So the command takes SIGINT back. A thread that is woken by each of the three signals first
silences what native code prints, and then tells Polars, which stops within a moment.
"""

import _thread
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

#: The signals that end a command, and the exit code of each, as a shell reports it.
EXIT_CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
_OF_POLARS = "POLARS_ABORT_KEYBOARD_INTERRUPT"  # in what it raises or panics with

told: int | None = None  # the signal that this process is ended by
_listening = False
_saved = False  # whether there is a handler of Polars to call
_relayed: int | None = None  # the signal that Polars is told of, as SIGINT


class Ended(KeyboardInterrupt):
    """A signal ends this process."""


def listen(silence: Callable[[], None]) -> None:
    """End this process in order at the signals of `EXIT_CODES`; one that is ignored, as under `nohup`, stays ignored.

    Args:
        silence: called first, in another thread; it hides what native code prints.
    """
    global _listening  # noqa: PLW0603 - of the process
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    threading.Thread(target=_relay, args=(heard, silence), name="hermes-interruption", daemon=True).start()
    for number in EXIT_CODES:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    sys.unraisablehook = _lost
    threading.excepthook = _thread_failed
    _listening = True


def take_sigint_back() -> None:
    """Called where Polars has been imported: Python alone handles SIGINT again, if this process listens."""
    global _saved  # noqa: PLW0603 - of the process
    handler = signal.getsignal(signal.SIGINT)
    if not _listening or _saved or handler is None or threading.current_thread() is not threading.main_thread():
        return
    # It keeps the handler that it replaces, one of C, and puts it back in `_relay`.
    faulthandler.register(signal.SIGINT, file=Path(os.devnull).open("w"), all_threads=False, chain=True)  # noqa: SIM115
    signal.signal(signal.SIGINT, handler)
    _saved = True


def check() -> None:
    """Raise Ended in whatever thread calls this while a signal ends the process: it reaches the main thread alone."""
    if told is not None:
        raise Ended


def is_interruption(error: BaseException | None) -> bool:
    """Whether an error tells of a signal: also as a panic or an error of Polars, as its sinks do."""
    return isinstance(error, KeyboardInterrupt) or _OF_POLARS in str(error)


def exit_code() -> int:
    """The exit code of this process, which is interrupted; without a signal that of Ctrl-C."""
    return EXIT_CODES[signal.SIGINT if told is None else told]


def _end(number: int, _frame: FrameType | None) -> None:
    global told  # noqa: PLW0603 - of the process
    if number == signal.SIGINT and _relayed not in (None, number):
        return  # meant for Polars alone
    if told is None:  # told again, it goes on tidying up
        told = number
        if not is_interruption(sys.exc_info()[1]):  # Polars was first, and what it raised is being handled
            raise Ended


def _relay(heard: int, silence: Callable[[], None]) -> None:
    """Wait for the first signal that ends this process, and tell Polars."""
    global _relayed  # noqa: PLW0603 - of the process
    while (number := os.read(heard, 1)[0]) not in EXIT_CODES:
        pass
    silence()
    if _saved:
        _relayed = number
        faulthandler.unregister(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # in this thread; Python's own handler is called in the main thread as ever


def _lost(fault: "sys.UnraisableHookArgs") -> None:
    """Say nothing of a process that ends; raise again what was raised where nothing could catch it."""
    global told
    if told is None:
        sys.__unraisablehook__(fault)
    elif isinstance(fault.exc_value, Ended):
        number, told = told, None
        threading.Thread(target=_thread.interrupt_main, args=(number,)).start()  # at once would be in here


def _thread_failed(fault: threading.ExceptHookArgs) -> None:
    if told is None:
        threading.__excepthook__(fault)
