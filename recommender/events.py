"""The facts ever recorded: interactions, decisions and the types of events. No state is derived here.

Times are UTC. In tables they are timestamps with millisecond precision; in arithmetic they are
`*_ms`, integers of milliseconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

__all__ = [
    "CATALOGUE_SCHEMA",
    "DAY_MS",
    "DEAD_LETTER_SCHEMA",
    "DECISION_SCHEMA",
    "ERASED_SCHEMA",
    "EVENT_SCHEMA",
    "EVENT_STRENGTHS",
    "RATINGS",
    "Interaction",
    "settled_type",
    "strength_of",
]

DAY_MS = 86_400_000

# How much an event says about a preference. Integers, so that sums are exact in SQL and in Python
# alike. Zero: the event is kept but says nothing positive. Unknown types that name an item count 1.
# dbt receives this table as the variable `event_strengths`; it is written nowhere else.
EVENT_STRENGTHS: dict[str, int] = {
    "impression": 0,
    "skip": 0,
    "dislike": 0,
    "remove_from_cart": 0,
    "remove_bookmark": 0,
    "refund": 0,
    "unsubscribe": 0,
    "identify": 0,
    "email_delivered": 0,
    "view": 1,
    "click": 2,
    "rating": 2,
    "like": 3,
    "bookmark": 3,
    "add_to_cart": 4,
    "purchase": 6,
}


# Where an event's properties say how good a rating is, and from which share of its scale on it is positive: with the
# scale's own `rating_max`, or with 5, three stars are, two are not. dbt receives this as the variable `ratings`.
RATINGS: dict[str, Any] = {"keys": ["rating", "stars", "score", "value"], "max": 5, "liked_share": 0.6}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def settled_type(event_type: str, properties: Mapping[str, Any]) -> str:
    """The canonical type, once the value of a rating is looked at: a low one is a dislike. dbt says the same."""
    if event_type != "rating":
        return event_type
    value = _number(next((properties[key] for key in RATINGS["keys"] if properties.get(key) is not None), None))
    most = _number(properties.get("rating_max"))
    scale = most if most is not None and most > 0 else float(RATINGS["max"])
    return "dislike" if value is not None and value < RATINGS["liked_share"] * scale else event_type


def _number(value: Any) -> float | None:
    text = str(value).strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def strength_of(event_type: str) -> int:
    """Strength of an event type; 1 for a type nobody declared."""
    return EVENT_STRENGTHS.get(event_type, 1)


@dataclass(frozen=True, slots=True)
class Interaction:
    """One canonical event, as the live state needs it (the columns of `EVENT_SCHEMA` that matter there)."""

    event_id: str
    user_id: str
    event_type: str
    occurred_ms: int
    item_id: str | None = None
    quantity: int | None = None
    price_micros: int | None = None
    channel: str | None = None
    device: str | None = None
    country: str | None = None
    placement: str | None = None
    decision_id: str | None = None
    position: int | None = None


_TIME = pa.timestamp("ms")  # naive, UTC: what DuckDB's TIMESTAMP_MS writes and reads

# The mart `events`: canonical, deduplicated, ordered by (occurred_at, event_id). Grain: one event.
EVENT_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event_type", pa.string()),
        ("occurred_at", _TIME),
        ("session_id", pa.string()),
        ("quantity", pa.int64()),
        ("price_micros", pa.int64()),  # unit price × 1,000,000
        ("channel", pa.string()),
        ("device", pa.string()),
        ("country", pa.string()),
        ("placement", pa.string()),
        ("decision_id", pa.string()),
        ("position", pa.int64()),
        ("properties", pa.string()),  # JSON text
        ("recorded_at", _TIME),  # when it became known to us; equals occurred_at for history that was imported
        ("origin", pa.string()),  # the source's name, or "journal"
    ]
)

# Grain: one rejected row.
DEAD_LETTER_SCHEMA = pa.schema(
    [
        ("origin", pa.string()),
        ("table_name", pa.string()),
        ("reason", pa.string()),
        ("raw_row", pa.string()),  # JSON text of the row as it arrived
    ]
)

# Grain: one id of a person who was erased. `hash` is the hex SHA-256 of `key` (64 characters, the same on all rows)
# followed by the id: whoever has an id can look whether it was erased, and nobody can read ids from this.
ERASED_SCHEMA = pa.schema([("key", pa.string()), ("hash", pa.string()), ("erased_at", pa.timestamp("ms"))])

# Grain: one answered request. What training, experiments, replay, explanation and erasure read.
# Lists named `slate_*` run by rank (first shown first); `candidate_*` lists cover everything scored.
DECISION_SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("user_id", pa.string()),
        ("anonymous_id", pa.string()),
        ("placement", pa.string()),
        ("decided_at", _TIME),
        ("state_as_of", _TIME),  # cut of the stored user state; null for an unknown user
        ("journal_seq", pa.int64()),  # highest journal row that was merged into the state
        ("context", pa.string()),  # JSON text
        ("filter", pa.string()),  # JSON text
        ("slate_item_ids", pa.list_(pa.string())),
        ("slate_scores", pa.list_(pa.float32())),
        ("slate_sources", pa.list_(pa.string())),
        ("slate_propensities", pa.list_(pa.float64())),
        ("slate_features", pa.binary()),  # float32 little endian, row major, len(slate) × n_features
        ("candidate_item_ids", pa.list_(pa.string())),
        ("candidate_scores", pa.list_(pa.float32())),
        ("candidate_sources", pa.list_(pa.string())),
        ("verdicts", pa.string()),  # JSON text: rule → number of candidates it removed
        ("trace", pa.string()),  # JSON text: the way of every candidate, see recommender/decision/trace.py
        ("policy", pa.string()),
        ("variant", pa.string()),
        ("seed", pa.int64()),
        ("model_version", pa.string()),
        ("feature_version", pa.string()),
        ("tier", pa.string()),
        ("is_degraded", pa.bool_()),
        ("catalogue_seq", pa.int64()),  # highest row of the journal's catalogue that was laid over the bundle's items
        ("parent_decision_id", pa.string()),  # of a further page: the decision that it continues; else null
        ("first_position", pa.int64()),  # position of the slate's first item, from 1; greater on a further page
    ]
)

# Grain: one change of an item that the service was told of. A column is null where nothing was ever said of it; what
# was said once stays until something else is. Of an item's rows the last one holds.
CATALOGUE_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("tags", pa.string()),  # comma separated
        ("price_micros", pa.int64()),
        ("is_available", pa.bool_()),
        ("created_at", _TIME),
        ("attributes", pa.string()),  # JSON object, folded into what the source says; a null takes an attribute away
        ("recorded_at", _TIME),
        ("listed_at", _TIME),  # when the item was first spoken of
        ("seq", pa.int64()),  # the journal's number of the change
    ]
)
