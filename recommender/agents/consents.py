"""What people said of channels since an audience was asked for, laid over its consents. Nothing is stored here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import Agent
from recommender.agents.audience import CONSENT, Audience

__all__ = ["SAID_CONSENT_SCHEMA", "with_consents", "withdrawn"]

# Grain: the last word of one person on one channel.
SAID_CONSENT_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("channel", pa.string()),
        ("is_given", pa.bool_()),
        ("said_at", pa.timestamp("ms")),
    ]
)


def with_consents(agent: Agent, audience: Audience, said: pa.Table, known_until_ms: int) -> Audience:
    """The audience with what was said laid over it; `said` in SAID_CONSENT_SCHEMA.

    A no holds until the same way brings a yes: nobody who unsubscribed is written to because another table has not
    heard of it. A yes counts from the data's end on; what the data say after it they say knowing of it.
    """
    if not said.num_rows:
        return audience
    place = pc.index_in(said["user_id"], value_set=audience.table["user_id"].combine_chunks())
    said = said.append_column("place", place).filter(pc.is_valid(place))
    table = audience.table
    for channel in agent.channels:
        words = said.filter(pc.equal(said["channel"], channel))
        if not words.num_rows:
            continue
        consents, rows = audience.consents(channel).copy(), words["place"].to_numpy()
        given = np.asarray(words["is_given"].to_numpy(), dtype=bool)
        is_new = words["said_at"].cast(pa.int64()).to_numpy() >= known_until_ms
        consents[rows] = given & (consents[rows] | is_new)
        table = _with(table, CONSENT + channel, pa.array(consents))
    return Audience(table)


def withdrawn(
    agent: Agent, records: pa.Table, said: pa.Table, until: pa.ChunkedArray | None = None
) -> npt.NDArray[np.bool_]:
    """bool (n): whose last word on the channel of their record is no; `records` with `user_id` and `channel`, `said` in
    SAID_CONSENT_SCHEMA. `until` (n, timestamps): a no that came later does not count. Nobody was decided to be written
    to whose no was known by then, so that each is news.
    """
    asked = [channel for channel in agent.channels if channel not in agent.eligibility.without_consent]
    told = pc.and_(pc.invert(said["is_given"]), pc.is_in(said["channel"], value_set=pa.array(asked, pa.string())))
    nos = said.filter(told)
    place = pc.index_in(_key(records), value_set=_key(nos).combine_chunks())
    found = np.asarray(pc.is_valid(place).to_numpy(), dtype=bool)
    if until is not None and found.any():
        when = pc.less(nos["said_at"].take(place), until.cast(nos["said_at"].type))
        found &= np.asarray(pc.fill_null(when, False).to_numpy(), dtype=bool)
    return found


def _key(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["channel"], table["user_id"], "\n")


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.append_column(name, values) if place < 0 else table.set_column(place, name, values)
