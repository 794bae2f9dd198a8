"""Linear bandits, a regression for each action: LinUCB, and Thompson sampling with exact probabilities; trees may add
what is not linear."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from recommender.decision.policies.boosters import (
    RewardTrees,
    bytes_of,
    fit_reward_trees,
    load_booster,
    predicted,
)
from recommender.decision.policies.design import Standard, row_products
from recommender.decision.policies.evidence import Moments, fit_evidence, without
from recommender.decision.policies.protocol import normalised, one_hot, with_floor

__all__ = ["LinearBandit", "LinearState", "chances_of_greatest"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

ROWS_AT_A_TIME = 512  # × 400 points × 8 bytes = 1.6 MB, three times over
# That a column changes what an action earns by this share of the mean reward is always thought possible, not more: of
# a rare reward's variance `evidence.LEAST` is much, of spend by 1 in 100 it allows for half of the mean.
SMALL = 0.15
GRID = 400  # points of the integral over the greatest value; 200 gave the same 9 digits


@dataclass(frozen=True)
class LinearState:
    """`standard` scales contexts; `weights` float64 (k, d + 1); `roots` float64 (k, d + 1, d + 1): R with Rᵀ R the
    inverse of the action's ridge matrix; `noise`: standard deviation of the residuals;
    `evidence`: of a pooled fit, twice the logarithm of how much likelier the rows are with differences by context in
    what actions add than without."""

    standard: Standard
    weights: Floats
    roots: Floats
    noise: float
    evidence: float = 0.0

    @classmethod
    def fit(cls, contexts: Matrix, action: Codes, reward: Floats, n_actions: int, ridge: float = 1.0) -> LinearState:
        """Ridge regression for each action on its rows, started at the mean reward of all."""
        standard = Standard.of(contexts)
        design = standard.design(contexts)
        mean, width = float(reward.mean()), design.shape[1]
        weights, roots, residual = np.zeros((n_actions, width)), np.zeros((n_actions, width, width)), 0.0
        with threadpool_limits(limits=1):
            for place in range(n_actions):
                own, earned = design[action == place], reward[action == place] - mean
                gram = own.T @ own + ridge * np.eye(width)
                weights[place] = np.linalg.solve(gram, own.T @ earned)
                roots[place] = np.linalg.inv(np.linalg.cholesky(gram))
                residual += float(((earned - own @ weights[place]) ** 2).sum())
                weights[place, -1] += mean
        return cls(standard, weights, roots, float(np.sqrt(residual / max(len(reward), 1))))

    @classmethod
    def pooled(cls, contexts: Matrix, action: Codes, reward: Floats, n_actions: int) -> LinearState:
        """One regression of what all actions have in common by context, each action's level, and what each adds by
        context; how far the first and the last are shrunk is told by the evidence. Without differences by context in
        the rows there are hardly any in the weights, and the choice is that of one action for all. Levels are few and
        not shrunk: of two or three the evidence is often that they are alike, and what is sure is not tried again.
        `roots` leave out what is common.
        """
        standard, width, mean = Standard.of(contexts), contexts.shape[1], float(reward.mean())

        def design(rows: slice) -> Floats:
            own = standard.design(contexts[rows])[:, :-1]
            taken = (action[rows, None] == np.arange(n_actions)).astype(np.float64)
            added = (taken[:, :, None] * own[:, None, :]).reshape(len(own), -1)
            return np.column_stack([own, taken, added])

        added = width + n_actions + np.arange(n_actions * width)
        groups = [np.arange(width), added] if width else []
        moments = Moments.of(design, reward - mean)
        found = fit_evidence(moments, groups, (SMALL * float(np.abs(reward).mean())) ** 2)
        weights, roots = np.zeros((n_actions, width + 1)), np.zeros((n_actions, width + 1, width + 1))
        for place in range(n_actions):
            own = np.append(added[place * width : (place + 1) * width], width + place)
            weights[place] = found.mean[own] + np.append(found.mean[:width], mean)
            roots[place] = np.linalg.cholesky(found.covariance[np.ix_(own, own)] / found.noise).T
        proof = without(moments, groups, found, 1) if width else 0.0
        return cls(standard, weights, roots, float(np.sqrt(found.noise)), proof)

    def moments(self, contexts: Matrix) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each action's expected reward, float64 (n, k); the noise is in the latter."""
        design = self.standard.design(contexts)
        spread = [np.sqrt((row_products(design, root) ** 2).sum(axis=1)) for root in self.roots]
        return row_products(design, self.weights), self.noise * np.stack(spread, axis=1)

    def to_bytes(self) -> bytes:
        own = {"weights": self.weights.tolist(), "roots": self.roots.tolist(), "noise": self.noise}
        own |= {"evidence": self.evidence}
        return json.dumps({"standard": self.standard.as_json(), **own}, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> LinearState:
        content = json.loads(data)
        weights, roots = (np.asarray(content[name], dtype=np.float64) for name in ("weights", "roots"))
        return cls(
            Standard.from_json(content["standard"]), weights, roots, float(content["noise"]), content["evidence"]
        )


@dataclass(frozen=True)
class LinearBandit:
    """`kind` linucb (Li et al. 2010): the greatest mean + width × deviation, all probability on it but the floor;
    lints (Agrawal and Goyal 2013): each action with the probability that its draw from N(mean, (width × deviation)²)
    is the greatest; treets: the same, with what trees find in the residuals added to the mean, as
    far as it is true of rows not seen."""

    kind: str
    state: LinearState
    width: float = 1.0
    floor: float = 0.02
    boosters: tuple[xgb.Booster, ...] = ()

    @classmethod
    def with_trees(
        cls,
        contexts: Matrix,
        action: Codes,
        reward: Floats,
        n_actions: int,
        seed: int,
        width: float = 1.0,
        floor: float = 0.02,
    ) -> LinearBandit:
        """Kind treets, for worlds where the right action depends on several features together; see `python -m
        benchmarks.decisioning regret`."""
        state = LinearState.fit(contexts, action, reward, n_actions)
        mean, _ = state.moments(contexts)
        residual = reward - mean[np.arange(len(action)), action]
        share = _share_of_trees(contexts, action, residual, n_actions, seed)
        boosters: tuple[xgb.Booster, ...] = ()
        if share > 0:
            weight = np.ones(len(action))
            boosters = fit_reward_trees(contexts, action, share * residual, weight, n_actions, RewardTrees(), seed)
        return cls("treets", state, width, floor, boosters)

    @property
    def n_actions(self) -> int:
        return len(self.state.weights)

    def probabilities(self, contexts: Matrix) -> Floats:
        mean, deviation = self.state.moments(contexts)
        if self.boosters:
            mean = mean + predicted(self.boosters, contexts)
        if self.kind == "linucb":
            best = (mean + self.width * deviation).argmax(axis=1)
            return with_floor(one_hot(best, self.n_actions), self.floor)
        return with_floor(chances_of_greatest(mean, self.width * deviation), self.floor)

    def parameters(self) -> Mapping[str, Any]:
        own = {"kind": self.kind, "width": self.width, "floor": self.floor}
        return {**own, "boosters": len(self.boosters)}

    def files(self) -> Mapping[str, bytes]:
        trees = {f"residual_{place}.ubj": bytes_of(booster) for place, booster in enumerate(self.boosters)}
        return {"linear.json": self.state.to_bytes(), **trees}

    @classmethod
    def load(cls, own: Mapping[str, Any], files: Mapping[str, bytes]) -> LinearBandit:
        boosters = tuple(load_booster(files[f"residual_{place}.ubj"]) for place in range(own["boosters"]))
        state = LinearState.from_bytes(files["linear.json"])
        return cls(own["kind"], state, own["width"], own["floor"], boosters)


def _share_of_trees(contexts: Matrix, action: Codes, residual: Floats, n_actions: int, seed: int) -> float:
    """How much of what trees tell is true of rows they have not seen: the slope of residuals on it, from 0 to 1."""
    fold, told = np.random.default_rng(seed).permutation(len(action)) % 3, np.zeros(len(action))
    for held in range(3):
        own, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        weight = np.ones(len(rest))
        trees = fit_reward_trees(contexts[rest], action[rest], residual[rest], weight, n_actions, RewardTrees(), seed)
        told[own] = predicted(trees, contexts[own])[np.arange(len(own)), action[own]]
    square = float((told**2).sum())
    return float(np.clip((residual * told).sum() / square, 0.0, 1.0)) if square else 0.0


def chances_of_greatest(mean: Floats, deviation: Floats) -> Floats:
    """P(action a has the greatest of independent normal values), by the midpoint rule over quantiles of each.

    P_a = ∫ Π_{b ≠ a} Φ((t − m_b) / s_b) dΦ((t − m_a) / s_a): exact up to the grid, then scaled to sum to 1.
    """
    points = ndtri((np.arange(GRID) + 0.5) / GRID)
    found = np.empty_like(mean)
    safe = np.maximum(deviation, 1e-12)
    for start in range(0, len(mean), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        for place in range(mean.shape[1]):
            at = mean[rows, place, None] + safe[rows, place, None] * points
            product = np.ones_like(at)
            for other in range(mean.shape[1]):
                if other != place:
                    product *= ndtr((at - mean[rows, other, None]) / safe[rows, other, None])
            found[rows, place] = product.mean(axis=1)
    return normalised(found)
