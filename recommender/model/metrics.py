"""Ranking metrics of each user's list, and what their means are worth. No lists are made here.

Every metric reads `hits`, bool (n_users, k): whether the item at rank 1 … k is relevant (False past the
end of a short list), and `relevant`, int (n_users): how many items were. It gives float64 (n_users), so
that systems can be compared user by user. A user without relevant items has no value (nan): leave such
users out, as the protocols of TARGETS do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Interval",
    "coverage",
    "hit_at",
    "hits_by_rank",
    "mean_interval",
    "ndcg_at",
    "paired_interval",
    "recall_at",
    "reciprocal_rank",
]

Hits = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def hits_by_rank(user_row: Counts, rank: Counts, is_relevant: Hits, n_users: int, k: int) -> Hits:
    """`hits` from list entries in any order: user row, rank from 1, whether the item is relevant."""
    hits = np.zeros((n_users, k), dtype=np.bool_)
    inside = rank <= k
    hits[user_row[inside], rank[inside] - 1] = is_relevant[inside]
    return hits


def recall_at(hits: Hits, relevant: Counts, k: int) -> Values:
    """|relevant items in the first k| / |relevant items|. With more than k relevant items 1 cannot be reached."""
    return _divided(hits[:, :k].sum(axis=1), relevant)


def ndcg_at(hits: Hits, relevant: Counts, k: int) -> Values:
    """Σ_{r ≤ k} hit_r / log₂(r + 1), over the same sum of an ideal list with min(k, |relevant|) hits on top.

    Järvelin and Kekäläinen 2002, binary gains. A list with every hit on top scores 1, however short.
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    shown = hits[:, :k]
    gained = np.where(shown, discount[: shown.shape[1]], 0.0).sum(axis=1)
    return _divided(gained, ideal[np.minimum(relevant, k)])


def reciprocal_rank(hits: Hits, relevant: Counts, k: int) -> Values:
    """1 / rank of the first hit; 0 when there is none in the first k. Its mean is MRR (Voorhees 1999)."""
    shown = hits[:, :k]
    found = np.where(shown.any(axis=1), 1.0 / (shown.argmax(axis=1) + 1.0), 0.0)
    return np.where(relevant > 0, found, np.nan)


def hit_at(hits: Hits, relevant: Counts, k: int) -> Values:
    """1 when any of the first k is relevant, else 0."""
    return np.where(relevant > 0, hits[:, :k].any(axis=1).astype(np.float64), np.nan)


def coverage(item_index: Counts, n_items: int) -> float:
    """Distinct items over all lists / items in the catalogue; 0 for an empty catalogue."""
    return len(np.unique(item_index)) / n_items if n_items else 0.0


@dataclass(frozen=True)
class Interval:
    """A mean with the percentile bootstrap interval around it (Efron 1979); users are the unit drawn."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def mean_interval(values: Values, seed: int, draws: int = 1_000, confidence: float = 0.95) -> Interval:
    """Interval of the mean over users; all zeros when there is no user. Seeded, so the same every time."""
    if not len(values):
        return Interval(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for start in range(0, draws, 100):  # 100 draws × 20,000 users × 8 bytes = 16 MB at a time
        rows = rng.integers(0, len(values), size=(min(100, draws - start), len(values)))
        means[start : start + len(rows)] = values[rows].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def paired_interval(ours: Values, theirs: Values, seed: int, draws: int = 1_000, confidence: float = 0.95) -> Interval:
    """Interval of the mean difference ours − theirs, the same users in both: what both find hard cancels out."""
    return mean_interval(ours - theirs, seed, draws, confidence)


def _divided(top: npt.NDArray[np.generic], bottom: npt.NDArray[np.generic]) -> Values:
    result = np.full(len(top), np.nan)
    np.divide(top, bottom, out=result, where=np.asarray(bottom) > 0)
    return result
