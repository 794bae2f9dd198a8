"""Whether a personal policy beats the best single action: the whole procedure, base, trees and margin included, judged
on rows that none of its steps has seen. Nothing is served from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.pseudo_outcomes import PseudoOutcomes, pseudo_outcomes
from recommender.decision.policies.uplift import Deviation, UpliftConfig, UpliftModel, best_margin, fit_uplift

__all__ = ["Proof", "ProofConfig", "Proven", "fit_proven"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ProofConfig:
    """`folds` for judging, `inner` for the choices inside each, `repeats` with other folds (one above `many_rows`).

    Personal only when the gain less `errors` standard errors is positive in steady rewards (see `steady_rewards`), and
    the gain in rewards as they are is at least `plain_errors` of its own: the first has the power that rare sums lack,
    the second would notice sizes that move the other way.
    """

    folds: int = 5
    inner: int = 3
    repeats: int = 2
    many_rows: int = 150_000
    errors: float = 1.96
    plain_errors: float = 1.0
    uplift: UpliftConfig = field(default_factory=UpliftConfig)


@dataclass(frozen=True)
class Proof:
    """Gain over the best single action a decision, with its bounds, in steady rewards and as they are (`plain_`);
    `deviating`: share of decisions that differ."""

    gain: float
    low: float
    high: float
    plain_gain: float
    plain_low: float
    plain_high: float
    deviating: float
    personal: bool

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
    folds alone; the difference to that fold's own base is then taken on its rows. So neither the pick of the base nor
    that of the margin flatters the personal policy.
    """
    repeats = config.repeats if len(log) <= config.many_rows else 1
    steady, plain, deviating = np.zeros((repeats, len(log))), np.zeros((repeats, len(log))), 0.0
    for repeat in range(repeats):
        fold = fold_of(len(log), config.folds, seed + repeat, log.owner)
        outcomes = pseudo_outcomes(log, contexts, fold)
        for held in range(config.folds):
            own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
            kept = outcomes.take(rest)
            model, margin = _procedure(log.action[rest], contexts[rest], kept, config.inner, config, seed + held)
            found = model.deviation(contexts[own])
            rows = own[found.gain >= margin]
            action = found.action[found.gain >= margin]
            steady[repeat, rows] = outcomes.steady[rows, action] - outcomes.steady[rows, model.base]
            plain[repeat, rows] = outcomes.plain[rows, action] - outcomes.plain[rows, model.base]
            deviating += len(rows) / len(log) / repeats
            if progress:
                progress("judged folds", repeat * config.folds + held + 1, repeats * config.folds)
    model, margin = _procedure(log.action, contexts, outcomes, config.folds, config, seed)
    proof = _proof(steady, plain, deviating, log.owner, config, bool(np.isfinite(margin)))
    return Proven(model, margin, proof, outcomes.plain.mean(axis=0))


def _proof(
    steady: Floats, plain: Floats, deviating: float, owner: Codes | None, config: ProofConfig, deviates: bool
) -> Proof:
    gain, plain_gain = float(steady.mean()), float(plain.mean())
    error, plain_error = _error(steady, owner), _error(plain, owner)
    low, plain_low = gain - config.errors * error, plain_gain - config.errors * plain_error
    return Proof(
        gain,
        low,
        gain + config.errors * error,
        plain_gain,
        plain_low,
        plain_gain + config.errors * plain_error,
        deviating,
        personal=bool(deviates and low > 0 and plain_gain > config.plain_errors * plain_error),
    )


def _procedure(
    action: Codes, contexts: Matrix, outcomes: PseudoOutcomes, folds: int, config: ProofConfig, seed: int
) -> tuple[UpliftModel, float]:
    """A model on all of these rows and its margin: with trees or without, whichever is worth more on folds held out."""
    n, k = len(action), outcomes.steady.shape[1]
    fold = fold_of(n, folds, seed)
    chosen = np.zeros((2, n), dtype=np.int64)
    gain, difference = np.zeros((2, n)), np.zeros((2, n))
    for held in range(folds):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        counts = np.bincount(action[rest], minlength=k)
        model = fit_uplift(contexts[rest], outcomes.take(rest), counts, config.uplift, seed)
        for way, variant in enumerate((model.without_trees, model)):
            found = variant.deviation(contexts[own])
            chosen[way, own], gain[way, own] = found.action, found.gain
            difference[way, own] = outcomes.steady[own, found.action] - outcomes.steady[own, model.base]
    caution = config.uplift.caution
    ways = [best_margin(Deviation(chosen[way], gain[way]), difference[way], caution) for way in (0, 1)]
    model = fit_uplift(contexts, outcomes, np.bincount(action, minlength=k), config.uplift, seed)
    with_trees = ways[1][1] > ways[0][1]
    return (model, ways[1][0]) if with_trees else (model.without_trees, ways[0][0])


def _error(values: Floats, owner: Codes | None) -> float:
    """Standard error of a repeat's mean, averaged over repeats, of float64 (repeats, n); one owner's rows are one draw.

    Not that of the rows' means over repeats, which share their rows: with three actions all alike it called 10 of 150
    policies proven, this one 5 (2.5 % are expected).
    """
    errors = []
    for row in values - values.mean(axis=1, keepdims=True):
        sums = row if owner is None else np.bincount(owner, weights=row)
        errors.append(float(np.sqrt((sums**2).sum())) / len(row))
    return float(np.mean(errors))
