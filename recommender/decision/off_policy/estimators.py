"""The terms of off-policy estimates, one a row: IPS, SNIPS, DR, with clipping and SWITCH. Intervals are `intervals`'.

Every estimate is Σ numerator / Σ denominator over the rows; IPS and DR have 1 as denominator, SNIPS the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "EstimatorConfig",
    "Terms",
    "doubly_robust",
    "effective_sample_size",
    "importance_weights",
    "inverse_propensity",
    "self_normalised",
]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EstimatorConfig:
    """`clip`: weights above it count as it (IPS and SNIPS and DR; a bias downwards for less variance); `switch`: DR
    trusts the reward model alone where the weight is above it (Wang, Agarwal and Dudík 2017)."""

    clip: float = float("inf")
    switch: float = float("inf")


@dataclass(frozen=True)
class Terms:
    """float64 (n) each: the estimate is their sums' ratio."""

    numerator: Floats
    denominator: Floats

    @property
    def value(self) -> float:
        return float(self.numerator.sum() / self.denominator.sum()) if self.denominator.sum() else 0.0

    def minus(self, other: Terms) -> Terms:
        """The difference of two means over the same rows, both with denominator 1."""
        return Terms(self.numerator - other.numerator, self.denominator)


def importance_weights(probabilities: Floats, action: Codes, propensity: Floats, clip: float = float("inf")) -> Floats:
    """float64 (n): π(a | x) / p of the action that was taken, at most `clip`; `probabilities` float64 (n, k)."""
    return np.minimum(probabilities[np.arange(len(action)), action] / propensity, clip)


def inverse_propensity(weights: Floats, reward: Floats) -> Terms:
    """IPS: mean of w r (Horvitz and Thompson 1952)."""
    return Terms(weights * reward, _ones(len(reward)))


def self_normalised(weights: Floats, reward: Floats) -> Terms:
    """SNIPS: Σ w r / Σ w (Swaminathan and Joachims 2015)."""
    return Terms(weights * reward, weights)


def doubly_robust(
    probabilities: Floats,
    weights: Floats,
    action: Codes,
    reward: Floats,
    expected: Floats,
    switch: float = float("inf"),
) -> Terms:
    """DR: Σ_a π(a | x) μ_a(x) + w (r − μ_A(x)) (Dudík, Langford and Li 2011); `expected` float64 (n, k) must come from
    models that have not seen the row. Above `switch` a weight counts as 0."""
    taken = expected[np.arange(len(action)), action]
    kept = np.where(weights > switch, 0.0, weights)
    return Terms((probabilities * expected).sum(axis=1) + kept * (reward - taken), _ones(len(reward)))


def effective_sample_size(weights: Floats) -> float:
    """(Σ w)² / Σ w² (Kish 1965): of how many equal rows the weighted ones are worth."""
    square = float((weights**2).sum())
    return float(weights.sum()) ** 2 / square if square else 0.0


def _ones(n: int) -> Floats:
    """1 for each row, without a byte a row: a log of 80 actions has 164 such columns."""
    return np.broadcast_to(np.float64(1.0), n)
