"""Workers that end unasked: when the next may start, and the note of it for people. No process is started here."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psutil

from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["RespawnConfig", "Respawning", "crash_facts"]

_LOG = logging.getLogger("nextbest.supervisor")


@dataclass(frozen=True)
class RespawnConfig:
    """A worker that ends within `young_seconds` of its start (it needs about five until it answers) has not served.

    The first such is replaced at once, the second after `first_rest_seconds`, each further one after twice as long,
    `longest_rest_seconds` at most.
    """

    young_seconds: float = 10.0
    first_rest_seconds: float = 1.0
    longest_rest_seconds: float = 60.0


@dataclass(frozen=True)
class Crashes:
    """What the supervisor notes for people: how many workers in a row ended before they served, how the last did."""

    supervisor: int
    in_a_row: int
    last_end: str
    lived_seconds: float
    at: str
    next_start_in_seconds: float


class Respawning:
    """Counts ends, says when the next worker may be started, and notes trouble for as long as it lasts."""

    def __init__(
        self, workspace: Workspace, config: RespawnConfig | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace, self._config, self._clock = workspace, config or RespawnConfig(), clock
        self._until = self._in_a_row = 0.0
        workspace.crashes.unlink(missing_ok=True)  # an earlier supervisor's

    @property
    def rests(self) -> bool:
        """Whether the next worker has to wait."""
        return self._clock() < self._until

    def ended(self, lived_seconds: float, code: int) -> None:
        """A worker ended unasked, with an exit code or, negative, by a signal."""
        is_young = lived_seconds < self._config.young_seconds
        self._in_a_row = self._in_a_row + 1 if is_young else 0
        rest = 0.0
        if self._in_a_row > 1:
            rest = min(self._config.first_rest_seconds * 2 ** (self._in_a_row - 2), self._config.longest_rest_seconds)
        self._until = self._clock() + rest
        end = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        told = f"a worker ended with {end}, {lived_seconds:.1f} s after its start; the next one starts"
        _LOG.error("%s %s", told, f"in {rest:g} s" if rest else "now")
        if self._in_a_row > 1:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            self._note(Crashes(os.getpid(), int(self._in_a_row), end, round(lived_seconds, 1), at, rest))

    def lived(self, youngest_seconds: float) -> None:
        """All workers run, the youngest for so long: once that is old enough, the trouble is over."""
        if self._in_a_row and youngest_seconds >= self._config.young_seconds:
            self._in_a_row = 0
            self._workspace.crashes.unlink(missing_ok=True)
            _LOG.warning("the workers have come to serve again")

    def _note(self, crashes: Crashes) -> None:
        with contextlib.suppress(OSError):  # a note; a full disk must not end the supervisor
            write_bytes_atomically(self._workspace.crashes, json.dumps(asdict(crashes)).encode())


def crash_facts(workspace: Workspace) -> dict[str, Any] | None:
    """What the running supervisor notes of workers that end before they serve; None while they do serve."""
    try:
        found: dict[str, Any] = json.loads(workspace.crashes.read_bytes())
    except (OSError, ValueError):
        return None
    return found if psutil.pid_exists(found["supervisor"]) else None
