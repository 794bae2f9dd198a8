"""Scores of likeness, exact for any pair, over candidates that short lists propose. What a profile is made of is not
known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.best_places import best_of_row
from recommender.retrieval.item_vectors import ItemVectors
from recommender.retrieval.panels import DENSE_ITEMS, Excluded, Panel, SparsePanel
from recommender.retrieval.row_products import cosines, entries_of, summed
from recommender.retrieval.seeds import Seeds

__all__ = ["LikenessPanel", "LikenessRow", "distinct"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

HEAD = 120  # of the items that the champion lists propose, this many are scored exactly
DENSE_CELLS = 8_000_000  # rows × features held densely while pairs are scored


@dataclass(frozen=True)
class LikenessPanel:
    """Rows of `profiles` (n_rows, n_features) against all items; a user (`owner` of each row, ascending) scores an item
    by the best row. `own` (n_rows, n_items): what an item itself brought into a row, taken out of its score.

    Candidates come from champion lists, scores are exact: a pair costs as many products as its item has features.
    """

    vectors: ItemVectors
    lists: sparse.csr_matrix
    profiles: sparse.csr_matrix
    owner: Integers
    n_users: int
    profile_features: int
    own: sparse.csr_matrix

    def top(self, limit: int, excluded: Excluded) -> tuple[Integers, Integers]:
        user, item, score = self._head if not excluded else self._proposed(max(limit, HEAD), excluded)
        order = np.lexsort((item, -score, user))
        place = np.arange(len(order)) - np.searchsorted(user[order], user[order])
        chosen = order[(place < limit) & (score[order] > 0)]
        return user[chosen], item[chosen]

    def at(self, user: Integers, item: Integers) -> Floats:
        first, count = self._rows_of(user)
        found = np.zeros(len(user), dtype=np.float32)
        for nth in range(int(count.max(initial=0))):
            has = np.flatnonzero(count > nth)
            found[has] = np.maximum(found[has], self._exact(first[has] + nth, item[has]))
        return found

    def best(self) -> Floats:
        user, _, score = self._head
        highest = np.zeros(self.n_users, dtype=np.float32)
        np.maximum.at(highest, user, score)
        return highest

    @cached_property
    def _head(self) -> tuple[Integers, Integers, Floats]:
        return self._proposed(HEAD, Excluded())

    def _proposed(self, limit: int, excluded: Excluded) -> tuple[Integers, Integers, Floats]:
        """Each user's candidates, ascending, with their exact scores."""
        n_items = self.lists.shape[1]
        own_row, own_item = self.own.nonzero()
        pairs = (own_row, own_item) if excluded.pairs is None else self._and_excluded(own_row, own_item, excluded.pairs)
        row, item = self._by_lists.top(limit, Excluded(excluded.items, pairs))
        key = np.unique(self.owner[row] * n_items + item)
        user, item = np.divmod(key, max(n_items, 1))
        return user, item, self.at(user, item)

    def _and_excluded(
        self, row: Integers, item: Integers, pairs: tuple[Integers, Integers]
    ) -> tuple[Integers, Integers]:
        first, count = self._rows_of(pairs[0])
        rows = np.repeat(first, count) + _counted(count)
        return np.concatenate([row, rows]), np.concatenate([item, np.repeat(pairs[1], count)])

    @cached_property
    def _by_lists(self) -> Panel:
        """Scores over the strongest features of each row and the champions of each: enough to find candidates."""
        row, feature = SparsePanel(self.profiles).top(self.profile_features, Excluded())
        values = SparsePanel(self.profiles).at(row, feature)
        short = sparse.csr_matrix((values, (row, feature)), shape=self.profiles.shape)
        return SparsePanel(sparse.csr_matrix(short @ self.lists))

    def _rows_of(self, user: Integers) -> tuple[Integers, Integers]:
        """First row of each user, and how many there are."""
        bounds = np.searchsorted(self.owner, np.arange(self.n_users + 1))
        return bounds[user], np.diff(bounds)[user]

    def _exact(self, row: Integers, item: Integers) -> Floats:
        """Profile × item of each pair, without what the item itself brought."""
        found = np.zeros(len(row), dtype=np.float64)
        order = np.argsort(row, kind="stable")
        step = max(1, DENSE_CELLS // max(self.profiles.shape[1], 1))
        for start in range(0, self.profiles.shape[0], step):
            low, high = np.searchsorted(row[order], [start, start + step])
            chosen = order[low:high]
            dense = self.profiles[start : start + step].toarray()
            part = self.vectors.matrix[item[chosen]]
            pair = np.repeat(np.arange(len(chosen)), np.diff(part.indptr))
            products = dense[row[chosen][pair] - start, part.indices] * part.data
            # bincount adds one by one in the order of the features: the same bits in every batch.
            found[chosen] = np.bincount(pair, weights=products, minlength=len(chosen))
        own = SparsePanel(self.own).at(row, item).astype(np.float64)
        return np.maximum(found - own, 0.0).astype(np.float32)


@dataclass(frozen=True)
class _Profile:
    """One row of a person: `weights` float32 (n_features), `own` what each item itself brought, `by_lists` the scores
    over the champion lists of its strongest features."""

    weights: Floats
    own: Panel
    own_items: Integers
    by_lists: Panel

    @classmethod
    def of(cls, vectors: ItemVectors, lists: sparse.csr_matrix, seeds: Seeds, features: int) -> _Profile:
        weights, width = summed(vectors.matrix, seeds.rows, seeds.weights), vectors.matrix.shape[1]
        # A large catalogue has 100,000 words and more, a profile some hundreds of them.
        is_narrow = width <= DENSE_ITEMS
        used = np.flatnonzero(weights) if is_narrow else distinct(entries_of(vectors.matrix, seeds.rows))
        strongest = used[best_of_row(weights[used], features)]
        bounds = np.array([0, len(strongest)])
        by_lists = Seeds(strongest, weights[strongest], bounds, width).follow(lists)
        return cls(weights, seeds.panel(), seeds.rows[seeds.weights != 0].astype(np.int64), by_lists)


@dataclass(frozen=True)
class LikenessRow:
    """`LikenessPanel` for one person, with the same bits and without scipy's objects."""

    vectors: ItemVectors
    profiles: tuple[_Profile, ...]

    @classmethod
    def of(cls, vectors: ItemVectors, lists: sparse.csr_matrix, rows: Sequence[Seeds], features: int) -> LikenessRow:
        """From the weighted items of each row; `features`: the strongest of a row that look for candidates."""
        return cls(vectors, tuple(_Profile.of(vectors, lists, seeds, features) for seeds in rows))

    def top(self, limit: int, excluded: Excluded) -> tuple[Integers, Integers]:
        item, score = self._head if not excluded else self._proposed(max(limit, HEAD), excluded)
        chosen = item[best_of_row(score, limit)]
        return np.zeros(len(chosen), dtype=np.int64), chosen

    def at(self, user: Integers, item: Integers) -> Floats:
        highest = np.zeros(len(item), dtype=np.float32)
        for profile in self.profiles:
            cosines(self.vectors.matrix, item, profile.weights, profile.own.at(user, item), highest)
        return highest

    def best(self) -> Floats:
        return np.array([self._head[1].max(initial=0)], dtype=np.float32)

    @cached_property
    def _head(self) -> tuple[Integers, Floats]:
        return self._proposed(HEAD, Excluded())

    def _proposed(self, limit: int, excluded: Excluded) -> tuple[Integers, Floats]:
        """Candidates, ascending, with their exact scores."""
        found = [np.zeros(0, dtype=np.int64)]
        for profile in self.profiles:
            without = profile.own_items
            if excluded.pairs is not None:
                without = np.concatenate([without, excluded.pairs[1]])
            pairs = (np.zeros(len(without), dtype=np.int64), without)
            found.append(profile.by_lists.top(limit, Excluded(excluded.items, pairs))[1])
        items = distinct(np.concatenate(found))
        return items, self.at(np.zeros(len(items), dtype=np.int64), items)


def _counted(count: Integers) -> Integers:
    """0 … count − 1 for each count, one after the other."""
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)


def distinct(values: npt.NDArray[np.integer]) -> Integers:
    """Ascending, each once. `np.unique` hashes first: five times slower for a few hundred."""
    ordered = np.sort(values.astype(np.int64, copy=False))
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
