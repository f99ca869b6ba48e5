"""The clock of the live service: the machine's own, or one controlled by a test or a simulation."""

import time
from threading import Event

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # keeps running while the machine sleeps


class Clock:
    """The machine's own clock. It decides how long to wait, never whether a bar is closed; see `finality`."""

    def time(self) -> float:
        """Seconds since 1970, by this machine's clock."""
        return time.time()

    def elapsed(self) -> float:
        """Monotonic seconds, which keep running while the machine is suspended."""
        return time.clock_gettime(_ELAPSED)

    def wait(self, wake: Event, seconds: float) -> bool:
        """Wait for `wake`, at most `seconds`; returns whether it is set."""
        return wake.wait(max(0.0, seconds))
