"""The models of `implicit`, fitted on how many baskets of a user held an item, as its documentation does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.ranking.datasets import Codes
from benchmarks.ranking.protocol import History, Scorer

__all__ = ["fit_als", "fit_bpr", "fit_cosine", "fit_tfidf"]

THREADS = 2


def fit_als(history: History, factors: int, regularization: float, alpha: float) -> Scorer:
    """Alternating least squares (Hu, Koren, Volinsky 2008)."""
    from implicit.cpu.als import AlternatingLeastSquares

    own = {"factors": factors, "regularization": regularization, "alpha": alpha}
    return _factors(partial(AlternatingLeastSquares, **own, random_state=0, num_threads=THREADS), history)


def fit_bpr(history: History, factors: int, learning_rate: float, regularization: float, iterations: int) -> Scorer:
    """Bayesian personalised ranking (Rendle et al. 2009); one thread, since its threads race."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    own = {"factors": factors, "learning_rate": learning_rate, "regularization": regularization}
    settled = {**own, "iterations": iterations, "random_state": 0, "num_threads": 1}
    return _factors(partial(BayesianPersonalizedRanking, **settled), history)


def fit_tfidf(history: History, neighbours: int) -> Scorer:
    """Item-kNN by TF-IDF."""
    from implicit.nearest_neighbours import TFIDFRecommender

    return _neighbours(TFIDFRecommender(K=neighbours, num_threads=THREADS), history)


def fit_cosine(history: History, neighbours: int) -> Scorer:
    """Item-kNN by cosine."""
    from implicit.nearest_neighbours import CosineRecommender

    return _neighbours(CosineRecommender(K=neighbours, num_threads=THREADS), history)


def _factors(make: Callable[[], Any], history: History) -> Scorer:
    with threadpool_limits(1, "blas"):  # its own threads call BLAS: implicit asks for this
        model = make()
        model.fit(sp.csr_matrix(history.counts), show_progress=False)

    def scores(rows: Codes) -> npt.NDArray[np.float32]:
        return np.asarray(model.user_factors[rows] @ model.item_factors.T)

    return scores


def _neighbours(model: Any, history: History) -> Scorer:
    counts = sp.csr_matrix(history.counts)
    model.fit(counts, show_progress=False)

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        return np.asarray((counts[rows] @ model.similarity).toarray())

    return scores
