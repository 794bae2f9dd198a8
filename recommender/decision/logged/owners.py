"""What one owner's rows weigh together: sums and standard errors of means. Who owns a row is read in `bandit_log`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["standard_error", "sums_by_owner"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def sums_by_owner(values: Floats, owner: Codes | None) -> Floats:
    """float64 (owners, m) from (n, m): rows of one person, or of one row logged twice, are not so many witnesses.

    `owner` int64 (n) from 0; None: every row is its own.
    """
    if owner is None:
        return values
    _, place = np.unique(owner, return_inverse=True)
    return np.column_stack([np.bincount(place, weights=column) for column in values.T])


def standard_error(values: Floats, owner: Codes | None) -> float:
    """Standard error of the mean of float64 (n), where the rows of one owner are one draw."""
    sums = sums_by_owner((values - values.mean())[:, None], owner)[:, 0]
    return float(np.sqrt(sums @ sums) / len(values))
