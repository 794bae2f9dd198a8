"""The two systems that need no model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.ranking.datasets import Codes
from benchmarks.ranking.protocol import History, Scorer

__all__ = ["fit_own_frequency", "fit_popularity"]


def fit_popularity(history: History) -> Scorer:
    """Lines bought in the last 28 days, the same for everybody."""

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        return np.tile(history.popularity, (len(rows), 1))

    return scores


def fit_own_frequency(history: History) -> Scorer:
    """Baskets in which a user bought the item, the more popular first among equals, filled up with the popular."""
    below_one = history.popularity / (2 * max(history.popularity.max(), 1.0))

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        return np.asarray(history.counts[rows].toarray() + below_one)

    return scores
