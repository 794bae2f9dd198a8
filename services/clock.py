"""The service's clock: what time it is for everything recorded or decided here. Nothing else asks the machine.

A workspace fed from history that ended long ago answers in `replay` mode: its time is the wall's plus
an offset, so that recencies make sense. In replay alone, a message or a request may also carry its own
moment (`context.occurred_at`, ISO 8601), which is then trusted: simulated days are lived that way. With
the `wall` clock a request that names a moment is refused (an answer for another moment than the one
asked for would be silently wrong), while the same field of a tracked message is ordinary context.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recommender.errors import InputError, RequestError

__all__ = ["Clock", "parse_moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(text: object) -> int:
    """Milliseconds since 1970 of an ISO 8601 text (no zone means UTC); ValueError where it is none."""
    if not isinstance(text, str):
        raise ValueError("a time must be ISO 8601 text")
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 time") from None
    if milliseconds < 0:
        raise ValueError(f"{text[:40]!r} lies before 1970")
    return milliseconds


@dataclass(frozen=True)
class Clock:
    """`mode` is "wall" or "replay"; `offset_ms` is added to the wall's time in replay."""

    mode: str = "wall"
    offset_ms: int = 0

    @classmethod
    def from_settings(cls, path: Path) -> Clock:
        """Read the `clock` of a workspace's settings; a missing file or entry means the wall's time."""
        if not path.exists():
            return cls()
        try:
            entry = json.loads(path.read_bytes()).get("clock") or {}
            clock = cls(str(entry.get("mode", "wall")), int(entry.get("offset_ms", 0)))
        except (ValueError, TypeError, AttributeError) as error:
            raise _bad_settings(path, str(error)) from None
        if clock.mode not in ("wall", "replay"):
            raise _bad_settings(path, f"clock mode {clock.mode!r}")
        return clock

    @property
    def is_replay(self) -> bool:
        return self.mode == "replay"

    def now_ms(self) -> int:
        """The service's time in milliseconds since 1970."""
        return time.time_ns() // 1_000_000 + (self.offset_ms if self.is_replay else 0)

    def request_moment(self, context: Mapping[str, Any]) -> int:
        """The moment a request is answered for: its own in replay, otherwise now."""
        claimed = context.get("occurred_at")
        if claimed is None:
            return self.now_ms()
        if not self.is_replay:
            raise RequestError(
                "context.occurred_at in a request.",
                "a moment only where the workspace's clock is in replay mode; this one runs on the wall clock.",
                "leave context.occurred_at out.",
            )
        try:
            return parse_moment(claimed)
        except ValueError as error:
            raise RequestError(f"context.occurred_at: {error}.", "an ISO 8601 time.", "correct it.") from None


def _bad_settings(path: Path, found: str) -> InputError:
    return InputError(
        f"{found} in {path.name}.",
        'a "clock" such as {"mode": "wall"} or {"mode": "replay", "offset_ms": -1000}.',
        "correct the file or delete its clock entry.",
    )
