"""The budget of request weight shared by all clients of one exchange in this process: half of what it allows."""

from collections import deque
from datetime import UTC, datetime
from threading import Event, Lock

from hermes.errors import Banned
from hermes.live.clock import Clock

WINDOW_S = 60.0
SHARE = 0.5  # of the exchange's limit: other programs share this address


class Budget:
    """The weight spent within the last minute; thread-safe.

    Args:
        limit: weight that the exchange allows per minute.
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self.most = int(limit * SHARE)
        self._clock = clock
        self._lock = Lock()
        self._spent: deque[tuple[float, int]] = deque()
        self._reported: tuple[float, int] = (-WINDOW_S, 0)  # when the exchange last said, and how much was used by then
        self._paused_until = -1.0
        self._banned_until = -1.0
        self._ban = ""

    def spend(self, weight: int, stop: Event) -> None:
        """Wait until `weight` fits, then count it.

        Raises:
            Banned: the exchange has banned this address for a while; nothing is sent.
            InterruptedError: `stop` was set meanwhile.
        """
        while (pause := self._try(weight)) > 0:
            if self._clock.wait(stop, pause):
                raise InterruptedError("stopped")

    def _try(self, weight: int) -> float:
        """Count `weight` and return 0, or say for how many seconds to wait."""
        with self._lock:
            now = self._clock.elapsed()
            if now < self._banned_until:
                raise self._as_error()
            if now < self._paused_until:
                return self._paused_until - now
            used = self._used(now)
            if not used or used + weight <= self.most:
                self._spent.append((now, weight))
                return 0.0
            oldest = self._spent[0][0] if self._spent else self._reported[0]
            return max(0.05, min(oldest + WINDOW_S - now, 1.0))

    def left(self) -> int:
        """Weight that can be spent at once."""
        with self._lock:
            return max(0, self.most - self._used(self._clock.elapsed()))

    def _used(self, now: float) -> int:
        while self._spent and self._spent[0][0] <= now - WINDOW_S:
            self._spent.popleft()
        own = sum(weight for _, weight in self._spent)
        at, used = self._reported
        if at <= now - WINDOW_S:
            return own
        return max(own, used + sum(weight for when, weight in self._spent if when > at))

    def report(self, used: int) -> None:
        """Note the weight used in the exchange's current minute, by all programs at this address."""
        with self._lock:
            self._reported = (self._clock.elapsed(), used)

    def pause(self, seconds: float) -> None:
        """Send nothing for this time, as the exchange requested."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock.elapsed() + seconds)

    def ban(self, host: str, seconds: float) -> Banned:
        """Refuse all requests for this time; returns the error that says until when."""
        with self._lock:
            self._banned_until = self._clock.elapsed() + seconds
            until = datetime.fromtimestamp(self._clock.time() + seconds, UTC)
            self._ban = f"{host} refuses this address until {until:%Y-%m-%d %H:%M:%S} UTC (HTTP 418)"
            return self._as_error()

    def _as_error(self) -> Banned:
        wait = self._banned_until - self._clock.elapsed()
        return Banned(self._ban, "stop other programs that ask it too often, and wait until then", max(0.0, wait))
