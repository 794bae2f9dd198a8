"""From an agent's records and their outcomes to what it has learnt. Nothing is drawn or written here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import NOTHING, Agent
from recommender.agents.agent_model import AgentModel, message_gains
from recommender.agents.attribution import closed, message_log, rewards_of, sending_log
from recommender.agents.beliefs import Beliefs
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.fitting import PolicyConfig, fit_policy
from recommender.decision.policies.folder import PolicyFolder
from recommender.decision.policies.personal import Personal
from recommender.decision.policies.pseudo_outcomes import pseudo_outcomes
from recommender.decision.policies.uplift import UpliftConfig, fit_uplift

__all__ = ["learn"]

LEAST_ROWS = 500  # decisions, before anything personal is asked: five folds of fewer tell noise from noise
FOLDS = 5
KINDS = {"vw": "vowpal"}  # by the agent's word; the others are called alike
PLAIN = ("uniform", "fixed")  # ask nothing of the person

Floats = npt.NDArray[np.float64]


def learn(agent: Agent, records: pa.Table, events: pa.Table, now_ms: int, seed: int = 0) -> AgentModel:
    """Fit on every decision whose window had closed at `now_ms`; `events` as in `rewards_of`.

    Message by person only where `nextbest policy`'s proof holds, otherwise by the chance of each to be the best for
    all; who is left alone only where the ranking by gain is proven on people it has not seen.
    """
    records = closed(records, agent.goal, now_ms)
    rewards = rewards_of(agent, records, events)
    log = message_log(agent, records, rewards)
    actions = _action_beliefs(agent, records, rewards)
    messages, found = _messages(agent, log, seed)
    sending, told = _sending(agent, sending_log(records, rewards), seed)
    facts = {"decisions": len(records), "messages": found, "sending": told}
    return AgentModel(actions, _window_beliefs(agent, records, rewards), messages, sending, "unsaved", facts)


def _sent(records: pa.Table) -> npt.NDArray[np.bool_]:
    sent = pc.and_(pc.equal(records["arm"], "agent"), pc.not_equal(records["action"], NOTHING))
    return np.asarray(sent.to_numpy(), dtype=bool)


def _action_beliefs(agent: Agent, records: pa.Table, rewards: Floats) -> Beliefs:
    names = tuple(action.name for action in agent.actions)
    beliefs = _beliefs(names, records, rewards, "action", records["action_propensity"].to_numpy())
    if agent.policy == "uniform":
        return Beliefs(names, (0.0,) * len(names), (1.0,) * len(names)) if beliefs.names else beliefs
    if agent.policy == "fixed" and beliefs.names:
        return Beliefs(names, beliefs.means, tuple(1e-12 for _ in names))
    return beliefs


def _window_beliefs(agent: Agent, records: pa.Table, rewards: Floats) -> Beliefs:
    """Compared within each action, by what is left of the reward: windows must not win by the messages sent in them."""
    left, sent = rewards.copy(), _sent(records)
    for action in agent.actions:
        own = sent & pc.equal(records["action"], action.name).to_numpy()
        left[own] -= rewards[own].mean() if own.any() else 0.0
    names = tuple(window.name for window in agent.timing.windows)
    return _beliefs(names, records, left, "send_window", records["window_propensity"].to_numpy())


def _beliefs(names: tuple[str, ...], records: pa.Table, rewards: Floats, column: str, chances: Floats) -> Beliefs:
    found = pc.fill_null(pc.index_in(records[column], value_set=pa.array(names, pa.string())), -1)
    codes = found.to_numpy().astype(np.int64)
    rows = np.flatnonzero(_sent(records) & (codes >= 0))
    return Beliefs.of(names, codes[rows], rewards[rows], chances[rows]) if len(rows) else Beliefs()


def _messages(agent: Agent, log: BanditLog | None, seed: int) -> tuple[PolicyFolder | None, dict[str, Any]]:
    """The agent's kind of policy, if a personal choice is proven to beat the best message for all."""
    if agent.policy in PLAIN or log is None or len(log) < LEAST_ROWS or not log.columns.features:
        why = f"{0 if log is None else len(log):,} messages to compare, of {LEAST_ROWS:,} that a proof needs"
        return None, {"sentence": f"The message most likely the best for all: {why}."}
    proven = fit_policy(log, PolicyConfig(), seed)
    found = {"sentence": proven.facts["sentence"], "proof": proven.facts["proof"], "values": proven.facts["values"]}
    if not proven.facts["proof"]["personal"]:
        return None, found
    return fit_policy(log, PolicyConfig(KINDS.get(agent.policy, agent.policy)), seed), found


def _sending(agent: Agent, log: BanditLog | None, seed: int) -> tuple[PolicyFolder | None, dict[str, Any]]:
    """Who gains by a message, if those said to gain least truly gain less than the rest."""
    if log is None or len(log) < LEAST_ROWS or not log.columns.features:
        why = f"{0 if log is None else len(log):,} decisions with and without a message, {LEAST_ROWS:,} needed"
        return None, {"sentence": f"Nobody is left alone for being little moved: {why}."}
    encoder = ContextEncoder.fit(log.contexts)
    contexts, _ = encoder.transform(log.contexts)
    fold = fold_of(len(log), FOLDS, seed, log.owner)
    outcomes = pseudo_outcomes(log, contexts, fold)
    config, gain = UpliftConfig(rounds=0), np.zeros(len(log))
    for held in range(FOLDS):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        counts = np.bincount(log.action[rest], minlength=2)
        model = fit_uplift(contexts[rest], outcomes.take(rest), counts, config, seed).without_trees
        gain[own] = message_gains(model, contexts[own])
    facts = _ranking(gain, outcomes.plain[:, 1] - outcomes.plain[:, 0], log, agent.frequency.suppressed_share or 0.2)
    if not facts["proven"]:
        return None, facts
    model = fit_uplift(contexts, outcomes, log.counts, config, seed).without_trees
    return PolicyFolder(Personal(2, model, 0.0), log.actions, "string", encoder, facts), facts


def _ranking(gain: Floats, true_gain: Floats, log: BanditLog, share: float) -> dict[str, Any]:
    """Whether the share that is said to gain least gains less than the others, by doubly robust gains (float64 (n))."""
    least = gain <= np.quantile(gain, share)
    if least.all() or not least.any():
        return {"proven": False, "sentence": "Nobody is left alone: all are said to be moved alike."}
    # The difference of two means as one mean, so that a person's decisions can be taken together.
    parts = np.where(least, -1.0 / least.mean(), 1.0 / (~least).mean()) / len(gain)
    low_mean, rest_mean = float(true_gain[least].mean()), float(true_gain[~least].mean())
    influence = parts * (true_gain - np.where(least, low_mean, rest_mean))
    owned = influence if log.owner is None else np.bincount(log.owner, weights=influence)
    error, difference = float(np.sqrt((owned**2).sum())), rest_mean - low_mean
    proven = difference > 1.96 * error
    told = f"a message gains them {low_mean:.4g}, the others {rest_mean:.4g} (difference ±{1.96 * error:.2g})"
    words = "The least moved are known" if proven else "Nobody is left alone, who is least moved is not proven"
    return {
        "proven": bool(proven),
        "least_gain": low_mean,
        "other_gain": rest_mean,
        "error": error,
        "sentence": f"{words}: {told}.",
    }
