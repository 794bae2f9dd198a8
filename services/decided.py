"""What is told of an agent's decision: in the answer of `POST /v1/decide` and of its record. Nothing is decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from recommender.agents.record import AGENT_DECISION_SCHEMA

__all__ = ["DECIDED", "decision_answer", "decision_record"]

# Names of the record, in the order in which they are told.
DECIDED = (
    "decision_id", "agent", "agent_version", "arm", "variant", "action", "channel", "template", "variables", "item_ids",
    "send_window", "reason", "propensity", "send_propensity", "action_propensity", "window_propensity",
    "item_propensity", "policy", "policy_version", "expected_gain", "degraded", "recorded",
)  # fmt: skip


def decision_answer(row: Mapping[str, Any]) -> dict[str, Any]:
    """What whoever sends the message needs, and what the decision came from; `send_at` as ISO 8601. What an earlier
    version did not write is null.
    """
    send_ms = row["send_at"]
    at = None if send_ms is None else datetime.fromtimestamp(send_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {**{name: row.get(name) for name in DECIDED}, "send_at": at}


def decision_record(row: Mapping[str, Any], sees_persons: bool) -> dict[str, Any]:
    """The record; `features` say what a person did and are left out for most."""
    known = {**dict.fromkeys(AGENT_DECISION_SCHEMA.names), **row}
    return {"recorded": True, **{name: value for name, value in known.items() if name != "features" or sees_persons}}
