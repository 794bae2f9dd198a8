"""From an agent's records and their outcomes to what it has learnt. Nothing is drawn or written here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import NOTHING, Agent
from recommender.agents.agent_model import AgentModel
from recommender.agents.attribution import closed, message_log, rewards_of, sending_log, window_log
from recommender.agents.beliefs import Beliefs
from recommender.agents.gains import GainModel, fit_gains
from recommender.agents.suppression import AFFORDED, Suppression
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.fitting import PolicyConfig, fit_policy
from recommender.decision.policies.folder import PolicyFolder
from recommender.decision.policies.linear import LinearBandit
from recommender.decision.policies.pseudo_outcomes import best_action, pseudo_outcomes, steady_rewards

__all__ = ["AGAINST", "learn"]

LEAST_ROWS = 500  # decisions, before anything personal is asked: five folds of fewer tell noise from noise
JUDGED = 3
RAREST = 0.05  # what an agent itself makes rare would judge it by a few heavy rows: one in 20 is the heaviest
ERRORS = 1.645  # standard errors above 0 for a choice by person of another kind: 19 in 20, one-sided
LIKELIER = 8.0  # 2 ln of the odds that people gain differently: by 2.7 a crowd lost 5 % to what its first rounds told
AGAINST = -10.0  # the same from which people held out must speak for differences: "very strong" (Kass and Raftery 1995)
SHRUNK = "lints"
KINDS = {"vw": "vowpal"}  # by the agent's word; the others are called alike
PLAIN = ("uniform", "fixed")  # ask nothing of the person

Floats = npt.NDArray[np.float64]


def learn(agent: Agent, records: pa.Table, events: pa.Table, now_ms: int, seed: int = 0) -> AgentModel:
    """Fit on every decision whose window had closed at `now_ms`; `events` as in `rewards_of`.

    Message and window by person only where differences between people are found, otherwise by the chance of each to be
    the best for all; people are left alone as far as that costs little of what is known.
    """
    records = closed(records, agent.goal, now_ms)
    rewards = rewards_of(agent, records, events)
    return _of_variants(agent, records, rewards, seed) if agent.variants else _learnt(agent, records, rewards, seed)


def _of_variants(agent: Agent, records: pa.Table, rewards: Floats, seed: int) -> AgentModel:
    """Each variant from all decisions, or from its own and those of before there were any.

    Every record has its probability given the variant that took it, so all may learn from all, and are then compared
    by how they choose. What one finds out by exploring the others know as well, however little they explore.
    """
    known: dict[tuple[str, ...], AgentModel] = {}
    models, names = {}, records["variant"]
    for variant in agent.variants:
        key = (variant.policy, repr(variant.suppressed_share), variant.name if agent.learns_from_own else "")
        if key not in known:
            mine = pc.or_kleene(pc.is_null(names), pc.equal(names, variant.name))
            rows = np.flatnonzero(mine.to_numpy()) if agent.learns_from_own else np.arange(len(records))
            own = records.take(pa.array(rows))
            known[key] = _learnt(agent.taking(variant), own, rewards[rows], seed)
        models[variant.name] = known[key]
    facts = {"decisions": len(records), "variants": {name: dict(own.facts) for name, own in models.items()}}
    actions, windows = _action_beliefs(agent, records, rewards), _window_beliefs(agent, records, rewards)
    return AgentModel(actions, windows, version="unsaved", facts=facts, variants=models)


def _learnt(agent: Agent, records: pa.Table, rewards: Floats, seed: int) -> AgentModel:
    actions, windows = _action_beliefs(agent, records, rewards), _window_beliefs(agent, records, rewards)
    messages, of_messages = _by_person(agent, message_log(agent, records, rewards), seed)
    timing, of_timing = _by_person(agent, window_log(agent, records, rewards), seed)
    sending, suppression, of_sending = _sending(agent, sending_log(records, rewards))
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
    if not len(rows):
        return Beliefs()
    # Spend as it is mistook the better of two mails in 10 of 60 halves of a mailing, with sizes shared in 2.
    steady = steady_rewards(rewards[rows], codes[rows], len(names))
    return Beliefs.of(names, codes[rows], steady, chances[rows])


def _by_person(agent: Agent, log: BanditLog | None, seed: int) -> tuple[PolicyFolder | None, dict[str, Any]]:
    """The agent's kind of policy where it is proven on people held out; otherwise `lints`, which shrinks differences
    between people towards one choice for all as far as they are not there. None where rows are too few for either, or
    where the evidence speaks against differences and people held out do not speak for them.
    """
    if agent.policy in PLAIN or log is None or len(log) < LEAST_ROWS or not log.columns.features:
        why = f"{0 if log is None else len(log):,} messages to compare, of {LEAST_ROWS:,} that a choice by person needs"
        return None, {"sentence": f"One for all, by the chance to be the best: {why}."}
    kind = PolicyConfig(KINDS.get(agent.policy, agent.policy))
    found: dict[str, Any] = {}
    if kind.kind != SHRUNK:
        found = _held_out(log, kind, seed)
        if found["personal"]:
            return fit_policy(log, kind, seed), found
    policy = fit_policy(log, PolicyConfig(SHRUNK), seed)
    assert isinstance(policy.policy, LinearBandit)
    evidence = policy.policy.state.evidence
    differ = f"differences between people in what works explain the outcomes by {evidence:.3g} (2 ln of the odds)"
    found = {**found, "personal": evidence > 0, "evidence": evidence}
    if evidence > AGAINST:
        words = "By person" if evidence > 0 else "Nearly one for all"
        return policy, {**found, "sentence": f"{words}: {differ}."}
    # Shrinking alone asks too little: of mailings whose people are alike it cost 9 % of the spend, this 4 %. To ask
    # people held out wherever the evidence was below 0 took 1.5 % from simulated crowds, one choice for all below −2
    # 3 %: with few rows neither tells, and that people differ was not noticed later.
    held = _held_out(log, PolicyConfig(SHRUNK), seed)["steady"]
    told = f"{differ}, and on people it had not seen a choice by person earned {held:+.4g} over the best single one"
    if held <= 0:
        return None, {**found, "sentence": f"One for all, by the chance to be the best: {told}."}
    return policy, {**found, "sentence": f"Nearly one for all: {told}."}


def _held_out(log: BanditLog, kind: PolicyConfig, seed: int) -> dict[str, Any]:
    """What the kind's likeliest choice earns over the best single one, both learnt on the other folds, by doubly robust
    outcomes; `steady` is the same with sizes of rare rewards shared (`steady_rewards`).
    """
    contexts, _ = ContextEncoder.fit(log.contexts).transform(log.contexts)
    fold, gain, steady = fold_of(len(log), JUDGED, seed, log.owner), np.zeros(len(log)), 0.0
    clipped = replace(log, propensity=np.maximum(log.propensity, RAREST))
    outcomes = pseudo_outcomes(clipped, contexts, fold)
    for held in range(JUDGED):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        kept = log.take(rest)
        chances, _ = fit_policy(kept, kind, seed).probabilities(log.contexts.take(pa.array(own)))
        base = best_action(outcomes.steady[rest], kept.counts)
        best = chances.argmax(axis=1)
        gain[own] = outcomes.plain[own, best] - outcomes.plain[own, base]
        steady += float((outcomes.steady[own, best] - outcomes.steady[own, base]).sum()) / len(log)
    centred = gain - gain.mean()
    owned = centred if log.owner is None else np.bincount(log.owner, weights=centred)
    mean, error = float(gain.mean()), float(np.sqrt((owned**2).sum())) / len(log)
    personal = bool(mean > ERRORS * error)
    words = "By person" if personal else "Not proven by person"
    told = f"on people it had not seen the choice earned {mean:+.4g} ± {error:.2g} over the best single one"
    return {"personal": personal, "gain": mean, "error": error, "steady": steady, "sentence": f"{words}: {told}."}


def _sending(agent: Agent, log: BanditLog | None) -> tuple[GainModel | None, Suppression | None, dict[str, Any]]:
    """Who gains by a message, and who so little that they are left alone."""
    if log is None or len(log) < LEAST_ROWS or not log.columns.features:
        why = f"{0 if log is None else len(log):,} decisions with and without a message, {LEAST_ROWS:,} needed"
        return None, None, {"sentence": f"Nobody is left alone for being little moved: {why}."}
    model = fit_gains(log)
    contexts, _ = model.encoder.transform(log.contexts.take(pa.array(_latest(log))))
    gains, earned = model.of_contexts(contexts), float(log.reward.mean())
    facts = {"gain": float(gains.mean()), "earned": earned, "evidence": model.evidence}
    share = agent.frequency.suppressed_share
    if model.evidence < LIKELIER or gains.mean() <= 0:
        told = f"that some are moved more than others has an evidence of {model.evidence:.3g}, {LIKELIER:g} needed"
        return None, None, facts | {"sentence": f"Nobody is left alone: {told}."}
    bound = Suppression.affordable(gains, share, earned) if share else None
    if share and bound is None:
        told = f"Nobody is left alone: who could be, for {AFFORDED:.1%} of what people earn, is not known"
        return model, None, facts | {"sentence": f"{told}."}
    left = float((gains <= bound.gain).mean()) if bound else 0.0
    least = float(gains[gains <= bound.gain].mean()) if bound else 0.0
    told = (
        f"{left:.0%} of the people are left alone: a message is said to gain them {least:.4g}, all {gains.mean():.4g}"
    )
    return model, bound, facts | {"left_alone": left, "least_gain": least, "sentence": f"{told}."}


def _latest(log: BanditLog) -> npt.NDArray[np.int64]:
    """Each person's last row: those who are written to seldom have no more voices than the others."""
    owner = np.arange(len(log)) if log.owner is None else log.owner
    return len(log) - 1 - np.unique(owner[::-1], return_index=True)[1]
