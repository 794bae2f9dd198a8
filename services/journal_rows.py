"""Events and decisions as rows of the journal's tables. Nothing is stored here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from services.records import RecordedEvent

__all__ = ["decision_row", "event_row"]


def event_row(event: RecordedEvent) -> tuple[Any, ...]:
    """In the order in which the journal's statement names its columns."""
    fact = event.interaction
    return (
        fact.event_id,
        fact.user_id,
        fact.item_id,
        fact.event_type,
        fact.occurred_ms,
        event.session_id,
        fact.quantity,
        fact.price_micros,
        fact.channel,
        fact.device,
        fact.country,
        fact.placement,
        fact.decision_id,
        fact.position,
        event.properties,
        event.recorded_ms,
    )


def decision_row(decision: Mapping[str, Any]) -> tuple[str, str | None, int, bytes, bytes]:
    """JSON keeps every float exactly (shortest text that reads back the same); the feature bytes stay bytes."""
    row = {name: value for name, value in decision.items() if name != "slate_features"}
    text = orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
    return decision["decision_id"], decision["user_id"], decision["decided_at"], text, decision["slate_features"]
