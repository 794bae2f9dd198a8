"""One run of one agent: everybody's decision with its probabilities, as a table of records. No file is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.agents.agent import NOTHING, Agent
from recommender.agents.agent_model import COLD, AgentModel
from recommender.agents.audience import Audience
from recommender.agents.choosing import Choices, Draws, choose
from recommender.agents.context import features_of, to_json
from recommender.agents.guardrails import judge
from recommender.agents.moments import NEVER, offered_moments
from recommender.agents.record import AGENT_DECISION_SCHEMA, decision_ids
from recommender.agents.sends import Sends
from recommender.agents.slots import SlotFiller, fillable_actions, filled_slots
from recommender.agents.variants import policy_columns, preferences_of, variant_places
from recommender.events import DAY_MS
from recommender.experiments.assignment import assign, uniforms

__all__ = ["Run", "decide_for"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """When it decides, for how long ahead, and with which version of the agent's file; `salt` varies the draws of a
    replay and is empty in operation."""

    decided_ms: int
    agent_version: str = ""
    ahead_ms: int = DAY_MS
    salt: str = ""

    def draws_of(self, agent: Agent) -> str:
        """What the draws of this run are made from: another moment, another draw."""
        return f"{agent.salt}:{self.decided_ms}{self.salt}"


def decide_for(
    agent: Agent,
    audience: Audience,
    sends: Sends,
    run: Run,
    model: AgentModel = COLD,
    remaining: Mapping[str, int] | None = None,
    slots: SlotFiller | None = None,
) -> pa.Table:
    """A row in AGENT_DECISION_SCHEMA for everybody of the audience, also for those who get nothing.

    `sends`: what people were sent and will be, by any agent; `remaining`: action → how many may still get it (what has
    an inventory and is not named has all of it); `slots` finds the items of actions that have slots: without it nobody
    gets these. The same input gives the same table, byte for byte; without an inventory, a person's row is the same
    whoever else is in the audience.
    """
    remaining = {**{one.name: one.inventory for one in agent.actions if one.inventory is not None}, **(remaining or {})}
    ids, salt = audience.user_ids, run.draws_of(agent)
    shares = agent.shares.named()
    arms = assign(agent.salt, ids, shares)
    within = uniforms(f"{salt}:minute", ids)
    moments = offered_moments(agent.timing, audience, run.decided_ms, run.decided_ms + run.ahead_ms, within)
    verdict = judge(agent, audience, sends, moments)
    # The last of the guardrails: only for what the others allow is counted what could fill it.
    can_be_filled = fillable_actions(agent, ids, np.asarray(verdict.allowed.any(axis=2)), slots)
    verdict = verdict.also("no items", can_be_filled[:, :, None])
    places = variant_places(agent, ids)
    preferences = preferences_of(agent, model, audience, places)
    choices = choose(agent, verdict, moments, preferences, arms, Draws.of(salt, ids), remaining)
    decisions = decision_ids(agent.name, run.decided_ms, ids)
    items = filled_slots(agent, choices.action, ids, [one + run.salt for one in decisions], slots)
    columns = {
        "decision_id": decisions,
        "agent": [agent.name] * len(ids),
        "agent_version": [run.agent_version] * len(ids),
        "user_id": ids,
        "decided_at": _moments(np.full(len(ids), run.decided_ms)),
        "arm": pa.array(list(shares)).take(pa.array(arms)),
        "arm_share": np.array(list(shares.values()))[arms],
        **_chosen(agent, choices),
        "send_share": pa.array(choices.send_share, from_pandas=True),
        **_offered(agent, choices),
        **policy_columns(agent, model, places),
        "expected_gain": preferences.gains,
        **items,
        "propensity": choices.propensity * items["item_propensity"].to_numpy(),
        "features": to_json(features_of(audience)),
    }
    return pa.table({name: columns[name] for name in AGENT_DECISION_SCHEMA.names}).cast(AGENT_DECISION_SCHEMA)


def _chosen(agent: Agent, choices: Choices) -> dict[str, pa.Array | Floats | list[str]]:
    """What was drawn; null channel, moment and window where nothing is sent."""
    nothing = choices.action < 0
    names = pa.array([action.name for action in agent.actions] + [NOTHING])
    channels = pa.array([action.channel for action in agent.actions])
    windows = pa.array([window.name for window in agent.timing.windows])
    return {
        "action": names.take(pa.array(choices.action % len(names))),  # −1 is the last one
        "channel": channels.take(pa.array(choices.action, mask=nothing)),
        "send_at": _moments(choices.send_ms, choices.send_ms == NEVER),
        "send_window": windows.take(pa.array(choices.window, mask=nothing)),
        "reason": choices.reason,
        "send_propensity": choices.send_p,
        "action_propensity": choices.action_p,
        "window_propensity": choices.window_p,
    }


def _offered(agent: Agent, choices: Choices) -> dict[str, pa.Array]:
    """The action factor, as lists: only actions that had a chance."""
    rows, places = np.nonzero(choices.offered > 0)
    offsets = pa.array(np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(choices.offered)))]), pa.int32())
    names = pa.array([action.name for action in agent.actions]).take(pa.array(places))
    return {
        "offered_actions": pa.ListArray.from_arrays(offsets, names),
        "offered_propensities": pa.ListArray.from_arrays(offsets, pa.array(choices.offered[rows, places])),
    }


def _moments(at_ms: Ints, missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(at_ms, pa.int64(), mask=missing).cast(pa.timestamp("ms"))
