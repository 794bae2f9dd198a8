"""Quantities that may not exist: days since something, and ratios. Of whom or of what is not known here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS

__all__ = ["days_between", "ratio"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def days_between(then: Integers, now: Integers) -> Floats:
    """Days from `then` to `now`, at least 0; nan where `then` is 0 (never)."""
    days = np.maximum(now - then, 0) / DAY_MS
    days[then <= 0] = np.nan
    return np.asarray(days)


def ratio(top: npt.NDArray[np.generic], bottom: npt.NDArray[np.generic]) -> Floats:
    """top / bottom, nan where the bottom is 0."""
    share = np.full(len(top), np.nan)
    np.divide(top, bottom, out=share, where=np.asarray(bottom) > 0)
    return share
