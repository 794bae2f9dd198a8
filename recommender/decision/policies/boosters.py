"""XGBoost boosters as bytes and back, and models of what each action earns. No action is picked here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xgboost as xgb

__all__ = ["RewardTrees", "bytes_of", "fit_reward_trees", "load_booster", "predicted"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RewardTrees:
    """Trees of one action's reward, squared error; strongly shrunk to the action's mean: most of a log is noise."""

    rounds: int = 40
    learning_rate: float = 0.1
    max_depth: int = 3
    leaf_share: float = 0.01
    least_leaf: int = 5
    threads: int = 2

    def parameters(self, rows: int, seed: int) -> dict[str, object]:
        leaf = max(self.least_leaf, self.leaf_share * rows)
        return {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "max_bin": 64,
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": leaf,
            "reg_lambda": leaf,
            "nthread": self.threads,
            "seed": seed,
        }


def fit_reward_trees(
    contexts: Matrix,
    action: Codes,
    reward: Floats,
    weight: Floats,
    n_actions: int,
    config: RewardTrees,
    seed: int,
) -> tuple[xgb.Booster, ...]:
    """A booster for each action, on its own rows with these weights; an action without rows keeps the mean of all."""
    overall = float(np.average(reward, weights=weight)) if weight.sum() > 0 else 0.0
    boosters = []
    for place in range(n_actions):
        rows = np.flatnonzero((action == place) & (weight > 0))
        mean = float(np.average(reward[rows], weights=weight[rows])) if len(rows) else overall
        kept, rounds = (rows, config.rounds) if len(rows) else (np.zeros(1, dtype=np.int64), 0)
        matrix = xgb.DMatrix(contexts[kept], reward[kept], weight=weight[kept], nthread=config.threads)
        parameters = {**config.parameters(len(rows), seed), "base_score": mean}
        boosters.append(xgb.train(parameters, matrix, rounds))
        boosters[-1].set_param({"nthread": 1})
    return tuple(boosters)


def predicted(boosters: tuple[xgb.Booster, ...], contexts: Matrix) -> Floats:
    """float64 (n, m): one column a booster."""
    columns = [booster.inplace_predict(contexts, validate_features=False) for booster in boosters]
    return np.stack(columns, axis=1).astype(np.float64) if len(contexts) else np.zeros((0, len(boosters)))


def bytes_of(booster: xgb.Booster) -> bytes:
    """XGBoost's UBJ."""
    return bytes(booster.save_raw("ubj"))


def load_booster(data: bytes) -> xgb.Booster:
    """Call only on bytes whose hash was verified: corrupt ones crash the process."""
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    return booster
