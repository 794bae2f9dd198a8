"""Whether what an agent learnt may decide for people, tried on some of them. Nothing is learnt or written here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import Agent
from recommender.agents.agent_model import AgentModel
from recommender.agents.audience import Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.agents.variants import preferences_of, variant_places

__all__ = ["SOME", "outcomes_ceased", "some_of", "unsound"]

SOME = 2_000  # people that a model is tried on: 0.1 s, and every column's usual values are among them
LEAST_EXPECTED = 20  # outcomes that should have come, before their absence says anything
CEASED = 0.1  # of what was expected: people do not change so much in a few hours, what is told of them does
EXACT = 1e-6


def some_of(audience: Audience) -> Audience:
    """At most SOME people, evenly from the first to the last."""
    rows = np.unique(np.linspace(0, max(len(audience) - 1, 0), min(SOME, len(audience))).astype(np.int64))
    return Audience(audience.table.take(pa.array(rows)).combine_chunks())


def unsound(agent: Agent, model: AgentModel, people: Audience, decided_ms: int) -> str:
    """Why this model must not decide for these people; "" where it may.

    Its probabilities must be ones, for everybody, and a run at that moment must come through with sound records.
    """
    if not len(people):
        return ""
    try:
        found = preferences_of(agent, model, people, variant_places(agent, people.user_ids))
        nobody = Sends.of(SEND_SCHEMA.empty_table(), people)
        chances = decide_for(agent, people, nobody, Run(decided_ms), model)["propensity"].to_numpy()
    except Exception as problem:  # whatever was learnt: the last good model goes on
        return f"it fails for people of the audience ({type(problem).__name__}: {problem!s:.200})"
    explores, actions, windows = found.exploration > 0, _amiss(found.actions), _amiss(found.windows)
    amiss = {
        f"its probabilities of actions are none for {actions:,} of {len(people):,} people": actions,
        f"its probabilities of windows are none for {windows:,} of {len(people):,} people": windows,
        "its probabilities of sending are none": not ((found.send >= 0) & (found.send <= 1)).all(),
        "the gains that it expects are no numbers": not np.isfinite(found.gains).all(),
        "an action has no chance at all, though there is a budget to explore": (found.actions[explores] <= 0).any(),
        "its decisions have no propensities": not ((chances > 0) & (chances <= 1)).all(),
    }
    return next((told for told, is_so in amiss.items() if is_so), "")


def outcomes_ceased(outcomes: pa.Table, since_ms: int) -> str:
    """Why decisions after a moment cannot be learnt from: they were followed by next to nothing, where those before
    earned. "" where all is well or too little is known; `outcomes` in AGENT_OUTCOME_SCHEMA.

    A shop whose purchases are told no more looks like one where no message works.
    """
    is_new = outcomes["decided_at"].cast(pa.int64()).to_numpy() > since_ms
    wanted = np.asarray(pc.fill_null(outcomes["is_wanted"], False).to_numpy(), dtype=bool)
    if not is_new.any() or is_new.all():
        return ""
    expected, came = float(wanted[~is_new].mean()) * int(is_new.sum()), int(wanted[is_new].sum())
    if expected < LEAST_EXPECTED or came >= CEASED * expected:
        return ""
    told = f"of {int(is_new.sum()):,} decisions since the last model {came:,} were followed by a wanted outcome"
    return f"{told}, where {expected:,.0f} would have been: are outcomes still told?"


def _amiss(shares: npt.NDArray[np.float64]) -> int:
    sums = np.where(np.isfinite(shares).all(axis=1), shares.sum(axis=1), np.nan)
    return int((~(np.abs(sums - 1) <= EXACT) | (shares < 0).any(axis=1)).sum())
