"""Ranking metrics of each user's list, and what their means are worth. No lists are made here.

Every metric reads `hits`, bool (n_users, k): whether the item at rank 1 … k is relevant (False past the
end of a short list), and `relevant`, int (n_users): how many items were; graded ones read `gains`, float
(n_users, k), instead. It gives float64 (n_users), so that systems can be compared user by user. A user
without relevant items has no value (nan): leave such users out, as the protocols of TARGETS do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

__all__ = [
    "Interval",
    "average_precision",
    "gain_share",
    "gains_by_rank",
    "graded_ndcg",
    "hit_at",
    "intervals",
    "mean_interval",
    "ndcg_at",
    "paired_interval",
    "precision_at",
    "recall_at",
    "reciprocal_rank",
]

Hits = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

DRAWS_AT_A_TIME = 50  # 50 draws × 20,000 users × 8 bytes = 8 MB of weights


def gains_by_rank(user_row: Counts, rank: Counts, gain: Values, n_users: int, k: int) -> Values:
    """float64 (n_users, k) from list entries in any order: user row, rank from 1, what the item was worth."""
    gains = np.zeros((n_users, k))
    inside = rank <= k
    gains[user_row[inside], rank[inside] - 1] = gain[inside]
    return gains


def recall_at(hits: Hits, relevant: Counts, k: int) -> Values:
    """|relevant items in the first k| / |relevant items|. With more than k relevant items 1 cannot be reached."""
    return _divided(hits[:, :k].sum(axis=1), relevant)


def precision_at(hits: Hits, relevant: Counts, k: int) -> Values:
    """|relevant items in the first k| / k, whatever the length of the list."""
    return np.where(relevant > 0, hits[:, :k].sum(axis=1) / k, np.nan)


def ndcg_at(hits: Hits, relevant: Counts, k: int) -> Values:
    """Σ_{r ≤ k} hit_r / log₂(r + 1), over the same sum of an ideal list with min(k, |relevant|) hits on top.

    Järvelin and Kekäläinen 2002, binary gains. A list with every hit on top scores 1, however short.
    """
    ideal = np.concatenate([[0.0], np.cumsum(_discount(k))])
    return graded_ndcg(hits.astype(np.float64), ideal[np.minimum(relevant, k)], k)


def graded_ndcg(gains: Values, ideal: Values, k: int) -> Values:
    """Σ_{r ≤ k} gain_r / log₂(r + 1) over `ideal`, float64 (n_users): that sum with the highest gains on top.

    Järvelin and Kekäläinen 2002 with gains as given; of grades they are 2^grade − 1 (Burges et al. 2005).
    """
    shown = gains[:, :k]
    return _divided((shown * _discount(k)[: shown.shape[1]]).sum(axis=1), ideal)


def gain_share(gains: Values, total: Values, k: int) -> Values:
    """Σ_{r ≤ k} gain_r / Σ gains of everything relevant: with gains in money, the share of the spend captured."""
    return _divided(gains[:, :k].sum(axis=1), total)


def average_precision(hits: Hits, relevant: Counts, k: int) -> Values:
    """Σ_{r ≤ k} hit_r × precision@r, over min(k, |relevant|): its mean is MAP@k (Buckley and Voorhees 2000)."""
    shown = hits[:, :k]
    precision = np.cumsum(shown, axis=1) / np.arange(1, shown.shape[1] + 1)
    return _divided((precision * shown).sum(axis=1), np.minimum(relevant, k))


def reciprocal_rank(hits: Hits, relevant: Counts, k: int) -> Values:
    """1 / rank of the first hit; 0 when there is none in the first k. Its mean is MRR (Voorhees 1999)."""
    shown = hits[:, :k]
    found = np.where(shown.any(axis=1), 1.0 / (shown.argmax(axis=1) + 1.0), 0.0)
    return np.where(relevant > 0, found, np.nan)


def hit_at(hits: Hits, relevant: Counts, k: int) -> Values:
    """1 when any of the first k is relevant, else 0."""
    return np.where(relevant > 0, hits[:, :k].any(axis=1).astype(np.float64), np.nan)


@dataclass(frozen=True)
class Interval:
    """A mean with the percentile bootstrap interval around it (Efron 1979); users are the unit drawn."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def intervals(
    values: Values, seed: int, draws: int = 1_000, confidence: float = 0.95, owner: Counts | None = None
) -> list[Interval]:
    """One interval for each column of float64 (n_rows, m); nan where a row has no value.

    Rows are users, or belong to the users `owner`, int64 (n_rows) from 0: a user is then drawn with all rows,
    because a person's weeks are alike. Every column sees the same draws, a draw's mean is over the values in
    it; zeros for a column without any. Seeded; one BLAS thread, so that the same input gives the same bytes.
    """
    known = ~np.isnan(values)
    filled, held = np.where(known, values, 0.0), known.astype(np.float64)
    if owner is not None:
        filled, held = _by_owner(filled, owner), _by_owner(held, owner)
    n_users, width = filled.shape
    rng = np.random.default_rng(seed)
    middle = [float(values[known[:, place], place].mean()) if known[:, place].any() else 0.0 for place in range(width)]
    means = np.tile(np.asarray(middle), (draws, 1))  # what a draw says in which nobody has a value: nothing new
    with threadpool_limits(limits=1):
        for start in range(0, draws if n_users else 0, DRAWS_AT_A_TIME):
            count = min(DRAWS_AT_A_TIME, draws - start)
            drawn = rng.integers(0, n_users, size=(count, n_users)) + np.arange(count)[:, None] * n_users
            weights = np.bincount(drawn.ravel(), minlength=count * n_users).reshape(count, n_users).astype(np.float64)
            total, users = weights @ filled, weights @ held
            np.divide(total, users, out=means[start : start + count], where=users > 0)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0) if width else np.zeros((2, 0))
    return [Interval(*figures) for figures in zip(middle, low.tolist(), high.tolist(), strict=True)]


def mean_interval(values: Values, seed: int, draws: int = 1_000, confidence: float = 0.95) -> Interval:
    """Interval of the mean over users; all zeros when there is no user."""
    return intervals(values[:, None], seed, draws, confidence)[0]


def paired_interval(ours: Values, theirs: Values, seed: int, draws: int = 1_000, confidence: float = 0.95) -> Interval:
    """Interval of the mean difference ours − theirs, the same users in both: what both find hard cancels out."""
    return mean_interval(ours - theirs, seed, draws, confidence)


def _by_owner(values: Values, owner: Counts) -> Values:
    """Sum of each owner's rows."""
    sums = np.zeros((int(owner.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, owner, values)
    return sums


def _discount(k: int) -> Values:
    return np.asarray(1.0 / np.log2(np.arange(2, k + 2)))


def _divided(top: npt.NDArray[np.generic], bottom: npt.NDArray[np.generic]) -> Values:
    result = np.full(len(top), np.nan)
    np.divide(top, bottom, out=result, where=np.asarray(bottom) > 0)
    return result
