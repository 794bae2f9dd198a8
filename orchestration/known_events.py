"""Events of a few types as far as anybody knows them: the marts, and what the service recorded since they were built.

Only reading: what is landed, and what becomes of it in the marts, is the ring's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.tables import read_mart
from recommender.agents.agent import Agent
from recommender.agents.deeds import DEED_SCHEMA, watched
from recommender.workspace import Workspace
from services.journal_tail import journal_events

__all__ = ["known_deeds", "known_events"]

HOUR_MS = 3_600_000


def known_events(workspace: Workspace, types: Iterable[str], columns: Sequence[str]) -> pa.Table:
    """Every event of these types once, in these columns of EVENT_SCHEMA: those of the mart first."""
    wanted = list(types)
    own = pc.field("event_type").isin(wanted)
    heard = journal_events(workspace, wanted, ["event_id", *columns])
    if not len(heard):
        return read_mart(workspace, "events", columns, own)
    landed = read_mart(workspace, "events", ["event_id", *columns], own)
    new = pc.invert(pc.is_in(heard["event_id"], value_set=landed["event_id"].combine_chunks()))
    return pa.concat_tables([landed, heard.filter(new).cast(landed.schema)]).select(list(columns))


def known_deeds(workspace: Workspace, agent: Agent, decided_ms: int) -> pa.Table:
    """What stops an agent's messages at a moment, in DEED_SCHEMA: the last of each kind of each person until then."""
    hours = watched(agent)
    if not hours:
        return DEED_SCHEMA.empty_table()
    events = known_events(workspace, hours, ("user_id", "event_type", "occurred_at"))
    since_ms = decided_ms - round(max(hours.values()) * HOUR_MS)
    at_ms = events["occurred_at"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    recent = events.filter(pa.array(np.logical_and(at_ms >= since_ms, at_ms <= decided_ms)))
    last = recent.group_by(["user_id", "event_type"]).aggregate([("occurred_at", "max")])
    return last.rename_columns({"occurred_at_max": "last_at"}).select(DEED_SCHEMA.names).cast(DEED_SCHEMA)
