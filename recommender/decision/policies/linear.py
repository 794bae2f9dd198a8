"""Linear bandits, a ridge regression for each action: LinUCB, and Thompson sampling with exact probabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from recommender.decision.policies.protocol import normalised, one_hot, with_floor

__all__ = ["LinearBandit", "LinearState"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

ROWS_AT_A_TIME = 4096  # × 3 actions × 30² features × 8 bytes = 88 MB
GRID = 400  # points of the integral over the greatest value; 200 gave the same 9 digits


@dataclass(frozen=True)
class LinearState:
    """`centre` and `scale` float64 (d) standardise contexts (missing: the mean) and a 1 is appended; `weights`
    float64 (k, d + 1); `roots` float64 (k, d + 1, d + 1): R with Rᵀ R the inverse of the action's ridge matrix;
    `noise` float64: standard deviation of the residuals."""

    centre: Floats
    scale: Floats
    weights: Floats
    roots: Floats
    noise: float

    @classmethod
    def fit(cls, contexts: Matrix, action: Codes, reward: Floats, n_actions: int, ridge: float = 1.0) -> LinearState:
        """Ridge regression for each action on its rows, started at the mean reward of all."""
        raw = contexts.astype(np.float64)
        known = ~np.isnan(raw)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, raw, 0.0).sum(axis=0) / count
        deviation = np.where(known, raw - centre, 0.0)
        scale = np.sqrt((deviation**2).sum(axis=0) / count)
        scale = np.where(scale > 0, scale, 1.0)
        design = _standardised(contexts, centre, scale)
        mean, width = float(reward.mean()), design.shape[1]
        weights, roots, residual = np.zeros((n_actions, width)), np.zeros((n_actions, width, width)), 0.0
        for place in range(n_actions):
            own, earned = design[action == place], reward[action == place] - mean
            gram = own.T @ own + ridge * np.eye(width)
            weights[place] = np.linalg.solve(gram, own.T @ earned)
            roots[place] = np.linalg.inv(np.linalg.cholesky(gram))
            residual += float(((earned - own @ weights[place]) ** 2).sum())
            weights[place, -1] += mean
        return cls(centre, scale, weights, roots, float(np.sqrt(residual / max(len(reward), 1))))

    def moments(self, contexts: Matrix) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each action's expected reward, float64 (n, k); the noise is in the latter."""
        means, errors = [], []
        for start in range(0, len(contexts), ROWS_AT_A_TIME):
            design = _standardised(contexts[start : start + ROWS_AT_A_TIME], self.centre, self.scale)
            # Row by row sums, not BLAS: a row alone gets the same bits as among thousands.
            means.append((design[:, None, :] * self.weights).sum(axis=2))
            spread = [np.sqrt(((design[:, None, :] * root).sum(axis=2) ** 2).sum(axis=1)) for root in self.roots]
            errors.append(self.noise * np.stack(spread, axis=1))
        shape = (0, len(self.weights))
        return np.concatenate([np.zeros(shape), *means]), np.concatenate([np.zeros(shape), *errors])

    def to_bytes(self) -> bytes:
        own = {name: getattr(self, name).tolist() for name in ("centre", "scale", "weights", "roots")}
        return json.dumps({**own, "noise": self.noise}, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> LinearState:
        content = json.loads(data)
        arrays = [np.asarray(content[name], dtype=np.float64) for name in ("centre", "scale", "weights", "roots")]
        centre, scale, weights, roots = arrays
        return cls(centre, scale, weights, roots, float(content["noise"]))


@dataclass(frozen=True)
class LinearBandit:
    """`kind` linucb (Li et al. 2010): the greatest mean + width × deviation, all probability on it but the floor;
    lints (Agrawal and Goyal 2013): each action with the probability that its draw from N(mean, (width × deviation)²)
    is the greatest."""

    kind: str
    state: LinearState
    width: float = 1.0
    floor: float = 0.02

    @property
    def n_actions(self) -> int:
        return len(self.state.weights)

    def probabilities(self, contexts: Matrix) -> Floats:
        mean, deviation = self.state.moments(contexts)
        if self.kind == "linucb":
            best = (mean + self.width * deviation).argmax(axis=1)
            return with_floor(one_hot(best, self.n_actions), self.floor)
        return with_floor(_greatest(mean, self.width * deviation), self.floor)

    def parameters(self) -> Mapping[str, Any]:
        return {"kind": self.kind, "width": self.width, "floor": self.floor}

    def files(self) -> Mapping[str, bytes]:
        return {"linear.json": self.state.to_bytes()}

    @classmethod
    def load(cls, own: Mapping[str, Any], files: Mapping[str, bytes]) -> LinearBandit:
        return cls(own["kind"], LinearState.from_bytes(files["linear.json"]), own["width"], own["floor"])


def _standardised(contexts: Matrix, centre: Floats, scale: Floats) -> Floats:
    raw = contexts.astype(np.float64)
    values = np.where(np.isnan(raw), 0.0, (raw - centre) / scale)
    return np.column_stack([values, np.ones(len(values))])


def _greatest(mean: Floats, deviation: Floats) -> Floats:
    """P(action a has the greatest of independent normal values), by the midpoint rule over quantiles of each.

    P_a = ∫ Π_{b ≠ a} Φ((t − m_b) / s_b) dΦ((t − m_a) / s_a): exact up to the grid, then scaled to sum to 1.
    """
    from scipy.special import ndtri

    points = ndtri((np.arange(GRID) + 0.5) / GRID)
    found = np.empty_like(mean)
    safe = np.maximum(deviation, 1e-12)
    for start in range(0, len(mean), ROWS_AT_A_TIME // 8):
        rows = slice(start, start + ROWS_AT_A_TIME // 8)
        for place in range(mean.shape[1]):
            at = mean[rows, place, None] + safe[rows, place, None] * points
            product = np.ones_like(at)
            for other in range(mean.shape[1]):
                if other != place:
                    product *= ndtr((at - mean[rows, other, None]) / safe[rows, other, None])
            found[rows, place] = product.mean(axis=1)
    return normalised(found)
