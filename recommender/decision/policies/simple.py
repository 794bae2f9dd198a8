"""Policies that look at no context: all actions alike, and always the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.policies.protocol import one_hot, with_floor

__all__ = ["Fixed", "Uniform"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Uniform:
    """Every action with probability 1 / k."""

    n_actions: int
    kind: str = "uniform"

    def probabilities(self, contexts: Matrix) -> Floats:
        return np.full((len(contexts), self.n_actions), 1.0 / self.n_actions)

    def parameters(self) -> Mapping[str, Any]:
        return {"n_actions": self.n_actions}

    def files(self) -> Mapping[str, bytes]:
        return {}


@dataclass(frozen=True)
class Fixed:
    """One action for everybody, the others with floor / k."""

    n_actions: int
    action: int
    floor: float = 0.0
    kind: str = "fixed"

    def probabilities(self, contexts: Matrix) -> Floats:
        return with_floor(one_hot(np.full(len(contexts), self.action), self.n_actions), self.floor)

    def parameters(self) -> Mapping[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "kind"}

    def files(self) -> Mapping[str, bytes]:
        return {}
