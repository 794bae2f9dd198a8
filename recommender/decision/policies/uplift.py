"""Who gains by another action than the one that is best for all, and by how much: ridge and small trees on doubly
robust differences, and the margin above which to deviate. Whether deviating is proven is asked in `proof`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from threadpoolctl import threadpool_limits

from recommender.decision.policies.design import Standard, row_products
from recommender.decision.policies.pseudo_outcomes import PseudoOutcomes, best_action

__all__ = ["Deviation", "UpliftConfig", "UpliftModel", "best_margin", "fit_uplift"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UpliftConfig:
    """Gains are small beside the noise: a ridge regression first, and few shallow trees with large leaves on what it
    leaves, only where they earn more on rows not seen.

    On half a simulated mailing with strong heterogeneity and conversions of 1 %, ridge found .82 of the possible gain,
    trees alone .40, their mean .69 (four logs); of visits at 13 % each found .99.

    `ridge`: penalty a row; `leaf_share`: least share of rows in a leaf; `challengers`: at most so many other actions;
    `caution`: standard errors by which the gain at a margin is lowered before margins are compared.
    """

    ridge: float = 0.3
    rounds: int = 60
    learning_rate: float = 0.1
    max_depth: int = 2
    leaf_share: float = 0.02
    least_leaf: int = 30
    challengers: int = 12
    caution: float = 0.5
    threads: int = 2


@dataclass(frozen=True)
class UpliftModel:
    """`base` is the action for all; row i of `weights`, float64 (m, d + 1), and `boosters[i]`, where there are trees,
    tell together how much more `challengers[i]` would earn in a context."""

    base: int
    challengers: tuple[int, ...]
    standard: Standard
    weights: Floats
    boosters: tuple[xgb.Booster, ...] = ()

    def gains(self, contexts: Matrix) -> Floats:
        """float64 (n, m): gain of each challenger over the base."""
        linear = row_products(self.standard.design(contexts), self.weights)
        for place, booster in enumerate(self.boosters if len(contexts) else ()):
            linear[:, place] += booster.inplace_predict(contexts, validate_features=False)
        return linear

    def deviation(self, contexts: Matrix) -> Deviation:
        if not self.challengers:
            return Deviation(np.full(len(contexts), self.base), np.zeros(len(contexts)))
        gains = self.gains(contexts)
        best = gains.argmax(axis=1)
        return Deviation(np.asarray(self.challengers)[best], gains[np.arange(len(gains)), best])

    @property
    def without_trees(self) -> UpliftModel:
        return UpliftModel(self.base, self.challengers, self.standard, self.weights)


@dataclass(frozen=True)
class Deviation:
    """For each row the best other action, int64 (n), and how much it is said to gain, float64 (n)."""

    action: Codes
    gain: Floats


def fit_uplift(
    contexts: Matrix, outcomes: PseudoOutcomes, counts: Codes, config: UpliftConfig, seed: int
) -> UpliftModel:
    """Learn on these rows: first the base, then each challenger's gain over it; `counts` int64 (k) rows of each."""
    base = best_action(outcomes.steady, counts)
    means = outcomes.steady.mean(axis=0)
    ranked = [int(a) for a in np.argsort(-means, kind="stable") if a != base and counts[a] >= config.least_leaf]
    challengers = tuple(ranked[: config.challengers])
    targets = outcomes.steady[:, challengers] - outcomes.steady[:, [base]]
    standard = Standard.of(contexts)
    design = standard.design(contexts)
    penalty = config.ridge * len(contexts) * np.diag([*np.ones(design.shape[1] - 1), 0.0])
    with threadpool_limits(limits=1):
        weights = np.asarray(np.linalg.solve(design.T @ design + penalty, design.T @ targets).T, dtype=np.float64)
    residual = np.asarray(targets - row_products(design, weights))
    return UpliftModel(base, challengers, standard, weights, _trees(contexts, residual, config, seed))


def _trees(contexts: Matrix, targets: Floats, config: UpliftConfig, seed: int) -> tuple[xgb.Booster, ...]:
    leaf = max(config.least_leaf, config.leaf_share * len(contexts))
    parameters = {
        "objective": "reg:squarederror",
        "base_score": 0.0,
        "tree_method": "hist",
        "max_bin": 64,
        "learning_rate": config.learning_rate,
        "max_depth": config.max_depth,
        "min_child_weight": leaf,
        "reg_lambda": leaf,
        "subsample": 0.7,
        "nthread": config.threads,
        "seed": seed,
    }
    matrix, boosters = xgb.QuantileDMatrix(contexts, max_bin=64, nthread=config.threads), []
    for target in targets.T:
        matrix.set_label(target)
        boosters.append(xgb.train(parameters, matrix, config.rounds))
        boosters[-1].set_param({"nthread": 1})
    return tuple(boosters)


def best_margin(deviation: Deviation, difference: Floats, caution: float) -> tuple[float, float]:
    """The gain from which on to deviate, and the bound it has: where the sum of `difference` (float64 (n), doubly
    robust, of rows that the model has not seen) over all rows of greater predicted gain, less `caution` standard
    errors, is greatest; infinity and 0 where that is nowhere positive."""
    order = np.argsort(-deviation.gain, kind="stable")
    order = order[deviation.gain[order] > 0]
    if not len(order):
        return float("inf"), 0.0
    total, square = np.cumsum(difference[order]), np.cumsum(difference[order] ** 2)
    bound = total - caution * np.sqrt(square)
    best = int(bound.argmax())
    if bound[best] <= 0:
        return float("inf"), 0.0
    return float(deviation.gain[order[best]]), float(bound[best])
