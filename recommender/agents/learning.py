"""From an agent's records and their outcomes to what it has learnt. Nothing is drawn or written here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import NOTHING, Agent
from recommender.agents.agent_model import AgentModel, message_gains
from recommender.agents.attribution import closed, message_log, rewards_of, sending_log, window_log
from recommender.agents.beliefs import Beliefs
from recommender.agents.suppression import Suppression
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.fitting import PolicyConfig, fit_policy
from recommender.decision.policies.folder import PolicyFolder
from recommender.decision.policies.personal import Personal
from recommender.decision.policies.pseudo_outcomes import best_action, pseudo_outcomes
from recommender.decision.policies.uplift import UpliftConfig, fit_uplift

__all__ = ["learn"]

LEAST_ROWS = 500  # decisions, before anything personal is asked: five folds of fewer tell noise from noise
FOLDS, JUDGED = 5, 3
LITTLE = 0.25  # of what the others gain: people who gain half as much are worth their message
RAREST = 0.05  # what an agent itself makes rare would judge it by a few heavy rows: one in 20 is the heaviest
ERRORS = 0.5  # standard errors above 0 for a choice by person: seven in ten
SURE = 1.645  # the same for leaving people alone: 19 in 20, one-sided
KINDS = {"vw": "vowpal"}  # by the agent's word; the others are called alike
PLAIN = ("uniform", "fixed")  # ask nothing of the person

Floats = npt.NDArray[np.float64]


def learn(agent: Agent, records: pa.Table, events: pa.Table, now_ms: int, seed: int = 0) -> AgentModel:
    """Fit on every decision whose window had closed at `now_ms`; `events` as in `rewards_of`.

    Message and window by person only where that earned more on people it had not seen, otherwise by the chance of each
    to be the best for all; who is left alone only where the ranking by gain is proven.
    """
    records = closed(records, agent.goal, now_ms)
    rewards = rewards_of(agent, records, events)
    actions, windows = _action_beliefs(agent, records, rewards), _window_beliefs(agent, records, rewards)
    messages, of_messages = _by_person(agent, message_log(agent, records, rewards), seed)
    timing, of_timing = _by_person(agent, window_log(agent, records, rewards), seed)
    sending, suppression, of_sending = _sending(agent, sending_log(records, rewards), seed)
    facts = {"decisions": len(records), "messages": of_messages, "timing": of_timing, "sending": of_sending}
    return AgentModel(actions, windows, messages, sending, timing, suppression, "unsaved", facts)


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


def _by_person(agent: Agent, log: BanditLog | None, seed: int) -> tuple[PolicyFolder | None, dict[str, Any]]:
    """The agent's kind of policy, if its choice by person beats the best one for all on people held out."""
    if agent.policy in PLAIN or log is None or len(log) < LEAST_ROWS or not log.columns.features:
        why = f"{0 if log is None else len(log):,} messages to compare, of {LEAST_ROWS:,} that a choice by person needs"
        return None, {"sentence": f"One for all, by the chance to be the best: {why}."}
    kind = PolicyConfig(KINDS.get(agent.policy, agent.policy))
    found = _held_out(log, kind, seed)
    return (fit_policy(log, kind, seed) if found["personal"] else None), found


def _held_out(log: BanditLog, kind: PolicyConfig, seed: int) -> dict[str, Any]:
    """What the kind's likeliest choice earns over the best single one, both learnt on the other folds, by doubly robust
    outcomes. ERRORS is less than the proof of `nextbest policy` asks: an agent goes on exploring and asks again after
    every run. At 1.28, in one simulated crowd, four of six runs fell back to one message for all, though by person
    earned a fifth more.
    """
    contexts, _ = ContextEncoder.fit(log.contexts).transform(log.contexts)
    fold, gain = fold_of(len(log), JUDGED, seed, log.owner), np.zeros(len(log))
    clipped = replace(log, propensity=np.maximum(log.propensity, RAREST))
    outcomes = pseudo_outcomes(clipped, contexts, fold)
    for held in range(JUDGED):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        kept = log.take(rest)
        chances, _ = fit_policy(kept, kind, seed).probabilities(log.contexts.take(pa.array(own)))
        base = best_action(outcomes.steady[rest], kept.counts)
        gain[own] = outcomes.plain[own, chances.argmax(axis=1)] - outcomes.plain[own, base]
    centred = gain - gain.mean()
    owned = centred if log.owner is None else np.bincount(log.owner, weights=centred)
    mean, error = float(gain.mean()), float(np.sqrt((owned**2).sum())) / len(log)
    personal = bool(mean > ERRORS * error)
    words = "By person" if personal else "One for all, by the chance to be the best"
    told = f"on people it had not seen the choice earned {mean:+.4g} ± {error:.2g} over the best single one"
    return {"personal": personal, "gain": mean, "error": error, "sentence": f"{words}: {told}."}


def _sending(
    agent: Agent, log: BanditLog | None, seed: int
) -> tuple[PolicyFolder | None, Suppression | None, dict[str, Any]]:
    """Who gains by a message, if those said to gain least truly gain less than the rest."""
    if log is None or len(log) < LEAST_ROWS or not log.columns.features:
        why = f"{0 if log is None else len(log):,} decisions with and without a message, {LEAST_ROWS:,} needed"
        return None, None, {"sentence": f"Nobody is left alone for being little moved: {why}."}
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
        return None, None, facts
    model = fit_uplift(contexts, outcomes, log.counts, config, seed).without_trees
    gains = message_gains(model, contexts[_latest(log)])
    bound = Suppression.of(gains, share) if (share := agent.frequency.suppressed_share) else None
    return PolicyFolder(Personal(2, model, 0.0), log.actions, "string", encoder, facts), bound, facts


def _latest(log: BanditLog) -> npt.NDArray[np.int64]:
    """Each person's last row: those who are written to seldom have no more voices than the others."""
    owner = np.arange(len(log)) if log.owner is None else log.owner
    return len(log) - 1 - np.unique(owner[::-1], return_index=True)[1]


def _ranking(gain: Floats, true_gain: Floats, log: BanditLog, share: float) -> dict[str, Any]:
    """Whether the share that is said to gain least gains little and less than the others, by doubly robust gains
    (float64 (n)) of people not seen.
    """
    least = gain <= np.quantile(gain, share)
    if least.all() or not least.any():
        return {"proven": False, "sentence": "Nobody is left alone: all are said to be moved alike."}
    # The difference of two means as one mean, so that a person's decisions can be taken together.
    parts = np.where(least, -1.0 / least.mean(), 1.0 / (~least).mean()) / len(gain)
    low_mean, rest_mean = float(true_gain[least].mean()), float(true_gain[~least].mean())
    influence = parts * (true_gain - np.where(least, low_mean, rest_mean))
    owned = influence if log.owner is None else np.bincount(log.owner, weights=influence)
    error, difference = float(np.sqrt((owned**2).sum())), rest_mean - low_mean
    proven = difference > SURE * error and low_mean < LITTLE * rest_mean
    told = f"a message gains them {low_mean:.4g}, the others {rest_mean:.4g} (difference ±{SURE * error:.2g})"
    words = "The least moved are known" if proven else "Nobody is left alone, who is least moved is not proven"
    return {
        "proven": bool(proven),
        "least_gain": low_mean,
        "other_gain": rest_mean,
        "error": error,
        "sentence": f"{words}: {told}.",
    }
