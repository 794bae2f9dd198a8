"""What a person did lately that stops messages, out of the journal's events. No rule is applied here."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Stops", "deeds_of"]

# As of live events: the newest 2,000 bound what one noisy client can make a request cost.
_RECENT = """
select event_type, occurred_ms from events where user_id = ? and recorded_ms >= ? order by recorded_ms desc limit 2000
"""


@dataclass(frozen=True, slots=True)
class Stops:
    """`since_ms`: event type → from when on it counts; what comes after `until_ms`, the decision, does not."""

    since_ms: Mapping[str, int]
    until_ms: int


def deeds_of(connection: sqlite3.Connection, people: Sequence[str], stops: Stops) -> dict[str, int]:
    """Event type → when a person, who may be known by several ids, last did it."""
    found: dict[str, int] = {}
    earliest = min(stops.since_ms.values())
    for person in people:
        for event_type, at_ms in connection.execute(_RECENT, (person, earliest)):
            since_ms = stops.since_ms.get(event_type)
            if since_ms is not None and since_ms <= at_ms <= stops.until_ms:
                found[event_type] = max(found.get(event_type, at_ms), at_ms)
    return found
