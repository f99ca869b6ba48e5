"""Clocks for tests and simulations: one with any speed, and one that is moved by hand."""

from threading import Event, Lock
from time import monotonic

from hermes.live.clock import Clock


class FastClock(Clock):
    """Runs `speed` times as fast as the machine's.

    Args:
        start: seconds since 1970 at which it begins.
    """

    def __init__(self, start: float, speed: float = 1.0) -> None:
        self.start, self.speed = start, speed
        self._began = monotonic()

    def time(self) -> float:
        """Seconds since 1970, by this clock."""
        return self.start + self.elapsed()

    def elapsed(self) -> float:
        """Seconds since it began, by this clock."""
        return (monotonic() - self._began) * self.speed

    def wait(self, wake: Event, seconds: float) -> bool:
        """Wait for so many of this clock's seconds."""
        return wake.wait(max(0.0, seconds) / self.speed)


class ManualClock(Clock):
    """Stands still until it is moved or waited on: a wait returns at once, and advances the clock."""

    def __init__(self, start: float) -> None:
        self._now, self._elapsed = start, 0.0
        self._lock = Lock()

    def time(self) -> float:
        """Seconds since 1970, by this clock."""
        return self._now

    def elapsed(self) -> float:
        """Seconds waited so far."""
        return self._elapsed

    def wait(self, wake: Event, seconds: float) -> bool:
        """Move on by so many seconds at once, unless `wake` is set."""
        if not wake.is_set():
            self.move(max(0.0, seconds))
        return wake.is_set()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += seconds
            self._elapsed += seconds

    def step(self, seconds: float) -> None:
        """Set this machine's clock forward or back, as an operator or a time server does: no time passes."""
        with self._lock:
            self._now += seconds
