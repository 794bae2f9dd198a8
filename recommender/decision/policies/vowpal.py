"""Vowpal Wabbit's `cb_explore_adf` behind the same protocol: its own learning, its own probabilities."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.policies.design import Standard
from recommender.decision.policies.protocol import normalised, with_floor

__all__ = ["EXPLORATIONS", "Scaling", "Vowpal", "VowpalLearner"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

# Each with the setting that lost least of those tried on six simulated streams of mail; with gamma_scale 100, ε .05,
# 5 bags or covers, or λ 10 they lost 129 to 789, so 102 to 178.
EXPLORATIONS = {
    "squarecb": "--squarecb --gamma_scale 1000",
    "regcb": "--regcbopt --mellowness 0.01",
    "greedy": "--epsilon 0",
    "epsilon": "--epsilon 0.02",
    "bag": "--bag 10 --greedify",
    "cover": "--cover 16 --nounif --psi 0.01",
    "softmax": "--softmax --lambda 100",
}


@dataclass(frozen=True)
class Scaling:
    """Contexts to about unit size, rewards to costs in [0, 1]: what Vowpal Wabbit's defaults are made for."""

    standard: Standard
    least: float
    span: float

    @classmethod
    def of(cls, contexts: Matrix, reward: Floats) -> Scaling:
        low, high = (float(bound) for bound in np.quantile(reward, [0.0, 0.999]))
        return cls(Standard.of(contexts), low, max(high - low, 1e-12))

    def lines(self, contexts: Matrix) -> list[str]:
        """One `shared` line a row; a missing number is at the mean."""
        values = self.standard.design(contexts)[:, :-1]
        return ["shared |C " + " ".join(f"f{place}:{value:.5g}" for place, value in enumerate(row)) for row in values]

    def costs(self, reward: Floats) -> Floats:
        return 1.0 - np.clip((reward - self.least) / self.span, 0.0, 1.0)


class VowpalLearner:
    """Learns row by row, in order; `policy` is what it knows so far. An action is told by its name, alone and together
    with each feature of the context, where `paired` with each two of them as well."""

    def __init__(
        self, n_actions: int, scaling: Scaling, exploration: str = "squarecb", seed: int = 0, paired: bool = False
    ) -> None:
        from vowpalwabbit import Workspace

        crossed = "-q CA --interactions CCA" if paired else "-q CA"
        words = f"--cb_explore_adf {EXPLORATIONS[exploration]} --cb_type mtr {crossed} --quiet --random_seed {seed}"
        self._learner = Workspace(words)
        self.n_actions, self.scaling = n_actions, scaling

    @classmethod
    def of(
        cls, contexts: Matrix, reward: Floats, n_actions: int, exploration: str, seed: int, paired: bool = False
    ) -> VowpalLearner:
        """A learner scaled for rows like these; it has not learnt from them yet."""
        return cls(n_actions, Scaling.of(contexts, reward), exploration, seed, paired)

    def learn(self, contexts: Matrix, action: Codes, reward: Floats, propensity: Floats) -> None:
        """Take in logged rows."""
        plain = [f"|A a{place}" for place in range(self.n_actions)]
        rows = zip(self.scaling.lines(contexts), action, self.scaling.costs(reward), propensity, strict=True)
        for shared, taken, cost, chance in rows:
            lines = plain.copy()
            lines[taken] = f"0:{cost:.6g}:{chance:.6g} {lines[taken]}"
            self._learner.learn([shared, *lines])

    def policy(self, floor: float = 0.0) -> Vowpal:
        """The policy as it is now; learning may go on."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.vw"
            self._learner.save(os.fspath(path))
            return Vowpal(self.n_actions, self.scaling, path.read_bytes(), floor)


@dataclass(frozen=True)
class Vowpal:
    """A model that only answers."""

    n_actions: int
    scaling: Scaling
    model: bytes
    floor: float = 0.0
    kind: str = "vowpal"

    @cached_property
    def _workspace(self) -> Any:
        from vowpalwabbit import Workspace

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.vw"
            path.write_bytes(self.model)
            return Workspace(f"-i {os.fspath(path)} -t --quiet")

    def probabilities(self, contexts: Matrix) -> Floats:
        actions = [f"|A a{place}" for place in range(self.n_actions)]
        found = [self._workspace.predict([shared, *actions]) for shared in self.scaling.lines(contexts)]
        given = np.asarray(found, dtype=np.float64).reshape(len(contexts), self.n_actions)
        return with_floor(normalised(np.maximum(given, 0.0)), self.floor)

    def parameters(self) -> Mapping[str, Any]:
        scaling = {"standard": self.scaling.standard.as_json(), "least": self.scaling.least, "span": self.scaling.span}
        return {"n_actions": self.n_actions, "floor": self.floor, "scaling": scaling}

    def files(self) -> Mapping[str, bytes]:
        return {"model.vw": self.model}

    @classmethod
    def load(cls, own: Mapping[str, Any], files: Mapping[str, bytes]) -> Vowpal:
        content = own["scaling"]
        scaling = Scaling(Standard.from_json(content["standard"]), content["least"], content["span"])
        return cls(own["n_actions"], scaling, files["model.vw"], own["floor"])
