"""Means of doubly robust outcomes by group, with intervals that take a person's decisions together. No group is found.

A value of a row is unbiased for what it stands for (an effect, or a reward), so a group's mean is too, whoever was
written to; what remains is noise. Its size is told by the people: the rows of one are one draw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from recommender.experiments.effects import holm

__all__ = [
    "LEAST_WORTH", "Estimate", "by_group", "difference", "holm_pvalues", "mean_of", "of_parts", "weighted_difference",
]  # fmt: skip

# People whom an interval rests on, below whom it is not shown: sums of few people are skewed. From 12 on intervals held
# the truth in 95.4 % to 96.2 % of 8,773 (benchmarks/insights.py); from 25 on most groups of a learnt agent had none.
LEAST_WORTH = 12.0
CONFIDENCE = 0.95

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """`value` with its standard error, of `rows` decisions of `people`; `worth`: how many people the error rests on,
    (Σ s²)² / Σ s⁴ of their contributions s, which heavy weights make few of many."""

    value: float
    error: float
    people: int
    rows: int
    worth: float

    @property
    def is_known(self) -> bool:
        """Whether there is enough to show an interval."""
        return self.worth >= LEAST_WORTH and self.error > 0

    @property
    def interval(self) -> tuple[float, float]:
        """Student's at 95 %."""
        half = float(stats.t.isf((1.0 - CONFIDENCE) / 2.0, max(self.worth - 1.0, 1.0))) * self.error
        return self.value - half, self.value + half

    @property
    def pvalue(self) -> float:
        """Of no effect, two-sided; 1 where there is too little to tell."""
        if not self.is_known:
            return 1.0
        return float(2.0 * stats.t.sf(abs(self.value) / self.error, max(self.worth - 1.0, 1.0)))

    def as_json(self) -> dict[str, Any]:
        """Plain values; value, low and high are None where there is too little evidence. `worth_people`: `worth`."""
        low, high = self.interval
        known = {"value": self.value, "low": low, "high": high} if self.is_known else dict.fromkeys(_FIGURES)
        return {**known, "people": self.people, "decisions": self.rows, "worth_people": self.worth}


_FIGURES = ("value", "low", "high")


def mean_of(values: Floats, owner: Ints) -> Estimate:
    """Mean of float64 (n); `owner` int64 (n) says whose row it is."""
    if not len(values):
        return Estimate(0.0, 0.0, 0, 0, 0.0)
    mean = float(values.mean())
    return replace(of_parts(mean, (values - mean) / len(values), owner), people=len(np.unique(owner)), rows=len(values))


def by_group(values: Floats, group: Ints, n_groups: int, owner: Ints) -> list[Estimate]:
    """The mean of each group; `group` int64 (n), −1 for rows that are in none."""
    return [mean_of(values[rows], owner[rows]) for rows in (group == place for place in range(n_groups))]


def difference(values: Floats, inside: Mask, owner: Ints) -> Estimate:
    """Mean of the rows inside less that of all others; people may be in both."""
    found, parts = weighted_difference(values, inside.astype(np.float64), (~inside).astype(np.float64))
    return of_parts(found, parts, owner)


def weighted_difference(values: Floats, one: Floats, other: Floats) -> tuple[float, Floats]:
    """The mean of float64 (n) under weights `one` less that under weights `other`, and each row's part in its error.
    NaN where either has no weight."""
    if not one.sum() > 0 or not other.sum() > 0:
        return float("nan"), np.zeros(len(values))
    shares = [weight / weight.sum() for weight in (one, other)]
    means = [float((share * values).sum()) for share in shares]
    parts = shares[0] * (values - means[0]) - shares[1] * (values - means[1])
    return means[0] - means[1], np.asarray(parts)


def of_parts(value: float, parts: Floats, owner: Ints) -> Estimate:
    """An estimate from what each row adds to its error, float64 (n); rows of 0 do not count."""
    rows = np.flatnonzero(parts)
    if not len(rows) or not np.isfinite(value):
        return Estimate(value if np.isfinite(value) else 0.0, 0.0, 0, 0, 0.0)
    _, person = np.unique(owner[rows], return_inverse=True)
    sums = np.bincount(person, weights=parts[rows])
    square, fourth = float((sums**2).sum()), float((sums**4).sum())
    people = len(sums)
    error = float(np.sqrt(square * people / max(people - 1, 1)))
    return Estimate(value, error, people, len(rows), square**2 / fourth if fourth > 0 else 0.0)


def holm_pvalues(estimates: list[Estimate]) -> list[float]:
    """p-values of no effect, adjusted for all of them together (Holm 1979): the chance of a single false one among
    those below .05 is at most one in twenty."""
    if not estimates:
        return []
    adjusted, _ = holm(np.array([one.pvalue for one in estimates]), 1.0 - CONFIDENCE)
    return [float(one) for one in adjusted]
