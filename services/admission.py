"""How much is let in at once: requests waiting their turn, bytes of bodies, and requests a second of one key.

What is too much is refused at once with 429 and a moment to come back, before its body is parsed: a queue
that grows answers everybody too late. Nothing is read or answered here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType

from recommender.door_settings import DoorSettings
from services.wire import Refusal

__all__ = ["Admission", "RateLimits"]

_ALWAYS_ADMITTED = 8  # however slow the last answers were: otherwise one stall would lock the door for good
_MEMORY_SECONDS = 0.5  # of busy time: what lies further back hardly counts
_MOST_BUCKETS = 10_000
_BUSY = "The service is at its limit. Expected fewer requests at once. Send this one again after a moment."
_FULL = "The bodies under way fill the memory set aside for them. Send this one again after a moment."


class Admission:
    """One queue of a worker: a request that would wait longer than it should is refused instead of queued.

    With n requests under way that are answered every s seconds, the next one waits about n × s (Little's law).
    s is averaged over busy time alone, so an idle night does not count; over time and not over answers, because they
    come in bursts (a commit answers twenty at once), and an average over the latest twenty was lowest just when the
    next ones were let in: p99 was 1.5 s where 0.2 were wanted. Used by the event loop's thread alone.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._busy_seconds = self._answers = 0.0  # both fade as busy time passes
        self._last_end = 0.0
        self.in_flight = 0

    def is_full(self, settings: DoorSettings) -> bool:
        """Whether one more would wait too long."""
        if self.in_flight < _ALWAYS_ADMITTED:
            return False
        interval = self._busy_seconds / self._answers if self._answers else 0.0
        waits_long = self.in_flight * interval > settings.longest_wait_seconds
        return waits_long or self.in_flight >= settings.most_in_flight

    def refuse_if_full(self, settings: DoorSettings) -> None:
        """Raises Refusal (429)."""
        if self.is_full(settings):
            raise Refusal(429, _BUSY, retry_after=1, reason="overload")

    def turn(self, settings: DoorSettings) -> _Turn:
        """A place among those under way, until the `with` block ends. Raises Refusal (429)."""
        self.refuse_if_full(settings)
        return _Turn(self)

    def began(self) -> float:
        self.in_flight += 1
        return self._clock()

    def ended(self, began: float) -> None:
        """An answer was given: what passed since the one before it, or since this one began if it was alone."""
        now = self._clock()
        passed = now - max(self._last_end, began)
        left = math.exp(-passed / _MEMORY_SECONDS)
        self._busy_seconds = left * self._busy_seconds + passed
        self._answers = left * self._answers + 1
        self._last_end = now
        self.in_flight -= 1


class _Turn:
    """A class instead of a generator: it costs 0.3 µs instead of 1.2, for every request."""

    __slots__ = ("_admission", "_began")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def __enter__(self) -> None:
        self._began = self._admission.began()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.ended(self._began)


class Memory:
    """The bytes of bodies that are held at this moment, at most a share of `body_bytes_in_flight`."""

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self.held = 0

    def take(self, size: int, settings: DoorSettings) -> None:
        """Raises Refusal (429) where there is no room; whatever was taken is given back with `held -= size`."""
        if self.held + size > self._share * settings.body_bytes_in_flight:
            raise Refusal(429, _FULL, retry_after=1, reason="memory")
        self.held += size


class RateLimits:
    """A token bucket for each caller: `burst` requests at once, then `requests_per_second`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # by caller: tokens, and when they were counted

    def spend(self, caller: str, settings: DoorSettings) -> None:
        """Take one token of this caller's. Raises Refusal (429) with the seconds until the next one."""
        now = self._clock()
        tokens, counted = self._buckets.get(caller, (settings.burst, now))
        tokens = min(settings.burst, tokens + (now - counted) * settings.requests_per_second)
        if tokens < 1:
            self._buckets[caller] = (tokens, now)
            wait = math.ceil((1 - tokens) / settings.requests_per_second)
            told = f"Found more than {settings.requests_per_second:g} requests a second with one key."
            raise Refusal(429, f"{told} Send this one again after {wait} s.", retry_after=wait, reason="rate")
        if len(self._buckets) >= _MOST_BUCKETS and caller not in self._buckets:
            self._buckets.clear()  # callers are keys that exist; so many mean that keys came and went for years
        self._buckets[caller] = (tokens - 1, now)
