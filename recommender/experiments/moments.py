"""Counts, means and covariances of people in arms: sums that add up over days, arms and segments. No test is made here.

Three columns a person: `outcome`, `denominator` (1 for a plain mean) and `covariate` (0 where there is none). Every
array may have leading axes (arms, days, thousands of simulated experiments); what is computed goes over them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "moments_by_group"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """`count` (...), `first` (..., 3) and `second` (..., 3, 3): sums over people of columns less `origin` (3).

    The origin is any point near the columns' means; it keeps digits that a sum of squares would lose.
    """

    count: Floats
    first: Floats
    second: Floats
    origin: Floats

    def __getitem__(self, place: Any) -> Moments:
        """Of one place, or some, of the leading axes."""
        own = place if isinstance(place, tuple) else (place,)
        whole = slice(None)  # so that an ellipsis stands for leading axes only
        return Moments(self.count[place], self.first[(*own, whole)], self.second[(*own, whole, whole)], self.origin)

    def __add__(self, other: Moments) -> Moments:
        """The people of both; they must share an origin."""
        return Moments(self.count + other.count, self.first + other.first, self.second + other.second, self.origin)

    def running(self, axis: int = 0) -> Moments:
        """Up to and with each place of a leading axis (days)."""
        return Moments(
            np.cumsum(self.count, axis), np.cumsum(self.first, axis), np.cumsum(self.second, axis), self.origin
        )

    def summed(self, axis: int = 0) -> Moments:
        """All places of a leading axis together."""
        return Moments(self.count.sum(axis), self.first.sum(axis), self.second.sum(axis), self.origin)

    @property
    def mean(self) -> Floats:
        """float64 (..., 3); not a number where there is nobody."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.first / self.count[..., None] + self.origin)

    @property
    def covariance(self) -> Floats:
        """float64 (..., 3, 3), unbiased; not a number below two people."""
        with np.errstate(invalid="ignore", divide="ignore"):
            n = self.count[..., None, None]
            outer = self.first[..., :, None] * self.first[..., None, :]
            return np.asarray(np.where(n > 1, (self.second - outer / n) / (n - 1.0), np.nan))


def moments_by_group(columns: Floats, group: Codes, groups: int, earlier: Floats | None = None) -> Moments:
    """Moments of `groups` groups: `columns` float64 (n, 3), `group` int64 (n) in 0…groups-1.

    With `earlier` (n, 3) each row replaces what the same person brought before (not a number where this is their first
    row): running groups by day then hold each person once, with what they had by that day.
    """
    origin = columns.mean(axis=0) if len(columns) else np.zeros(columns.shape[1])
    now, width = columns - origin, columns.shape[1]
    before = None if earlier is None else np.nan_to_num(earlier - origin, nan=0.0)
    new = None if earlier is None else np.isnan(earlier[:, 0]).astype(np.float64)
    first, second = np.zeros((groups, width)), np.zeros((groups, width, width))
    varies = [place for place in range(width) if now[:, place].any()]  # a plain mean has one column, not three
    for i in varies:
        first[:, i] = _sums(group, now[:, i] if before is None else now[:, i] - before[:, i], groups)
        for j in varies[: varies.index(i) + 1]:
            products = now[:, i] * now[:, j]
            if before is not None:
                products -= before[:, i] * before[:, j]
            second[:, i, j] = second[:, j, i] = _sums(group, products, groups)
    return Moments(_sums(group, new, groups), first, second, origin)


def _sums(group: Codes, values: Floats | None, groups: int) -> Floats:
    return np.bincount(group, values, minlength=groups).astype(np.float64)
