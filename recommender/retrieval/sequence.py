"""What comes after what, as vectors: items that stand near each other in people's sequences are near each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.events import DAY_MS
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.item_vectors import ItemVectors, item_vectors
from recommender.retrieval.panels import Columns, DensePanel, Panel
from recommender.retrieval.seeds import Seeds, seed_room
from recommender.retrieval.weights import scale_to_one, weigh_mind
from recommender.states import ItemTable

__all__ = ["SequenceConfig", "SequenceGenerator", "fit_sequence", "suggested_vectors"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SequenceConfig:
    """`window`: so many steps apart two events are neighbours, weighing 1 / steps × 2^(−days apart / `gap_days`);
    `smoothing` of the neighbours' frequencies (0.75: Levy, Goldberg, Dagan 2015); `min_events`: below, an item's
    vector comes from its content; `half_life_events` and `half_life_days` of a recent event in the present mind;
    `max_items`: the most popular and the newest ones that it covers."""

    factors: int = 48
    window: int = 5
    gap_days: float = 7.0
    smoothing: float = 0.75
    min_events: int = 3
    half_life_events: float = 3.0
    half_life_days: float = 7.0
    max_items: int = 20_000
    ridge: float = 1.0


@dataclass(frozen=True)
class SequenceGenerator:
    """Cosine of an item to the decayed mean of the last events, or to the context's items where there are any.

    Vectors are the truncated SVD of positive pointwise mutual information (Levy and Goldberg 2014: what word2vec
    factorises implicitly), deterministic where sampled training is not. `vectors` float32 (n_items, factors), of
    length 1 or 0; `chosen` the covered items, ascending.
    """

    vectors: Floats
    chosen: Integers
    config: SequenceConfig = SequenceConfig()
    name: str = "sequence"

    def scores(self, batch: UserBatch) -> Panel:
        people = self._mind(batch).fold(self.vectors)
        scale_to_one(people)
        seeds = Seeds.dense(people)
        return DensePanel(np.maximum(seeds.fold(self._covered), np.float32(0)), self._columns)

    @cached_property
    def _columns(self) -> Columns:
        return Columns.of(self.chosen, len(self.vectors))

    @cached_property
    def _covered(self) -> Floats:
        return np.ascontiguousarray(self.vectors[self.chosen].T)

    def _mind(self, batch: UserBatch) -> Seeds:
        """What each of the latest events weighs."""
        shown = batch.context_items[1]
        seeds, weights, bounds = seed_room(len(batch), len(batch.recent_item) + len(shown))
        weigh_mind(
            batch.recent_offsets,
            batch.recent_item,
            batch.recent_ms,
            batch.recent_is_skip,
            batch.context_offsets,
            shown,
            batch.at_ms,
            self.config.half_life_events,
            self.config.half_life_days,
            seeds,
            weights,
            bounds,
        )
        return Seeds(seeds[: bounds[-1]], weights[: bounds[-1]], bounds, len(batch.items))

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {"sequence_vectors": self.vectors[self.chosen], "sequence_chosen": self.chosen}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[np.generic]], items: ItemTable, config: SequenceConfig
    ) -> SequenceGenerator:
        chosen = arrays["sequence_chosen"].astype(np.int64)
        return cls(_spread(arrays["sequence_vectors"].astype(np.float32), chosen, len(items)), chosen, config)


def fit_sequence(batch: UserBatch, items: ItemTable, config: SequenceConfig, seed: int = 0) -> SequenceGenerator:
    """From the recent events of the cut's users; call with one BLAS thread. Items with too few events get the vector
    that their content suggests."""
    content = item_vectors(items)
    chosen = np.sort(np.argsort(content.merit, kind="stable")[: config.max_items])
    place = np.full(len(items), -1)
    place[chosen] = np.arange(len(chosen))
    counts, events = _neighbours(batch, place, len(chosen), config)
    vectors = _embedded(_information(counts, config.smoothing), config.factors, seed)
    is_seen = (events >= config.min_events) & (np.abs(vectors).sum(axis=1) > 0)
    vectors = _of_length_one(vectors)
    vectors = np.where(is_seen[:, None], vectors, _suggested(content, chosen, vectors, is_seen, config.ridge))
    return SequenceGenerator(_spread(vectors.astype(np.float32), chosen, len(items)), chosen, config)


def _neighbours(
    batch: UserBatch, place: Integers, width: int, config: SequenceConfig
) -> tuple[sparse.csr_matrix, Integers]:
    """How often two covered items stand near each other, symmetric, and the events of each."""
    item = np.where(batch.recent_is_skip | (batch.recent_item < 0), -1, place[batch.recent_item])
    kept = item >= 0
    user, item, at = batch.recent_user[kept], item[kept], batch.users.flat_integers("recent_ms")[kept]
    total = sparse.csr_matrix((width, width), dtype=np.float64)
    for steps in range(1, config.window + 1):
        near = np.flatnonzero((user[steps:] == user[:-steps]) & (item[steps:] != item[:-steps]))
        days = np.abs(at[near + steps] - at[near]) / DAY_MS
        weight = np.exp2(-days / config.gap_days) / steps
        total = total + sparse.csr_matrix((weight, (item[near], item[near + steps])), shape=(width, width))
    return (total + total.T).tocsr(), np.bincount(item, minlength=width)


def _information(counts: sparse.csr_matrix, smoothing: float) -> sparse.csr_matrix:
    """Positive pointwise mutual information: max(0, log(count(a, b) × total / (count(a) × smoothed(b))))."""
    margin = np.asarray(counts.sum(axis=1)).ravel()
    smooth = margin**smoothing
    smooth *= margin.sum() / max(smooth.sum(), 1e-12)
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    ratio = counts.data * margin.sum() / (margin[row] * smooth[counts.indices])
    found = sparse.csr_matrix((np.maximum(np.log(ratio), 0.0), counts.indices, counts.indptr), shape=counts.shape)
    found.eliminate_zeros()
    return found


def _embedded(information: sparse.csr_matrix, factors: int, seed: int) -> npt.NDArray[np.float64]:
    """Left singular vectors × √(singular values), by subspace iteration from a seeded start (Halko, Martinsson, Tropp
    2011): scipy's svds draws new vectors where singular values are equal, other ones in every run."""
    n = information.shape[0]
    vectors = np.zeros((n, factors))
    if n < 2 or not information.nnz:
        return vectors
    basis = np.random.default_rng(seed).standard_normal((n, min(factors + 8, n)))
    for _ in range(5):
        basis, _ = np.linalg.qr(information @ (information.T @ basis))
    left, values, _ = np.linalg.svd((information.T @ basis).T, full_matrices=False)
    rank = min(factors, len(values))
    vectors[:, :rank] = (basis @ left[:, :rank]) * np.sqrt(values[:rank])
    return vectors


def _suggested(
    content: ItemVectors,
    chosen: Integers,
    vectors: npt.NDArray[np.float64],
    is_seen: npt.NDArray[np.bool_],
    ridge: float,
) -> npt.NDArray[np.float64]:
    """Vectors from content, by the ridge regression of the seen items' vectors on their content (Gantner et al. 2010),
    solved by conjugate gradients: 20 steps of sparse products, whatever the number of features."""
    features = content.matrix[chosen].astype(np.float64)
    return _of_length_one(np.asarray(features @ _regressed(features[is_seen.nonzero()[0]], vectors[is_seen], ridge)))


def suggested_vectors(generator: SequenceGenerator, content: ItemVectors, later: sparse.csr_matrix) -> Floats:
    """Vectors float32 (n, factors) that content suggests for items that the generator was not fitted with.

    `content`: that of its items; `later`: rows of the same features. The regression is made anew, once for a generator
    (0.3 s for 20,000 items), on all covered items: which of them were seen often enough is not kept, and the others'
    vectors lie where it put them.
    """
    made = vars(generator)
    if "_content_weights" not in made:
        known = generator.chosen[np.abs(generator.vectors[generator.chosen]).sum(axis=1) > 0]
        features, vectors = content.matrix[known].astype(np.float64), generator.vectors[known].astype(np.float64)
        made["_content_weights"] = _regressed(features, vectors, generator.config.ridge).astype(np.float32)
    weights = made["_content_weights"]
    return _of_length_one(np.asarray(later.astype(np.float64) @ weights)).astype(np.float32)


def _regressed(known: sparse.csr_matrix, vectors: npt.NDArray[np.float64], ridge: float) -> npt.NDArray[np.float64]:
    """Weights (n_features, factors) that take the features of each row to its vector."""
    target = known.T @ vectors
    weights = np.zeros_like(target)
    rest, direction = target.copy(), target.copy()
    size = (rest**2).sum(axis=0)
    for _ in range(20):
        image = known.T @ (known @ direction) + ridge * direction
        step = size / np.maximum((direction * image).sum(axis=0), 1e-30)
        weights += step * direction
        rest -= step * image
        size, before = (rest**2).sum(axis=0), size
        direction = rest + size / np.maximum(before, 1e-30) * direction
    return np.asarray(weights)


def _of_length_one(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = np.sqrt((vectors**2).sum(axis=1))
    return np.where(length[:, None] > 1e-9, vectors / np.maximum(length, 1e-9)[:, None], 0.0)


def _spread(vectors: Floats, chosen: Integers, n_items: int) -> Floats:
    """Vectors of the covered items in the index space of all."""
    whole = np.zeros((n_items, vectors.shape[1]), dtype=np.float32)
    whole[chosen] = vectors
    return whole
