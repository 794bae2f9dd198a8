"""Slate policies with exact propensities: from scores to an ordered choice. No rule is applied here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Choice", "SlatePolicy", "epsilon_slots", "greedy", "seed_of"]

DEFAULT_POOL = 50


@dataclass(frozen=True)
class Choice:
    """An ordered choice among candidates, first shown first.

    `rows` int64 (k): which candidate; `propensities` float64 (k): probability with which the policy
    chose it at its position, given the positions before. Their product is the slate's propensity.
    """

    rows: npt.NDArray[np.int64]
    propensities: npt.NDArray[np.float64]


@dataclass(frozen=True)
class SlatePolicy:
    """Which policy a placement uses: `exploration` is ε of `epsilon_slots`, 0 means greedy."""

    exploration: float = 0.0
    pool: int = DEFAULT_POOL

    @property
    def name(self) -> str:
        """Name with every parameter: what the record keeps, enough to recompute propensities."""
        return f"epsilon_slots({self.exploration:g},{self.pool})" if self.exploration else "greedy"

    def choose(self, scores: npt.NDArray[np.float32], k: int, seed: int) -> Choice:
        """At most k of the scored candidates; the same seed chooses the same."""
        if not self.exploration:
            return greedy(scores, k)
        return epsilon_slots(scores, k, self.exploration, np.random.default_rng(seed), self.pool)


def seed_of(decision_id: str) -> int:
    """A stable hash of the id below 2^63: one decision's randomness depends on nothing but its id."""
    digest = hashlib.blake2b(decision_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & (2**63 - 1)


def greedy(scores: npt.NDArray[np.float32], k: int) -> Choice:
    """The k best, each with propensity 1; of equal scores the earlier candidate goes first."""
    rows = np.argsort(-scores, kind="stable")[:k]
    return Choice(rows, np.ones(len(rows)))


def epsilon_slots(
    scores: npt.NDArray[np.float32], k: int, epsilon: float, rng: np.random.Generator, pool: int = DEFAULT_POOL
) -> Choice:
    """At each position the best remaining with probability 1 − ε, else one of the pool's remaining, uniformly.

    The pool is the `pool` best by score. With m of them left, the propensity of a choice is
    (1 − ε)·[it is the best remaining] + ε/m; once the pool is empty the best remaining is certain.
    """
    order = np.argsort(-scores, kind="stable")
    k = min(k, len(order))
    draws = rng.random((2, k)).tolist()
    remaining = list(range(min(pool, len(order))))  # ranks still in the pool, best first
    ranks, propensities = [], []
    for position in range(k):
        m = len(remaining)
        if not m:
            ranks.append(position)  # k > pool: everything better was shown, so the next rank is the position
            propensities.append(1.0)
            continue
        explores = draws[0][position] < epsilon
        place = min(int(draws[1][position] * m), m - 1) if explores else 0
        ranks.append(remaining.pop(place))
        propensities.append((1.0 - epsilon) * (place == 0) + epsilon / m)
    return Choice(order[ranks], np.array(propensities))
