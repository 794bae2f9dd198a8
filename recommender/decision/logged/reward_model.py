"""What each action would earn in each context, told by trees that have not seen the row: the model behind doubly robust
estimates. No estimate is made here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xgboost as xgb

__all__ = ["RewardModelConfig", "crossfit_rewards", "fold_of"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RewardModelConfig:
    """Shallow trees on (context, action) with squared error, stopped on a fifth of the rows: with noise alone they stay
    at the mean, so that a doubly robust estimate is never much noisier than IPS."""

    folds: int = 3
    max_rounds: int = 120
    patience: int = 8
    learning_rate: float = 0.12
    max_depth: int = 4
    min_rows: float = 20.0
    regularisation: float = 10.0
    threads: int = 2


def fold_of(n: int, folds: int, seed: int, owner: Codes | None = None) -> Codes:
    """int64 (n): a random fold for each row, or for each owner with all rows."""
    rng = np.random.default_rng(seed)
    if owner is None:
        return rng.permutation(n) % folds
    people = int(owner.max(initial=-1)) + 1
    return (rng.permutation(people) % folds)[owner]


def crossfit_rewards(
    contexts: Matrix,
    action: Codes,
    reward: Floats,
    n_actions: int,
    fold: Codes,
    config: RewardModelConfig | None = None,
) -> Floats:
    """float64 (n, k): expected reward of every action, by a model of the other folds (Chernozhukov et al. 2018)."""
    config = config or RewardModelConfig()
    found = np.empty((len(action), n_actions))
    for held in range(int(fold.max()) + 1):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        booster, mean = _fit(contexts[rest], action[rest], reward[rest], config, held)
        for place in range(n_actions):
            if booster is None:
                found[own, place] = mean
                continue
            codes = np.full(len(own), place, dtype=np.int64)
            last = (0, booster.best_iteration + 1)
            found[own, place] = booster.predict(_matrix(contexts[own], codes, config.threads), iteration_range=last)
    return found


def _fit(
    contexts: Matrix, action: Codes, reward: Floats, config: RewardModelConfig, seed: int
) -> tuple[xgb.Booster | None, float]:
    mean = float(reward.mean()) if len(reward) else 0.0
    if len(reward) < 50 or np.ptp(reward) == 0:
        return None, mean
    stop = np.random.default_rng(seed).permutation(len(reward)) % 5 == 0
    parts = []
    for rows in (~stop, stop):
        part = _matrix(contexts[rows], action[rows], config.threads)
        part.set_label(reward[rows])
        parts.append(part)
    parameters = {
        "objective": "reg:squarederror",
        "base_score": mean,
        "tree_method": "hist",
        "max_bin": 64,
        "learning_rate": config.learning_rate,
        "max_depth": config.max_depth,
        "min_child_weight": config.min_rows,
        "reg_lambda": config.regularisation,
        "nthread": config.threads,
        "seed": seed,
    }
    booster = xgb.train(
        parameters,
        parts[0],
        config.max_rounds,
        evals=[(parts[1], "stop")],
        early_stopping_rounds=config.patience,
        verbose_eval=False,
    )
    return booster, mean


def _matrix(contexts: Matrix, action: Codes, threads: int) -> xgb.DMatrix:
    """The action is a category: a tree may put any of them together."""
    joined = np.column_stack([contexts, action.astype(np.float32)])
    kinds = ["q"] * contexts.shape[1] + ["c"]
    return xgb.DMatrix(joined, feature_types=kinds, enable_categorical=True, nthread=threads)
