"""How alike single items are to all others, worked out when first asked for and kept. Nothing of a person enters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.best_places import best_of_row, first_without
from recommender.retrieval.item_vectors import ItemVectors
from recommender.retrieval.likeness import HEAD, distinct
from recommender.retrieval.panels import Excluded
from recommender.retrieval.row_products import cosines
from recommender.retrieval.seeds import Seeds

__all__ = ["ItemLikeness", "LikeItem", "LikeItems"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

KEPT_BYTES = 32_000_000  # of a generator in each process: all of 2,000 items, the 1,000 latest of 4,000
# Where fewer could be kept most are made anew: with 10,000 items, 400 kept, a decision took 1.27 ms or more of
# processor time, with what the present person needs alone 0.96 to 1.12; with 4,000, 1,000 kept, 0.62 and 0.75.
LEAST_SHARE = 0.25


@dataclass(frozen=True)
class LikeItem:
    """One item beside all: `exact` float32 (n_items) its likeness, without what the item brought to itself; `order`
    int32 the others as the champion lists propose them, the best first, of equals the lower index."""

    exact: Floats
    order: npt.NDArray[np.int32]

    @cached_property
    def head(self) -> Integers:
        """What is proposed where nothing is excluded."""
        return self.order[:HEAD].astype(np.int64)

    def proposed(self, limit: int, excluded: Excluded) -> Integers:
        """The first `limit` that are not excluded."""
        return first_without(self.order, limit, excluded.by_one(len(self.exact)))


@dataclass(frozen=True)
class LikeItems:
    """The panel of one person, who scores an item by the likest of some: the bits of `LikenessPanel`."""

    seeds: Sequence[LikeItem]

    def top(self, limit: int, excluded: Excluded) -> tuple[Integers, Integers]:
        found = [np.zeros(0, dtype=np.int64), *(seed.proposed(max(limit, HEAD), excluded) for seed in self.seeds)]
        item = distinct(np.concatenate(found))
        chosen = item[best_of_row(self.at(item, item), limit)]
        return np.zeros(len(chosen), dtype=np.int64), chosen

    def at(self, user: Integers, item: Integers) -> Floats:
        if not self.seeds:
            return np.zeros(len(item), dtype=np.float32)
        highest: Floats = self.seeds[0].exact[item]
        for seed in self.seeds[1:]:
            np.maximum(highest, seed.exact[item], out=highest)
        return highest

    def best(self) -> Floats:
        if not self.seeds:
            return np.zeros(1, dtype=np.float32)
        heads = self.seeds[0].head if len(self.seeds) == 1 else np.concatenate([seed.head for seed in self.seeds])
        return np.asarray(self.at(heads, heads).max(initial=0, keepdims=True), dtype=np.float32)


class ItemLikeness:
    """`of` an item costs some 0.1 ms the first time, nothing after that: of the people who come one after the other
    many looked at the same items, and what they are like changes with the catalogue alone."""

    def __init__(self, vectors: ItemVectors, lists: sparse.csr_matrix, features: int) -> None:
        """`lists`: champions of each feature, as `ItemVectors.lists`; `features`: as many of an item look in them."""
        self._vectors, self._lists, self._features = vectors, lists, features
        self._kept: dict[int, LikeItem] = {}
        self._making = threading.Lock()  # one making at a time: the shadow's thread asks, too
        self._most = max(1, _room(vectors))

    @staticmethod
    def suits(vectors: ItemVectors) -> bool:
        """Whether enough of the catalogue can be kept."""
        return _room(vectors) >= LEAST_SHARE * len(vectors.merit)

    def of(self, item: int) -> LikeItem:
        """See LikeItem."""
        found = self._kept.get(item)
        if found is None:
            with self._making:
                found = self._made(item)
                while len(self._kept) >= self._most:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[item] = found
        return found

    def _made(self, item: int) -> LikeItem:
        matrix, n_items = self._vectors.matrix, len(self._vectors.merit)
        own = slice(matrix.indptr[item], matrix.indptr[item + 1])
        features, weights = matrix.indices[own], matrix.data[own]
        profile, own_share = np.zeros(matrix.shape[1], dtype=np.float32), np.zeros(n_items, dtype=np.float32)
        profile[features], own_share[item] = weights, 1.0
        exact = np.zeros(n_items, dtype=np.float32)
        cosines(matrix, np.arange(n_items), profile, own_share, exact)
        strongest = best_of_row(weights, self._features)
        bounds = np.array([0, len(strongest)])
        panel = Seeds(features[strongest], weights[strongest], bounds, matrix.shape[1]).follow(self._lists)
        scores = panel.at(np.zeros(n_items, dtype=np.int64), np.arange(n_items))
        scores[item] = 0
        return LikeItem(exact, _highest_first(scores))


def _room(vectors: ItemVectors) -> int:
    """How many items can be kept beside all others."""
    return KEPT_BYTES // (8 * max(len(vectors.merit), 1))


def _highest_first(scores: Floats) -> npt.NDArray[np.int32]:
    """The places of the positive scores, the highest first, of equals the lower place.

    The bits of positive floats are in their order; with the place behind them no two keys are equal, so numpy's
    quickest sort does what a stable one would.
    """
    positive = np.flatnonzero(scores > 0)
    keys = (-scores[positive].view(np.int32).astype(np.int64) << 32) + positive
    keys.sort()
    return (keys & 0xFFFFFFFF).astype(np.int32)
