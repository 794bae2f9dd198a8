"""What people did lately that stops messages, laid over an audience. No event is read here, and nobody is judged."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import Agent
from recommender.agents.audience import DEED, Audience

__all__ = ["DEED_SCHEMA", "LONG_AGO", "deed_table", "last_deeds", "overtaken", "stop_hours", "watched", "with_deeds"]

# Grain: the last time that one person did one kind of thing.
DEED_SCHEMA = pa.schema([("user_id", pa.string()), ("event_type", pa.string()), ("last_at", pa.timestamp("ms"))])
HOUR_MS = 3_600_000
LONG_AGO = -(2**62)  # of whom nothing is known: any time has passed since

_TIME = pa.timestamp("ms")


def deed_table(deeds: Mapping[str, Mapping[str, int]]) -> pa.Table:
    """Person → event type → milliseconds since 1970, in DEED_SCHEMA."""
    rows = [(user_id, name, at_ms) for user_id, own in deeds.items() for name, at_ms in own.items()]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    kinds = (pa.string(), pa.string(), pa.int64())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=DEED_SCHEMA.names).cast(DEED_SCHEMA)


def watched(agent: Agent) -> Mapping[str, float]:
    """Event type → the most hours for which any message waits after it."""
    rules = (agent.eligibility.stop_after, *(action.stop_after for action in agent.actions))
    names = dict.fromkeys(name for rule in rules for name in rule)
    return MappingProxyType({name: max(rule.get(name, 0.0) for rule in rules) for name in names})


def stop_hours(agent: Agent, event_type: str) -> npt.NDArray[np.float64]:
    """float64 (actions): for how many hours each waits after it, 0 where it does not; the longer of the agent's own and
    the action's.
    """
    everywhere = agent.eligibility.stop_after.get(event_type, 0.0)
    return np.array([max(everywhere, action.stop_after.get(event_type, 0.0)) for action in agent.actions])


def with_deeds(agent: Agent, audience: Audience, deeds: pa.Table) -> Audience:
    """The audience knowing of these deeds too, of whatever it knew the later ones; `deeds` in DEED_SCHEMA, each person
    and event type at most once.
    """
    table = audience.table
    for event_type in watched(agent):
        own = deeds.filter(pc.equal(deeds["event_type"], event_type))
        if not len(own):
            continue
        place = pc.index_in(own["user_id"], value_set=table["user_id"].combine_chunks())
        known = pc.is_valid(place).to_numpy()
        at_ms = last_deeds(audience, event_type).copy()
        rows = place.drop_null().to_numpy().astype(np.int64)
        at_ms[rows] = np.maximum(at_ms[rows], own["last_at"].cast(pa.int64()).to_numpy()[known])
        values = pa.array(at_ms, mask=at_ms == LONG_AGO).cast(_TIME)
        at = table.schema.get_field_index(DEED + event_type)
        name = DEED + event_type
        table = table.append_column(name, values) if at < 0 else table.set_column(at, name, values)
    return Audience(table)


def overtaken(agent: Agent, records: pa.Table, deeds: pa.Table) -> npt.NDArray[np.bool_]:
    """bool (n): whose message would now come too soon after a deed; `records` with user_id, action and send_at, `deeds`
    as in `with_deeds`.
    """
    names = pa.array([action.name for action in agent.actions])
    action = pc.fill_null(pc.index_in(records["action"], value_set=names), -1).to_numpy()
    send_ms = pc.fill_null(records["send_at"].cast(pa.int64()), 0).to_numpy()
    found = np.zeros(len(records), dtype=bool)
    for event_type in watched(agent):
        own = deeds.filter(pc.equal(deeds["event_type"], event_type))
        place = pc.index_in(records["user_id"], value_set=own["user_id"].combine_chunks())
        last_ms = pc.fill_null(own["last_at"].cast(pa.int64()).take(place), LONG_AGO).to_numpy()
        wait_ms = np.round(stop_hours(agent, event_type) * HOUR_MS).astype(np.int64)
        found |= (send_ms - last_ms < wait_ms[action]) & (wait_ms[action] > 0)
    return np.asarray(found & (action >= 0), dtype=bool)


def last_deeds(audience: Audience, event_type: str) -> npt.NDArray[np.int64]:
    """int64 (n): when each person last did it, milliseconds since 1970; LONG_AGO where that is not known."""
    name = DEED + event_type
    if name not in audience.table.schema.names or audience.table.schema.field(name).type != _TIME:
        return np.full(len(audience), LONG_AGO, dtype=np.int64)
    at_ms = audience.table[name].combine_chunks().cast(pa.int64())
    return np.asarray(pc.fill_null(at_ms, LONG_AGO).to_numpy(zero_copy_only=False), dtype=np.int64)
