"""A circuit breaker: something that fails is left alone for a while, then tried once. What fails is not known here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BreakerConfig", "CircuitBreaker"]


@dataclass(frozen=True)
class BreakerConfig:
    """`failures` in a row open it: one slow read on a busy machine is no outage. `pause_seconds`: how long it stays
    open the first time; each trial that fails doubles it, up to `longest_pause_seconds`, which is also how long the
    return of what had failed may go unnoticed."""

    failures: int = 3
    pause_seconds: float = 0.5
    longest_pause_seconds: float = 2.0


class CircuitBreaker:
    """Closed: everyone may try. Open: nobody may. Half open, once the pause is over: one may, and its fate decides.

    Whoever was allowed tells `succeeded` or `failed`. One thread uses it (an event loop's): it holds no lock.
    """

    def __init__(self, config: BreakerConfig | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._config, self._now = config or BreakerConfig(), now
        self._failures = 0
        self._pause = 0.0
        self._open_until: float | None = None  # None: closed
        self._is_on_trial = False
        self.opened = 0  # how often so far

    @property
    def state(self) -> str:
        """ "closed", "open" or "half-open"."""
        if self._open_until is None:
            return "closed"
        return "open" if self._now() < self._open_until else "half-open"

    def allows(self) -> bool:
        """Whether the caller may try now; in the half-open state the first who asks, and nobody beside it."""
        if self._open_until is None:
            return True
        if self._now() < self._open_until or self._is_on_trial:
            return False
        self._is_on_trial = True
        return True

    def succeeded(self) -> None:
        self._failures, self._pause, self._open_until, self._is_on_trial = 0, 0.0, None, False

    def failed(self) -> float:
        """Count a failure; the seconds of the pause that it begins, 0 where it begins none."""
        self._failures += 1
        if self._open_until is not None and not self._is_on_trial:
            return 0.0  # one of those under way when the breaker opened
        if self._open_until is None and self._failures < self._config.failures:
            return 0.0
        doubled = max(2 * self._pause, self._config.pause_seconds)
        self._pause = min(doubled, self._config.longest_pause_seconds)
        self._open_until, self._is_on_trial = self._now() + self._pause, False
        self.opened += 1
        return self._pause
