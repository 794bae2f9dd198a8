"""One person decided for at once, by the function that decides for a whole audience. Nothing is read or stored here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from recommender.agents.agent import NOTHING, Agent
from recommender.agents.agent_model import AgentModel
from recommender.agents.audience import CONSENT, DEED, Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.agents.sends import Sends
from recommender.agents.slots import SlotFiller
from recommender.agents.variants import policy_columns, variant_places
from recommender.errors import RequestError
from recommender.experiments.assignment import assign

__all__ = ["decide_in_the_moment", "known_columns", "nothing_in_the_moment", "with_context"]

SETTLED = ("user_id", "timezone")  # and consents: a caller does not talk somebody out of a cap, a night or a no

Row = dict[str, Any]


def decide_in_the_moment(
    agent: Agent,
    audience: Audience,
    sends: Sends,
    run: Run,
    decision_id: str,
    model: AgentModel,
    remaining: Mapping[str, int] | None = None,
    slots: SlotFiller | None = None,
) -> Row:
    """The row of AGENT_DECISION_SCHEMA for an audience of one; times are milliseconds since 1970.

    All chance comes from the decision's id: a new id is a new draw, and the same one can be made again.
    """
    own = replace(run, salt=f"{run.salt}:{decision_id}")
    (row,) = _plain(decide_for(agent, audience, sends, own, model, remaining, slots)).to_pylist()
    return {**row, "decision_id": decision_id}


def nothing_in_the_moment(
    agent: Agent, user_id: str, run: Run, decision_id: str, model: AgentModel, reason: str
) -> Row:
    """The same row where nobody could choose: nothing, with certainty. Nobody learns from it."""
    shares = agent.shares.named()
    (arm,) = assign(agent.salt, [user_id], shares).tolist()
    columns = policy_columns(agent, model, variant_places(agent, [user_id]))
    certain = {name: 1.0 for name in AGENT_DECISION_SCHEMA.names if name.endswith("propensity")}
    return {
        **dict.fromkeys(AGENT_DECISION_SCHEMA.names),
        **certain,
        "decision_id": decision_id,
        "agent": agent.name,
        "agent_version": run.agent_version,
        "user_id": user_id,
        "decided_at": run.decided_ms,
        "arm": list(shares)[arm],
        "arm_share": list(shares.values())[arm],
        "action": NOTHING,
        "reason": reason,
        "offered_actions": [],
        "offered_propensities": [],
        **{name: values[0].as_py() for name, values in columns.items()},
        "expected_gain": 0.0,
        "features": "{}",
    }


def known_columns(agent: Agent, model: AgentModel) -> frozenset[str]:
    """What the agent's conditions ask for and what its learnt policies read, in the audience or not."""
    conditions = (agent.eligibility.where, *(action.when for action in agent.actions))
    models = (model, *model.variants.values())
    policies = (part for one in models for part in (one.messages, one.sending, one.timing) if part is not None)
    read = (column.name for policy in policies for column in policy.encoder.columns)
    return frozenset(read).union(*(condition.names for condition in conditions))


def with_context(audience: Audience, context: Mapping[str, Any], known: frozenset[str]) -> Audience:
    """What a caller says of the moment in the place of the audience's columns, or beside them where it is `known`.

    Anything else is left out. RequestError for a value of another kind, and for ids, zones and consents.
    """
    table = audience.table
    for name, value in context.items():
        place = table.schema.get_field_index(name)
        if name in SETTLED or name.startswith((CONSENT, DEED)):
            remedy = "Leave it out; consents are told by /v1/identify, deeds by /v1/track."
            raise RequestError(f"{name} in the context.", "what is known of the moment.", remedy)
        if place < 0 and name not in known:
            continue
        kind = table.schema.field(place).type if place >= 0 else None
        values = _column(name, value, kind)
        table = table.append_column(name, values) if place < 0 else table.set_column(place, name, values)
    return Audience(table)


def _column(name: str, value: object, kind: pa.DataType | None) -> pa.Array:
    kind = kind.value_type if kind is not None and pa.types.is_dictionary(kind) else kind
    if value is None or isinstance(value, bool | int | float | str):
        try:
            values = pa.array([value], None if value is not None or kind is None else kind)
            return values.cast(pa.string() if kind is None and value is None else kind or values.type)
        except (pa.ArrowException, OverflowError):
            pass
    expected = "a text, a number or a flag" if kind is None else f"a value that reads as {kind}"
    raise RequestError(f"context.{name} = {value!r:.80}.", f"{expected}, as the audience has it.", "Correct it.")


def _plain(records: pa.Table) -> pa.Table:
    """Times as whole numbers."""
    for place, field in enumerate(records.schema):
        if pa.types.is_timestamp(field.type):
            records = records.set_column(place, field.name, records[field.name].cast(pa.int64()))
    return records
