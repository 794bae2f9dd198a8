"""The personal policy: the best single action, and another one only where its gain is above the margin. The proof that
it may deviate at all is `proof`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.policies.boosters import bytes_of, load_booster
from recommender.decision.policies.design import Standard
from recommender.decision.policies.protocol import one_hot, with_floor
from recommender.decision.policies.uplift import UpliftModel

__all__ = ["Personal"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Personal:
    """Deterministic but for the floor."""

    n_actions: int
    model: UpliftModel
    margin: float
    floor: float = 0.0
    kind: str = "personal"

    def probabilities(self, contexts: Matrix) -> Floats:
        found = self.model.deviation(contexts)
        action = np.where(found.gain >= self.margin, found.action, self.model.base)
        return with_floor(one_hot(action, self.n_actions), self.floor)

    def parameters(self) -> Mapping[str, Any]:
        model = {"base": self.model.base, "challengers": list(self.model.challengers)}
        linear = {"standard": self.model.standard.as_json(), "weights": self.model.weights.tolist()}
        own = {"n_actions": self.n_actions, "margin": self.margin, "floor": self.floor}
        return {**own, **model, **linear, "trees": bool(self.model.boosters)}

    def files(self) -> Mapping[str, bytes]:
        pairs = zip(self.model.challengers, self.model.boosters, strict=False)  # none of the latter without trees
        return {f"gain_of_{place}.ubj": bytes_of(booster) for place, booster in pairs}

    @classmethod
    def load(cls, own: Mapping[str, Any], files: Mapping[str, bytes]) -> Personal:
        challengers = tuple(own["challengers"])
        trees = challengers if own["trees"] else ()
        boosters = tuple(load_booster(files[f"gain_of_{place}.ubj"]) for place in trees)
        weights = np.asarray(own["weights"], dtype=np.float64)
        model = UpliftModel(own["base"], challengers, Standard.from_json(own["standard"]), weights, boosters)
        return cls(own["n_actions"], model, own["margin"], own["floor"])
