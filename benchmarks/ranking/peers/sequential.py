"""Sequential methods that run without a deep-learning framework: a basket Markov chain and nearest sessions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from benchmarks.ranking.datasets import Codes
from benchmarks.ranking.protocol import History, Scorer

__all__ = ["fit_markov", "fit_vsknn", "transitions"]


def transitions(history: History, shrinkage: float) -> sp.csr_array:
    """(items, items): of the baskets with item i that had a successor, the share whose successor holds item j.

    `shrinkage` is added to the number of baskets, so that a rare item does not promise certainty.
    """
    key = np.cumsum(history.baskets)[history.user] - 1 - history.age  # a user's baskets in order, users one by one
    ones = np.ones(len(key))
    shape = (int(history.baskets.sum()), len(history.items))
    basket = sp.coo_array((ones, (key, history.item)), shape=shape).tocsr()
    followed = np.ones(shape[0], dtype=bool)
    followed[np.cumsum(history.baskets) - 1] = False
    earlier = np.flatnonzero(followed)
    together = (basket[earlier].T @ basket[earlier + 1]).tocsr()
    times = np.asarray(basket[earlier].sum(axis=0)).ravel() + shrinkage
    return sp.diags_array(1 / np.maximum(times, 1.0)) @ together


def fit_markov(history: History, last: int, decay: float, shrinkage: float) -> Scorer:
    """First-order Markov chain over baskets (Rendle, Freudenthaler, Schmidt-Thieme 2010, without factors):
    Σ over the items of the `last` baskets of decay ** age × the chance that the next basket holds j."""
    step = transitions(history, shrinkage).tocsr()
    query = history.weighted(np.where(history.age < last, decay**history.age, 0.0))
    query.eliminate_zeros()

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        return np.asarray((query[rows] @ step).toarray())

    return scores


def fit_vsknn(history: History, last: int, neighbours: int, idf: float) -> Scorer:
    """V-SKNN (Ludewig, Jannach 2018), a basket as a session: what the baskets most like a user's `last` ones hold.

    The user's baskets weigh less linearly with age; similarity is the weighted overlap over √|basket|; an item's
    vote is multiplied by 1 + `idf` × log(baskets / baskets with it).
    """
    distinct, row = np.unique(history.basket, return_inverse=True)
    ones = np.ones(len(row))
    sessions = sp.coo_array((ones, (row, history.item)), shape=(len(distinct), len(history.items))).tocsr()
    sizes = np.diff(sessions.indptr)
    scaled = (sp.diags_array(1 / np.sqrt(sizes)) @ sessions).T.tocsr()
    weight = np.maximum(1 - history.age / last, 0.0)
    query = history.weighted(weight)
    query.eliminate_zeros()
    rarity = 1 + idf * np.log(len(distinct) / np.asarray(sessions.sum(axis=0)).ravel())
    near_count = min(neighbours, len(distinct))

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        similarity = (query[rows] @ scaled).toarray()
        near = np.argpartition(-similarity, near_count - 1, axis=1)[:, :near_count]
        votes = np.take_along_axis(similarity, near, axis=1).ravel()
        at = (np.repeat(np.arange(len(rows)), near_count), near.ravel())
        nearest = sp.coo_array((votes, at), shape=similarity.shape).tocsr()
        return np.asarray((nearest @ sessions).toarray() * rarity)

    return scores
