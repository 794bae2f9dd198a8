"""The mart `event_health` and the events that are not landed yet, counted alike. No sentence is made here."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.events import DAY_MS
from recommender.workspace import Workspace

__all__ = ["LATE_DAYS", "add_up", "health_of", "read_health"]

LATE_DAYS = 7
_KEYS = ["origin", "event_type"]
_TIMES = {"first_occurred_at": "min", "last_occurred_at": "max"}
_COUNTS = (
    "event_count",
    "named_count",
    "unlisted_count",
    "anonymous_count",
    "unpriced_count",
    "uncounted_count",
    "undecided_count",
    "unplaced_count",
    "late_count",
)


def read_health(workspace: Workspace) -> pa.Table | None:
    """The mart; None before the first run that builds it."""
    path = workspace.mart("event_health")
    return pq.read_table(path) if path.exists() else None


def health_of(events: pa.Table, listed: pa.Array) -> pa.Table:
    """The same figures of any events with the columns of EVENT_SCHEMA; `listed` are the ids of the catalogue."""
    named = pc.is_valid(events["item_id"])
    known = pc.is_in(events["item_id"], value_set=listed)
    milliseconds = {name: events[name].cast(pa.int64()) for name in ("recorded_at", "occurred_at")}
    late = pc.greater(pc.subtract(milliseconds["recorded_at"], milliseconds["occurred_at"]), LATE_DAYS * DAY_MS)
    flags = {
        "event_count": pc.is_valid(events["event_id"]),
        "named_count": named,
        "unlisted_count": pc.and_(named, pc.invert(known)),
        "anonymous_count": pc.starts_with(events["user_id"], "anon:"),
        "unpriced_count": pc.is_null(events["price_micros"]),
        "uncounted_count": pc.is_null(events["quantity"]),
        "undecided_count": pc.is_null(events["decision_id"]),
        "unplaced_count": pc.is_null(events["placement"]),
        "late_count": late,
    }
    columns = {name: events[name] for name in _KEYS}
    columns |= dict.fromkeys(_TIMES, events["occurred_at"])
    return _grouped(pa.table(columns | {name: flags[name].cast(pa.int64()) for name in _COUNTS}))


def add_up(parts: list[pa.Table]) -> pa.Table:
    """Tables of figures as one: counts summed, times widened."""
    ordered = [*_KEYS, *_TIMES, *_COUNTS]
    return _grouped(pa.concat_tables([part.select(ordered).cast(_schema(part)) for part in parts]))


def _schema(part: pa.Table) -> pa.Schema:
    kinds = {**dict.fromkeys(_KEYS, pa.string()), **dict.fromkeys(_TIMES, pa.timestamp("ms"))}
    return pa.schema([(name, kinds.get(name, pa.int64())) for name in [*_KEYS, *_TIMES, *_COUNTS]])


def _grouped(table: pa.Table) -> pa.Table:
    wanted = [*_TIMES.items(), *((name, "sum") for name in _COUNTS)]
    found = table.group_by(_KEYS).aggregate(wanted)
    found = found.rename_columns([*_KEYS, *_TIMES, *_COUNTS])
    return found.sort_by([(name, "ascending") for name in _KEYS])
