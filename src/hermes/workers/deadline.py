"""A deadline for calls that have none of their own."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[..., Result], *args: Any) -> Result:
    """Call `call(*args)` in a thread of its own and wait for it, `seconds` at most.

    A thread cannot be stopped: after the deadline it is abandoned, as a daemon thread.

    Returns:
        The result of the call.

    Raises:
        TimeoutError: the call did not return in time.
        BaseException: what the call raised.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(call(*args))
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=run, name="hermes-deadline", daemon=True).start()
    return outcome.result(timeout=seconds)
