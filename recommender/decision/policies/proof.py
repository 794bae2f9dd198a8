"""Whether a personal policy beats the best single action: the whole procedure, margin and base included, judged on rows
that none of its steps has seen. Nothing is served from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.pseudo_outcomes import PseudoOutcomes, pseudo_outcomes
from recommender.decision.policies.uplift import Deviation, UpliftConfig, UpliftModel, chosen_margin, fit_uplift

__all__ = ["Proof", "ProofConfig", "Proven", "fit_proven"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ProofConfig:
    """`folds` for judging, `inner` for the margin inside each, `repeats` with other folds (one above `many_rows`);
    personal only when the gain less `errors` standard errors is positive."""

    folds: int = 5
    inner: int = 3
    repeats: int = 3
    many_rows: int = 150_000
    errors: float = 1.96
    uplift: UpliftConfig = field(default_factory=UpliftConfig)


@dataclass(frozen=True)
class Proof:
    """Gain over the best single action a decision, with its bounds; `deviating`: share of decisions that differ."""

    gain: float
    low: float
    high: float
    deviating: float

    @property
    def personal(self) -> bool:
        return self.low > 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Proven:
    """The model on all rows, the margin that goes with it, and the proof that lets it be used, or does not."""

    model: UpliftModel
    margin: float
    proof: Proof
    values: Floats  # (k): doubly robust value of each action given to all


def fit_proven(
    log: BanditLog, contexts: Matrix, config: ProofConfig, seed: int, progress: Progress | None = None
) -> Proven:
    """Nested cross-fitting: in each outer fold the base is chosen, the gains learnt and the margin found on the other
    folds alone; the difference to that fold's own base is then taken on its rows with doubly robust outcomes of plain
    rewards. So neither the pick of the base nor that of the margin flatters the personal policy.
    """
    repeats = config.repeats if len(log) <= config.many_rows else 1
    difference, deviates, deviations = np.zeros(len(log)), 0.0, []
    for repeat in range(repeats):
        fold = fold_of(len(log), config.folds, seed + repeat, log.owner)
        outcomes = pseudo_outcomes(log, contexts, fold)
        found = _folds(log, contexts, outcomes, fold, config, seed + 1000 * repeat, progress)
        difference += found.difference / repeats
        deviates += float(found.deviates.mean()) / repeats
        deviations.append((found.deviation, found.plain_steady))
    error = _error(difference, log.owner)
    gain = float(difference.mean())
    proof = Proof(gain, gain - config.errors * error, gain + config.errors * error, deviates)
    model = fit_uplift(contexts, outcomes, log.counts, config.uplift, seed)
    pooled = Deviation(
        np.concatenate([own.action for own, _ in deviations]), np.concatenate([own.gain for own, _ in deviations])
    )
    # Each repeat tells the same rows again: the sums grow by repeats, the errors must as well.
    margin = chosen_margin(
        pooled, np.concatenate([steady for _, steady in deviations]), config.uplift.caution * np.sqrt(repeats)
    )
    return Proven(model, margin, proof, outcomes.plain.mean(axis=0))


@dataclass(frozen=True)
class _Judged:
    difference: Floats
    deviates: npt.NDArray[np.bool_]
    deviation: Deviation
    plain_steady: Floats


def _folds(
    log: BanditLog,
    contexts: Matrix,
    outcomes: PseudoOutcomes,
    fold: Codes,
    config: ProofConfig,
    seed: int,
    progress: Progress | None,
) -> _Judged:
    """Every row judged by a procedure that has not seen it."""
    n = len(log)
    difference, deviates, steady = np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n)
    action, gain = np.zeros(n, dtype=np.int64), np.zeros(n)
    for held in range(config.folds):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        kept = outcomes.take(rest)
        margin = _margin(contexts[rest], kept, log.action[rest], len(log.actions), config, seed + held)
        model = fit_uplift(
            contexts[rest], kept, np.bincount(log.action[rest], minlength=len(log.actions)), config.uplift, seed + held
        )
        found = model.deviation(contexts[own])
        action[own], gain[own] = found.action, found.gain
        steady[own] = outcomes.steady[own, found.action] - outcomes.steady[own, model.base]
        deviates[own] = found.gain >= margin
        plain = outcomes.plain[own, found.action] - outcomes.plain[own, model.base]
        difference[own] = np.where(deviates[own], plain, 0.0)
        if progress:
            progress("judged folds", held + 1, config.folds)
    return _Judged(difference, deviates, Deviation(action, gain), steady)


def _margin(
    contexts: Matrix, outcomes: PseudoOutcomes, action: Codes, n_actions: int, config: ProofConfig, seed: int
) -> float:
    """The margin as it is found without the outer fold."""
    fold = fold_of(len(action), config.inner, seed)
    chosen, gain, difference = np.zeros(len(action), dtype=np.int64), np.zeros(len(action)), np.zeros(len(action))
    for held in range(config.inner):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        counts = np.bincount(action[rest], minlength=n_actions)
        model = fit_uplift(contexts[rest], outcomes.take(rest), counts, config.uplift, seed)
        found = model.deviation(contexts[own])
        chosen[own], gain[own] = found.action, found.gain
        difference[own] = outcomes.steady[own, found.action] - outcomes.steady[own, model.base]
    return chosen_margin(Deviation(chosen, gain), difference, config.uplift.caution)


def _error(values: Floats, owner: Codes | None) -> float:
    """Standard error of the mean; rows of one owner count as one draw."""
    centred = values - values.mean()
    if owner is not None:
        centred = np.bincount(owner, weights=centred)
    return float(np.sqrt((centred**2).sum()) / len(values))
