"""From a log to a policy with a sentence that says what was found. The kinds themselves live beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.boosters import RewardTrees, fit_reward_trees, predicted
from recommender.decision.policies.folder import PolicyFolder
from recommender.decision.policies.linear import LinearBandit, LinearState
from recommender.decision.policies.personal import Personal
from recommender.decision.policies.proof import Progress, ProofConfig, Proven, fit_proven
from recommender.decision.policies.protocol import ActionPolicy
from recommender.decision.policies.pseudo_outcomes import best_action, pseudo_outcomes, steady_rewards
from recommender.decision.policies.simple import Fixed, Uniform
from recommender.decision.policies.valued import BootstrappedThompson, EpsilonGreedy, Softmax
from recommender.decision.policies.vowpal import VowpalLearner
from recommender.errors import InputError

__all__ = ["KINDS", "TREES", "PolicyConfig", "fit_policy"]

KINDS = ("personal", "uniform", "fixed", "epsilon_greedy", "softmax", "linucb", "lints", "treets", "thompson", "vowpal")
TREES = ("epsilon_greedy", "softmax", "treets", "thompson")
THIN = 30  # owners below which nothing personal is asked: five folds of fewer tell noise from noise
EXPLORED = 0.02  # the floor of kinds that explore by themselves
# Of what lints and treets draw from, in standard deviations. Sixteen crowds earned .7 % more by .3 than by .6,
# and 2 % more by .6 than by 1; six streams of mail lost 94, not 125, and treets' four 89, not 151 by 1.
WIDTH = 0.3
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PolicyConfig:
    """`floor`: probability spread over all actions, so that the next log can be learnt from; None: the kind's own."""

    kind: str = "personal"
    floor: float | None = None
    exploration: str = "squarecb"
    proof: ProofConfig = field(default_factory=ProofConfig)
    trees: RewardTrees = field(default_factory=RewardTrees)


def fit_policy(
    log: BanditLog, config: PolicyConfig | None = None, seed: int = 0, progress: Progress | None = None
) -> PolicyFolder:
    """Fit one kind. `personal`, the default, is the best single action unless a personal choice is proven better."""
    config = config or PolicyConfig()
    encoder = ContextEncoder.fit(log.contexts)
    contexts, _ = encoder.transform(log.contexts)
    if config.kind == "personal":
        policy, found = _personal(log, contexts, config, seed, progress)
    else:
        policy, found = _explorer(log, contexts, config, seed), {}
    facts = {
        "reward": log.reward_name,
        "rows": len(log),
        "seed": seed,
        "features": list(log.columns.features),
        "left_out": dict(log.columns.left_out),
        "doubts": dict(log.columns.doubts),
        "mean_reward": float(log.reward.mean()),
        **found,
    }
    return PolicyFolder(policy, log.actions, str(log.action_type), encoder, facts)


def _personal(
    log: BanditLog, contexts: Matrix, config: PolicyConfig, seed: int, progress: Progress | None
) -> tuple[ActionPolicy, Mapping[str, Any]]:
    k, floor = len(log.actions), config.floor or 0.0
    draws = len(log) if log.owner is None else len(np.unique(log.owner))
    if not contexts.shape[1] or draws < THIN:
        fold = fold_of(len(log), config.proof.folds, seed, log.owner)
        outcomes = pseudo_outcomes(log, contexts, fold)
        base = best_action(outcomes.steady, log.counts)
        why = (
            f"has {draws} decisions that are each by themselves, fewer than {THIN}"
            if contexts.shape[1]
            else "has no features"
        )
        sentence = f"The log {why}: {log.actions[base]} for everybody, the best single action."
        values = _named(log, outcomes.plain.mean(axis=0))
        return Fixed(k, base, floor), {"best_action": log.actions[base], "values": values, "sentence": sentence}
    proven = fit_proven(log, contexts, config.proof, seed, progress)
    base = proven.model.base
    personal = proven.proof.personal
    policy = Personal(k, proven.model, proven.margin, floor) if personal else Fixed(k, base, floor)
    return policy, {
        "best_action": log.actions[base],
        "values": _named(log, proven.values),
        "proof": proven.proof.as_json(),
        "sentence": _sentence(log, proven),
    }


def _named(log: BanditLog, values: npt.NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(log.actions, values.tolist(), strict=True))


def _sentence(log: BanditLog, proven: Proven) -> str:
    proof, base = proven.proof, log.actions[proven.model.base]
    told = f"{proof.gain:+.4g} {log.reward_name} a decision [{proof.low:.4g}, {proof.high:.4g}]"
    if proof.personal:
        return (
            f"Personal: on rows it had not seen the choice earned {told} more than {base} for everybody, "
            f"by another action for {proof.deviating:.0%} of them."
        )
    return (
        f"{base} for everybody, the best single action: that a personal choice earns more is not proven "
        f"(on rows it had not seen, {told})."
    )


def _explorer(log: BanditLog, contexts: Matrix, config: PolicyConfig, seed: int) -> ActionPolicy:
    """Any kind but the personal one."""
    if config.kind in TREES and not contexts.shape[1]:
        raise InputError(
            f"a log without a feature for the kind {config.kind}, whose trees read them.",
            "one feature at least.",
            "Name one with --features, or fit the kind personal, which then is the best single action.",
        )
    k, floor = len(log.actions), config.floor
    if config.kind == "fixed":
        fold = fold_of(len(log), config.proof.folds, seed, log.owner)
        base = best_action(pseudo_outcomes(log, contexts, fold).steady, log.counts)
        return Fixed(k, base, floor or 0.0)
    if config.kind in ("linucb", "lints"):
        policy = _linear(log, contexts, config.kind)
        return policy if floor is None else replace(policy, floor=floor)
    if config.kind == "treets":
        share = EXPLORED if floor is None else floor
        return LinearBandit.with_trees(contexts, log.action, log.reward, k, seed, WIDTH, share)
    if config.kind == "thompson":
        share = EXPLORED if floor is None else floor
        return BootstrappedThompson.fit(contexts, log.action, log.reward, k, seed, floor=share, trees=config.trees)
    if config.kind == "vowpal":
        learner = VowpalLearner.of(contexts, log.reward, k, config.exploration, seed)
        learner.learn(contexts, log.action, log.reward, log.propensity)
        return learner.policy(floor or 0.0)
    return Uniform(k) if config.kind == "uniform" else _valued(log, contexts, config, seed)


def _linear(log: BanditLog, contexts: Matrix, kind: str) -> LinearBandit:
    k = len(log.actions)
    if kind == "linucb":
        return LinearBandit(kind, LinearState.fit(contexts, log.action, log.reward, k), 1.0, EXPLORED)
    # Of what mailings' spend had to gain by person, agents took 84 % with sizes of rare rewards shared, 70 % without.
    reward = steady_rewards(log.reward, log.action, k)
    return LinearBandit(kind, LinearState.pooled(contexts, log.action, reward, k), WIDTH, EXPLORED)


def _valued(log: BanditLog, contexts: Matrix, config: PolicyConfig, seed: int) -> ActionPolicy:
    """Epsilon-greedy or softmax on one set of reward trees."""
    k = len(log.actions)
    boosters = fit_reward_trees(contexts, log.action, log.reward, np.ones(len(log)), k, config.trees, seed)
    if config.kind == "epsilon_greedy":
        return EpsilonGreedy(boosters, 0.05 if config.floor is None else config.floor)
    # The differences between actions are what a temperature is to be measured by, not the size of rewards.
    between = float(predicted(boosters, contexts).std(axis=1).mean())
    return Softmax(boosters, max(between / 2.0, 1e-12), config.floor or 0.0)
