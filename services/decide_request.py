"""What is asked of an agent in the moment, read from JSON and checked. Nothing is decided here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from recommender.decision.request_fields import (
    read_context,
    read_id,
    read_somebody,
    refused,
    require_object,
)

__all__ = ["DECIDE_FIELDS", "MAX_HOURS", "MAX_KEY_LENGTH", "DecideRequest"]

DECIDE_FIELDS = ("agent", "user_id", "anonymous_id", "context", "within_hours")
MAX_HOURS = 168.0  # a week: what an audience looks like later nobody knows
MAX_KEY_LENGTH = 200
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class DecideRequest:
    """One checked request. `within_ms`: how far ahead a moment to send may lie, 0 for now or nothing. `key`: what the
    caller calls this request, so that asking again is not asking twice ("": nothing).
    """

    agent: str
    user_id: str | None = None
    anonymous_id: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    within_ms: int = 0
    key: str = ""

    @classmethod
    def parse(cls, body: object, key: str = "") -> DecideRequest:
        """Read a decoded JSON body and the header `Idempotency-Key`; RequestError with a sentence."""
        body = require_object(body, DECIDE_FIELDS)
        agent = read_id(body, "agent")
        if agent is None:
            raise refused("no agent", "the name of one", "Say which agent decides.")
        if len(key) > MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
            expected = f"1 to {MAX_KEY_LENGTH} characters of ASCII"
            raise refused(f"an Idempotency-Key of {len(key)} characters", expected, "Send a UUID.")
        user_id, anonymous_id = read_somebody(body)
        context = read_context(body.get("context"))
        return cls(agent, user_id, anonymous_id, context, round(_hours(body.get("within_hours")) * HOUR_MS), key)

    def decision_id(self) -> str:
        """32 hex digits: of agent, person and key where there is a key, otherwise new each time."""
        if not self.key:
            return uuid4().hex
        parts = (self.agent, self.user_id or "", self.anonymous_id or "", self.key)
        return hashlib.sha256("\n".join(("asked", *map(repr, parts))).encode()).hexdigest()[:32]


def _hours(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_HOURS:
        return float(value)
    raise refused(f"within_hours = {value!r:.80}", f"a number from 0 to {MAX_HOURS:g}", "Correct it, or leave it out.")
