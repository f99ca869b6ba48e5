"""The clock that live work goes by: the machine's own, or one that a test or a simulation moves."""

import time
from threading import Event

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # keeps running while the machine sleeps


class Clock:
    """The machine's own clock. What it says decides how long to wait, never what is true; see `finality`."""

    def time(self) -> float:
        """Seconds since 1970, as this machine has them."""
        return time.time()

    def elapsed(self) -> float:
        """Monotonic seconds, which keep running while the machine is suspended."""
        return time.clock_gettime(_ELAPSED)

    def wait(self, wake: Event, seconds: float) -> bool:
        """Wait for `wake`, at most `seconds`; returns whether it is set."""
        return wake.wait(max(0.0, seconds))
