"""Who gains by another action than the one that is best for all, and by how much: small trees on doubly robust
differences, and the margin above which to deviate. Whether deviating is proven is asked in `proof`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from recommender.decision.policies.pseudo_outcomes import PseudoOutcomes, best_action

__all__ = ["Deviation", "UpliftConfig", "UpliftModel", "chosen_margin", "fit_uplift"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UpliftConfig:
    """Gains are small beside the noise: few shallow trees, leaves of many rows, every one shrunk.

    `leaf_share`: the least share of rows in a leaf; `challengers`: at most so many other actions are considered;
    `caution`: standard errors by which the gain at a margin is lowered before margins are compared.
    """

    rounds: int = 60
    learning_rate: float = 0.1
    max_depth: int = 3
    leaf_share: float = 0.01
    least_leaf: int = 30
    challengers: int = 12
    caution: float = 1.0
    threads: int = 2


@dataclass(frozen=True)
class UpliftModel:
    """`base` is the action for all; `boosters[i]` tells how much more `challengers[i]` would earn in a context."""

    base: int
    challengers: tuple[int, ...]
    boosters: tuple[xgb.Booster, ...]

    def gains(self, contexts: Matrix) -> Floats:
        """float64 (n, m): gain of each challenger over the base."""
        columns = [booster.inplace_predict(contexts, validate_features=False) for booster in self.boosters]
        return np.stack(columns, axis=1).astype(np.float64) if columns else np.zeros((len(contexts), 0))

    def deviation(self, contexts: Matrix) -> Deviation:
        gains = self.gains(contexts)
        if not self.challengers:
            return Deviation(np.full(len(contexts), self.base), np.zeros(len(contexts)))
        best = gains.argmax(axis=1)
        return Deviation(np.asarray(self.challengers)[best], gains[np.arange(len(gains)), best])


@dataclass(frozen=True)
class Deviation:
    """For each row the best other action, int64 (n), and how much it is said to gain, float64 (n)."""

    action: Codes
    gain: Floats


def fit_uplift(
    contexts: Matrix, outcomes: PseudoOutcomes, counts: Codes, config: UpliftConfig, seed: int
) -> UpliftModel:
    """Learn on these rows: first the base, then each challenger's gain over it."""
    base = best_action(outcomes.steady, counts)
    means = outcomes.steady.mean(axis=0)
    ranked = [int(a) for a in np.argsort(-means, kind="stable") if a != base and counts[a] >= config.least_leaf]
    challengers = tuple(ranked[: config.challengers])
    parameters = {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "max_bin": 64,
        "learning_rate": config.learning_rate,
        "max_depth": config.max_depth,
        "min_child_weight": max(config.least_leaf, config.leaf_share * len(contexts)),
        "reg_lambda": max(config.least_leaf, config.leaf_share * len(contexts)),
        "subsample": 0.7,
        "nthread": config.threads,
        "seed": seed,
    }
    matrix, boosters = xgb.QuantileDMatrix(contexts, max_bin=64, nthread=config.threads), []
    for challenger in challengers:
        target = outcomes.steady[:, challenger] - outcomes.steady[:, base]
        matrix.set_label(target)
        boosters.append(xgb.train({**parameters, "base_score": float(target.mean())}, matrix, config.rounds))
        boosters[-1].set_param({"nthread": 1})
    return UpliftModel(base, challengers, tuple(boosters))


def chosen_margin(deviation: Deviation, difference: Floats, caution: float) -> float:
    """The gain from which on to deviate: where the sum of `difference` (float64 (n), doubly robust, of rows that the
    model has not seen) over all rows of greater predicted gain, less `caution` standard errors, is greatest; infinity
    where that is nowhere positive."""
    order = np.argsort(-deviation.gain, kind="stable")
    order = order[deviation.gain[order] > 0]
    if not len(order):
        return float("inf")
    total, square = np.cumsum(difference[order]), np.cumsum(difference[order] ** 2)
    bound = total - caution * np.sqrt(square)
    best = int(bound.argmax())
    return float(deviation.gain[order[best]]) if bound[best] > 0 else float("inf")
