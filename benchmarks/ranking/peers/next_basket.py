"""Next-basket methods, written from their papers' definitions: TIFU-KNN and UP-CF."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from benchmarks.ranking.datasets import Codes
from benchmarks.ranking.protocol import History, Scorer

__all__ = ["fit_tifu_knn", "fit_up_cf", "temporal_frequency", "user_popularity"]


def temporal_frequency(history: History, group: int, within: float, between: float) -> sp.csr_array:
    """Each user's vector of TIFU-KNN (Hu, He, Gao, Zhang 2020, equations 1 to 3).

    Baskets form groups of `group`, counted back from the latest; the oldest group may be smaller. A basket counts
    `within` ** (place in its group), averaged over the group; a group `between` ** (its place), averaged over groups.
    """
    nth, place = history.age // group, history.age % group
    baskets = history.baskets[history.user]
    members = np.minimum(group, baskets - nth * group)
    groups = -(-baskets // group)
    return history.weighted(within**place / members * between**nth / groups)


def fit_tifu_knn(
    history: History, neighbours: int, group: int, within: float, between: float, own_share: float
) -> Scorer:
    """`own_share` × the user's vector + the rest × the mean of the `neighbours` nearest (Euclidean) others'."""
    vectors = temporal_frequency(history, group, within, between)
    squares = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    neighbours = min(neighbours, vectors.shape[0] - 1)

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        own = vectors[rows]
        distance = squares[None, :] - 2 * (own @ vectors.T).toarray()  # its own square is the same for all others
        distance[np.arange(len(rows)), rows] = np.inf
        if not neighbours:
            return np.asarray(own.toarray())
        near = np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]
        at = (np.repeat(np.arange(len(rows)), neighbours), near.ravel())
        mean = sp.coo_array((np.full(near.size, 1 / neighbours), at), shape=(len(rows), vectors.shape[0])).tocsr()
        return np.asarray((own_share * own + (1 - own_share) * (mean @ vectors)).toarray())

    return scores


def user_popularity(history: History, recency: int) -> sp.csr_array:
    """Share of a user's last `recency` baskets (or of all, if fewer) that hold an item (UP-CF, equation 3)."""
    shown = np.minimum(history.baskets, recency)[history.user]
    popularity = history.weighted((history.age < recency) / shown)
    popularity.eliminate_zeros()
    return popularity


def fit_up_cf(history: History, recency: int, asymmetry: float, locality: float) -> Scorer:
    """UP-CF (Faggioli, Polato, Aiolli 2020): Σ over users v of similarity(u, v) ** locality × popularity of v.

    Similarity is the asymmetric cosine of the sets of items ever bought, |u ∩ v| / (|u| ** a × |v| ** (1 - a)); the
    user is among the v with similarity 1.
    """
    popularity = user_popularity(history, recency)
    owned = history.owned.astype(np.float64)
    sizes = np.asarray(owned.sum(axis=1)).ravel()

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        shared = (owned[rows] @ owned.T).tocsr()
        of_row = np.repeat(rows, np.diff(shared.indptr))
        shared.data /= sizes[of_row] ** asymmetry * sizes[shared.indices] ** (1 - asymmetry)
        shared.data **= locality
        return np.asarray((shared @ popularity).toarray())

    return scores
