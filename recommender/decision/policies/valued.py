"""Policies on trees that tell what each action earns: epsilon-greedy, softmax, and bootstrapped Thompson sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from recommender.decision.policies.boosters import RewardTrees, bytes_of, fit_reward_trees, load_booster, predicted
from recommender.decision.policies.protocol import normalised, one_hot, with_floor

__all__ = ["BootstrappedThompson", "EpsilonGreedy", "Softmax"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EpsilonGreedy:
    """The action of greatest expected reward; with probability epsilon any action, all alike."""

    boosters: tuple[xgb.Booster, ...]
    epsilon: float = 0.05
    kind: str = "epsilon_greedy"

    @property
    def n_actions(self) -> int:
        return len(self.boosters)

    def probabilities(self, contexts: Matrix) -> Floats:
        best = predicted(self.boosters, contexts).argmax(axis=1)
        return with_floor(one_hot(best, self.n_actions), self.epsilon)

    def parameters(self) -> Mapping[str, Any]:
        return {"n_actions": self.n_actions, "epsilon": self.epsilon}

    def files(self) -> Mapping[str, bytes]:
        return _files(self.boosters)

    @classmethod
    def load(cls, own: Mapping[str, Any], files: Mapping[str, bytes]) -> EpsilonGreedy:
        return cls(_boosters(files, own["n_actions"]), own["epsilon"])


@dataclass(frozen=True)
class Softmax:
    """Probabilities in proportion to exp(value / temperature); `temperature` in units of the reward."""

    boosters: tuple[xgb.Booster, ...]
    temperature: float
    floor: float = 0.0
    kind: str = "softmax"

    @property
    def n_actions(self) -> int:
        return len(self.boosters)

    def probabilities(self, contexts: Matrix) -> Floats:
        values = predicted(self.boosters, contexts) / self.temperature
        return with_floor(normalised(np.exp(values - values.max(axis=1, keepdims=True))), self.floor)

    def parameters(self) -> Mapping[str, Any]:
        return {"n_actions": self.n_actions, "temperature": self.temperature, "floor": self.floor}

    def files(self) -> Mapping[str, bytes]:
        return _files(self.boosters)

    @classmethod
    def load(cls, own: Mapping[str, Any], files: Mapping[str, bytes]) -> Softmax:
        return cls(_boosters(files, own["n_actions"]), own["temperature"], own["floor"])


@dataclass(frozen=True)
class BootstrappedThompson:
    """Thompson sampling where the posterior is `draws` models on bootstraps of the log (Eckles and Kaptein 2014): an
    action's probability is the share of models that hold it best, mixed with a floor. Boosters lie draw by draw."""

    boosters: tuple[xgb.Booster, ...]
    n_actions: int
    floor: float = 0.02
    kind: str = "thompson"

    @classmethod
    def fit(
        cls,
        contexts: Matrix,
        action: Codes,
        reward: Floats,
        n_actions: int,
        seed: int,
        draws: int = 20,
        floor: float = 0.02,
        trees: RewardTrees | None = None,
    ) -> BootstrappedThompson:
        """Each draw weighs rows by Poisson(1), which is the bootstrap of many rows (Oza and Russell 2001)."""
        rng, trees = np.random.default_rng(seed), trees or RewardTrees()
        found: list[xgb.Booster] = []
        for draw in range(draws):
            weight = rng.poisson(1.0, len(action)).astype(np.float64)
            found += fit_reward_trees(contexts, action, reward, weight, n_actions, trees, seed + draw)
        return cls(tuple(found), n_actions, floor)

    def probabilities(self, contexts: Matrix) -> Floats:
        wins = np.zeros((len(contexts), self.n_actions))
        draws = range(0, len(self.boosters), self.n_actions)
        for start in draws:
            best = predicted(self.boosters[start : start + self.n_actions], contexts).argmax(axis=1)
            wins += one_hot(best, self.n_actions)
        return with_floor(wins / len(draws), self.floor)

    def parameters(self) -> Mapping[str, Any]:
        return {"n_actions": self.n_actions, "floor": self.floor, "boosters": len(self.boosters)}

    def files(self) -> Mapping[str, bytes]:
        return _files(self.boosters)

    @classmethod
    def load(cls, own: Mapping[str, Any], files: Mapping[str, bytes]) -> BootstrappedThompson:
        return cls(_boosters(files, own["boosters"]), own["n_actions"], own["floor"])


def _files(boosters: tuple[xgb.Booster, ...]) -> dict[str, bytes]:
    return {f"reward_{place}.ubj": bytes_of(booster) for place, booster in enumerate(boosters)}


def _boosters(files: Mapping[str, bytes], count: int) -> tuple[xgb.Booster, ...]:
    return tuple(load_booster(files[f"reward_{place}.ubj"]) for place in range(count))
