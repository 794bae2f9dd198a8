"""Which of an agent's policies decides for whom, where it tries several. Nothing is learnt or drawn here.

The people of holdout and baseline have a variant too, the one that would have decided for them: so every probability in
a record is one given the variant, and each variant has a holdout of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.agents.agent import Agent
from recommender.agents.agent_model import AgentModel
from recommender.agents.audience import Audience
from recommender.agents.choosing import Preferences
from recommender.experiments.assignment import assign

__all__ = ["policy_columns", "preferences_of", "variant_places"]

Ints = npt.NDArray[np.int64]


def variant_places(agent: Agent, user_ids: Sequence[str]) -> Ints:
    """int64 (n): the place of each person's variant, −1 for everybody where the agent has one policy.

    By a hash with a salt of its own, so it says nothing of the person's arm, and the same as long as the agent tries
    policies of the same names. Others divide people anew: what the last ones did to them then weighs on all alike.
    """
    if not agent.variants:
        return np.full(len(user_ids), -1, dtype=np.int64)
    shares = {variant.name: variant.share for variant in agent.variants}
    return assign(f"{agent.salt}:{','.join(sorted(shares))}", user_ids, shares)


def preferences_of(agent: Agent, model: AgentModel, audience: Audience, places: Ints) -> Preferences:
    """What each person's own policy thinks of them; `places` as in `variant_places`."""
    if not agent.variants:
        return model.preferences(agent, audience)
    if len(places) == 1:  # a person alone: nothing to put together
        variant = agent.variants[places[0]]
        return model.of(variant.name).preferences(agent.taking(variant), audience)
    n, actions, windows = len(audience), len(agent.actions), len(agent.timing.windows)
    found = Preferences(np.zeros((n, actions)), np.zeros((n, windows)), np.zeros(n), np.zeros(n), np.zeros(n))
    for place, variant in enumerate(agent.variants):
        rows = np.flatnonzero(places == place)
        if len(rows):
            people = Audience(audience.table.take(pa.array(rows)))
            own = model.of(variant.name).preferences(agent.taking(variant), people)
            for part in fields(Preferences):
                getattr(found, part.name)[rows] = getattr(own, part.name)
    return found


def policy_columns(agent: Agent, model: AgentModel, places: Ints) -> Mapping[str, pa.Array]:
    """`variant`, `variant_share`, `policy` and `policy_version` of the records; the first two null without variants."""
    models = [model.of(variant.name) for variant in agent.variants] or [model]
    taken = pa.array(np.maximum(places, 0))
    columns = {
        "variant": pa.array([variant.name for variant in agent.variants] or pa.nulls(1), pa.string()),
        "variant_share": pa.array([variant.share for variant in agent.variants] or pa.nulls(1), pa.float64()),
        "policy": pa.array([one.policy_name for one in models]),
        "policy_version": pa.array([one.version for one in models]),
    }
    return {name: values.take(taken) for name, values in columns.items()}
