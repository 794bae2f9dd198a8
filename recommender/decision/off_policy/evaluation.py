"""A policy's probabilities judged on a log, beside every fixed action and uniform, and the verdict. No file is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.logged.reward_model import RewardModelConfig, crossfit_rewards, fold_of
from recommender.decision.off_policy.estimators import (
    EstimatorConfig,
    Terms,
    doubly_robust,
    importance_weights,
    inverse_propensity,
    self_normalised,
)
from recommender.decision.off_policy.intervals import Estimate, IntervalConfig, estimates
from recommender.decision.off_policy.support import Support, SupportConfig, support_of

__all__ = ["Evaluation", "EvaluationConfig", "Judged", "estimators_of", "evaluate"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EvaluationConfig:
    """How estimates, intervals, support and the reward model are made; each documents itself."""

    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    interval: IntervalConfig = field(default_factory=IntervalConfig)
    support: SupportConfig = field(default_factory=SupportConfig)
    rewards: RewardModelConfig = field(default_factory=RewardModelConfig)


@dataclass(frozen=True)
class Judged:
    """One policy's support and, only where the log supports it, its estimates by name (ips, snips, dr)."""

    support: Support
    values: Mapping[str, Estimate]

    def as_json(self) -> dict[str, Any]:
        told = {name: self.values[name].as_json() if self.values else None for name in ("ips", "snips", "dr")}
        return {**told, "ess": self.support.ess, "support": self.support.as_json()}


@dataclass(frozen=True)
class Evaluation:
    """`gain`: DR difference to `best_fixed`, `gain_over_log`: to the policy that wrote the log; both row by row, None
    where the log does not support the policy."""

    rows: int
    logged: Estimate
    policy: Judged
    fixed: Mapping[str, Judged]
    uniform: Judged
    best_fixed: str
    gain: Estimate | None
    gain_over_log: Estimate | None
    verdict: str
    sentence: str

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "verdict": self.verdict,
            "sentence": self.sentence,
            **self.policy.as_json(),
            "best_fixed": self.best_fixed,
            "gain_over_best_fixed": self.gain.as_json() if self.gain else None,
            "gain_over_log": self.gain_over_log.as_json() if self.gain_over_log else None,
            "logged": self.logged.as_json(),
            "fixed": {name: judged.as_json() for name, judged in self.fixed.items()},
            "uniform": self.uniform.as_json(),
        }


def evaluate(
    log: BanditLog, probabilities: Floats, config: EvaluationConfig | None = None, seed: int = 0
) -> Evaluation:
    """Judge float64 (n, k) `probabilities`, one row for each of the log's, one column for each of its actions.

    The reward model behind DR is cross-fitted on the log's features and, where given, the position.
    """
    config = config or EvaluationConfig()
    n = len(log)
    expected = _expected(log, config.rewards, seed)
    supports, terms = [], []
    for own in _policies(probabilities):
        supports.append(support_of(own, log.action, log.propensity, log.actions, config.support, log.owner))
        terms.append(_terms(log, own, expected, config.estimator))
    best = _best_fixed(terms[1:-1], supports[1:-1])
    reward = Terms(log.reward, np.ones(n))
    listed = [own[name] for own in terms for name in ("ips", "snips", "dr")]
    differences = [terms[0]["dr"].minus(terms[1 + best]["dr"]), terms[0]["dr"].minus(reward)]
    told = estimates([*listed, *differences, reward], seed, config.interval, log.owner)
    judged = [
        Judged(support, dict(zip(("ips", "snips", "dr"), told[3 * place : 3 * place + 3], strict=True)))
        if support.supported
        else Judged(support, {})
        for place, support in enumerate(supports)
    ]
    supported = supports[0].supported
    gain, over_log = told[-3], told[-2]
    verdict, sentence = _verdict(supports[0], gain, log.actions[best], log.reward_name, probabilities[:, best])
    return Evaluation(
        n,
        told[-1],
        judged[0],
        dict(zip(log.actions, judged[1:-1], strict=True)),
        judged[-1],
        log.actions[best],
        gain if supported else None,
        over_log if supported else None,
        verdict,
        sentence,
    )


def estimators_of(log: BanditLog, probabilities: Floats, config: EvaluationConfig, seed: int) -> dict[str, Terms]:
    """The terms of ips, snips and dr for one policy, support unasked."""
    return _terms(log, probabilities, _expected(log, config.rewards, seed), config.estimator)


def _expected(log: BanditLog, config: RewardModelConfig, seed: int) -> Floats:
    contexts, _ = ContextEncoder.fit(log.contexts).transform(log.contexts)
    if log.position is not None:
        contexts = np.column_stack([contexts, log.position.astype(np.float32)])
    fold = fold_of(len(log), config.folds, seed, log.owner)
    return crossfit_rewards(contexts, log.action, log.reward, len(log.actions), fold, config)


def _terms(log: BanditLog, probabilities: Floats, expected: Floats, config: EstimatorConfig) -> dict[str, Terms]:
    weights = importance_weights(probabilities, log.action, log.propensity, config.clip)
    return {
        "ips": inverse_propensity(weights, log.reward),
        "snips": self_normalised(weights, log.reward),
        "dr": doubly_robust(probabilities, weights, log.action, log.reward, expected, config.switch),
    }


def _policies(probabilities: Floats) -> Iterator[Floats]:
    """The policy, each fixed action, uniform, one matrix at a time: with 80 actions all would take gigabytes."""
    n, k = probabilities.shape
    yield probabilities
    for place in range(k):
        yield np.broadcast_to(np.eye(k)[place], (n, k))
    yield np.broadcast_to(np.full(k, 1.0 / k), (n, k))


def _best_fixed(terms: list[dict[str, Terms]], supports: list[Support]) -> int:
    """The supported action of greatest DR value; picked on the log itself, which flatters it and not the policy."""
    usable = [place for place, support in enumerate(supports) if support.supported] or range(len(terms))
    return max(usable, key=lambda place: terms[place]["dr"].value)


def _verdict(support: Support, gain: Estimate, best: str, reward: str, on_best: Floats) -> tuple[str, str]:
    told = f"{gain.value:+.4g} {reward} a decision [{gain.low:.4g}, {gain.high:.4g}] against {best} for everybody"
    if not support.supported:
        return "not_enough_evidence", f"Refused: the log cannot tell about this policy; {'; '.join(support.reasons)}."
    if bool((on_best == 1.0).all()):
        return "keep", f"Keep {best} for everybody, the best single action: the policy is just that."
    if gain.low > 0:
        return "promote", f"Promote: {told}."
    if gain.high <= 0:
        return "keep", f"Keep {best} for everybody: the policy earns less, {told}."
    return "not_enough_evidence", f"Not enough evidence that a personal choice earns more: {told}. Serve {best}."
