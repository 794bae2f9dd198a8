"""What similar tastes chose: EASE and implicit ALS, fitted on the histories of a cut. New users are folded in.

Both end as one item matrix that a history row is multiplied with, through scipy's sparse kernels:
these sum row by row in a fixed order, where dense BLAS products give other bits for other batch shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Columns, DensePanel, Panel
from recommender.retrieval.seeds import Seeds
from recommender.retrieval.storage import matrix_arrays, matrix_from_arrays

__all__ = ["AlsConfig", "AlsGenerator", "EaseConfig", "EaseGenerator", "fit_als", "fit_ease"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EaseConfig:
    """`regularisation` λ on the Gram diagonal; `max_items`: EASE covers the most used items up to this many
    (its inverse takes O(items³): 3,650 take 1.2 s, 8,000 about 10 s, at every cut), ALS speaks for the rest;
    `kept_per_item`: strongest weights kept in each row, which makes the matrix sparse (100, 200 and 400 gave
    the same lists within a seed's noise; 100 loads and scores fastest).

    Two half-lives: what a history item weighs in the fit (`fit_half_life_days`), and as a seed of a score
    (`half_life_days`). On online_retail, new items, EASE alone: NDCG@10 .087 fitted on undecayed
    histories, .107 with 60 days, .117 to .125 with 14 to 30.
    """

    regularisation: float = 300.0
    max_items: int = 4_000
    kept_per_item: int = 100
    fit_half_life_days: float = 120.0
    half_life_days: float = 180.0


@dataclass(frozen=True)
class EaseGenerator:
    """EASE (Steck 2019, Embarrassingly Shallow Autoencoders): history row × item-item weights."""

    weights: sparse.csr_matrix
    config: EaseConfig = EaseConfig()
    name: str = "ease"  # also the prefix of its arrays: two fits live in one retriever

    def scores(self, batch: UserBatch) -> Panel:
        return batch.seeds(batch.history_fade(self.config.half_life_days)).follow(self.weights)

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return matrix_arrays(self.name, self.weights)

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[np.generic]], config: EaseConfig, name: str = "ease"
    ) -> EaseGenerator:
        return cls(matrix_from_arrays(name, arrays), config, name)


def fit_ease(batch: UserBatch, config: EaseConfig, name: str = "ease") -> EaseGenerator:
    """B = I − P / diag(P), P = (XᵀX + λI)⁻¹, over the batch's histories X, each item weighted by its age.

    Call with one BLAS thread: the bits of the inverse depend on the number of threads.
    """
    histories = batch.matrix(np.exp2(-batch.history_age_days / config.fit_half_life_days))
    chosen = _most_used(batch, config.max_items)
    part = histories[:, chosen]
    gram = np.asarray((part.T @ part).todense(), dtype=np.float32)
    gram[np.diag_indices_from(gram)] += config.regularisation
    weights = _ease_weights(gram)
    return EaseGenerator(_strongest(weights, chosen, len(batch.items), config.kept_per_item), config, name)


def _most_used(batch: UserBatch, count: int) -> npt.NDArray[np.int64]:
    """Up to `count` items that most histories hold, ascending; none that no history holds."""
    used = np.bincount(batch.history_item, minlength=len(batch.items))
    chosen = np.sort(np.argsort(-used, kind="stable")[:count])
    return chosen[used[chosen] > 0]


def _ease_weights(gram: Floats) -> Floats:
    """Closed form by Cholesky (potrf, potri): half the work of a general inverse."""
    if not len(gram):
        return gram
    factor, _ = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    lower, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(lower)
    inverse += np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights, dtype=np.float32)


def _strongest(weights: Floats, chosen: npt.NDArray[np.int64], n_items: int, kept: int) -> sparse.csr_matrix:
    """The `kept` largest |weight| of each row, in the index space of the whole item table."""
    size = np.abs(weights)
    if kept < len(weights):
        least = np.partition(size, len(weights) - kept, axis=1)[:, len(weights) - kept, None]
        weights = np.where(size >= least, weights, np.float32(0))
    rows, columns = np.nonzero(weights)
    parts = (weights[rows, columns], (chosen[rows], chosen[columns]))
    return sparse.csr_matrix(parts, shape=(n_items, n_items))


@dataclass(frozen=True)
class AlsConfig:
    """`factors`, `regularisation`, `iterations` and `confidence` (α) of implicit's ALS; half-lives as in EASE.

    `max_items`: the most used items that it covers; every user's scores are dense over these.
    """

    factors: int = 32
    max_items: int = 20_000
    regularisation: float = 5.0
    iterations: int = 8
    confidence: float = 10.0
    fit_half_life_days: float = 30.0
    half_life_days: float = 90.0


@dataclass(frozen=True)
class AlsGenerator:
    """Implicit ALS (Hu, Koren, Volinsky 2008) with users folded in by ridge regression.

    The vector of history row r is r·Y(YᵀY + λI)⁻¹: linear, so one product with `fold_in` (items ×
    factors), and it covers users the fit never saw. `item_factors` is factors × covered items, whose item
    indices are `chosen`, ascending.
    """

    fold_in: Floats
    item_factors: Floats
    chosen: npt.NDArray[np.int64]
    config: AlsConfig = AlsConfig()
    name: str = "als"

    def scores(self, batch: UserBatch) -> Panel:
        history = batch.seeds(batch.history_fade(self.config.half_life_days))
        people = Seeds.dense(history.fold(self.fold_in))
        return DensePanel(people.fold(self.item_factors), self._covered)

    @cached_property
    def _covered(self) -> Columns:
        return Columns.of(self.chosen, len(self.fold_in))

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {"als_fold_in": self.fold_in, "als_item_factors": self.item_factors, "als_chosen": self.chosen}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]], config: AlsConfig) -> AlsGenerator:
        fold_in = np.ascontiguousarray(arrays["als_fold_in"], dtype=np.float32)
        item_factors = np.ascontiguousarray(arrays["als_item_factors"], dtype=np.float32)
        return cls(fold_in, item_factors, arrays["als_chosen"].astype(np.int64), config)


def fit_als(batch: UserBatch, config: AlsConfig, seed: int) -> AlsGenerator:
    """Fit on confidence 1 + α·2^(−age / half-life); one thread, seeded, so the same bits every time."""
    from implicit.cpu.als import AlternatingLeastSquares

    confidence = config.confidence * np.exp2(-batch.history_age_days / config.fit_half_life_days)
    model = AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularisation,
        iterations=config.iterations,
        num_threads=1,
        random_state=seed,
    )
    chosen = _most_used(batch, config.max_items)
    model.fit(batch.matrix(confidence)[:, chosen], show_progress=False)
    factors = np.asarray(model.item_factors, dtype=np.float32)
    gram = factors.T.astype(np.float64) @ factors.astype(np.float64)
    gram[np.diag_indices_from(gram)] += config.regularisation
    fold_in = np.zeros((len(batch.items), config.factors), dtype=np.float32)
    fold_in[chosen] = np.linalg.solve(gram, factors.T.astype(np.float64)).T
    return AlsGenerator(fold_in, np.ascontiguousarray(factors.T), chosen, config)
