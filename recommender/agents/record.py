"""What is written of each decision an agent took, and which messages follow from it. Nothing is decided here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.agents.agent import NOTHING
from recommender.agents.sends import SEND_SCHEMA
from recommender.agents.slots import SLOT_SCHEMA

__all__ = ["AGENT_DECISION_SCHEMA", "agent_version", "decision_ids", "read_records", "sends_of"]

_TIME = pa.timestamp("ms")

# Grain: one person of one run of one agent. A policy can be fitted from these columns and the outcomes alone.
AGENT_DECISION_SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),  # of agent, moment and person: deciding again gives the same
        ("agent", pa.string()),
        ("agent_version", pa.string()),  # of the file's bytes
        ("user_id", pa.string()),
        ("decided_at", _TIME),
        ("arm", pa.string()),
        ("arm_share", pa.float64()),
        ("variant", pa.string()),  # the person's, of the policies that the agent tries; null where it has one
        ("variant_share", pa.float64()),
        ("action", pa.string()),  # "nothing" where nothing is sent
        ("channel", pa.string()),
        ("send_at", _TIME),
        ("send_window", pa.string()),  # such as 09:00-12:00, local time of the person
        ("reason", pa.string()),  # why nothing is sent
        # Probability of being written to, had the person been in the agent's arm; null where no guardrail left anything
        # or nothing was in stock. Known for the holdout too, so that both arms can be read as one experiment.
        ("send_share", pa.float64()),
        ("send_propensity", pa.float64()),
        ("action_propensity", pa.float64()),
        ("window_propensity", pa.float64()),
        ("item_propensity", pa.float64()),  # of the items in their order, given the action; 1 where it has no slots
        ("propensity", pa.float64()),  # of the whole within the arm: the product of the four
        ("offered_actions", pa.list_(pa.string())),
        ("offered_propensities", pa.list_(pa.float64())),
        ("policy", pa.string()),
        ("policy_version", pa.string()),
        ("expected_gain", pa.float64()),  # of the best action over nothing, in units of the goal's value
        *SLOT_SCHEMA,  # what fills the action's slots; null where it has none or nothing is sent
        ("features", pa.string()),  # JSON: what the policy could read of the person
    ]
)


def agent_version(raw: bytes) -> str:
    """Twelve hex digits over the bytes of an agent's file."""
    return hashlib.sha256(raw).hexdigest()[:12]


def decision_ids(agent: str, decided_ms: int, user_ids: Sequence[str]) -> list[str]:
    """32 hex digits for each person: the first half of sha256(agent, moment, person). A million take a second."""
    start = hashlib.sha256(f"{agent}\n{decided_ms}\n".encode())
    found = []
    for user_id in user_ids:
        own = start.copy()
        own.update(user_id.encode())
        found.append(own.hexdigest()[:32])
    return found


def read_records(path: Path, columns: Sequence[str] | None = None, filters: pc.Expression | None = None) -> pa.Table:
    """The columns of AGENT_DECISION_SCHEMA, or those wanted, of a file of decisions; what an earlier version did not
    write is null, and its `item_propensity` 1: it filled no slots.
    """
    wanted = AGENT_DECISION_SCHEMA.names if columns is None else list(columns)
    there = set(pq.read_schema(path).names)
    records = pq.read_table(path, columns=[name for name in wanted if name in there], filters=filters)
    found = {}
    for name in wanted:
        kind = AGENT_DECISION_SCHEMA.field(name).type
        missing = pa.nulls(len(records), kind)
        found[name] = records[name].cast(kind) if name in there else missing
        if name == "item_propensity" and name not in there:
            found[name] = missing.fill_null(1.0)
    return pa.table(found)


def sends_of(records: pa.Table) -> pa.Table:
    """The messages of these decisions in SEND_SCHEMA: what caps count."""
    sent = records.filter(pc.not_equal(records["action"], NOTHING))
    return sent.select(SEND_SCHEMA.names).cast(SEND_SCHEMA)
