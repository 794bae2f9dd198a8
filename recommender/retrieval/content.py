"""What is alike in words, category, brand, price and attributes: works for an item that nobody has touched yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.item_vectors import ItemVectors, item_vectors
from recommender.retrieval.panels import Excluded, Panel, SparsePanel
from recommender.states import ItemTable

__all__ = ["ContentConfig", "ContentGenerator", "LikeRecentGenerator", "fit_content", "fit_like_recent"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

HEAD = 120  # of the items that the champion lists propose, this many are scored exactly
DENSE_CELLS = 8_000_000  # rows × features held densely while pairs are scored


@dataclass(frozen=True)
class ContentConfig:
    """`half_life_days` of a history item in the profile; `profile_features`: the strongest features that look for
    candidates (all of them score); `list_length`: items each of these is looked up in; `recent_items`: last distinct
    items that `like_recent` starts from."""

    half_life_days: float = 30.0
    profile_features: int = 64
    list_length: int = 1_000
    recent_items: int = 3


@dataclass(frozen=True)
class ContentGenerator:
    """Mean cosine of an item to the *other* items of the history, weighted by log(1 + strength) × 2^(−age / half-life).

    Linear in the item's vector: one profile a user, however long the history. An item of the history is not
    proposed, and its own share in the profile is taken out of its score.
    """

    vectors: ItemVectors
    config: ContentConfig = ContentConfig()
    name: str = "content"

    def scores(self, batch: UserBatch) -> Panel:
        weight = np.log1p(batch.history("strengths")) * np.exp2(-batch.history_age_days / self.config.half_life_days)
        weight *= self.vectors.is_described[batch.history_item]
        total = np.bincount(batch.history_user, weights=weight, minlength=len(batch))
        own = batch.matrix(weight / np.maximum(total, 1e-12)[batch.history_user])
        profiles = sparse.csr_matrix(own @ self.vectors.matrix)
        users = np.arange(len(batch))
        return _LikenessPanel(self.vectors, self._lists, profiles, users, len(batch), self.config, own)

    @cached_property
    def _lists(self) -> sparse.csr_matrix:
        return self.vectors.lists(self.config.list_length)

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}  # derived from the item table, which a bundle holds


@dataclass(frozen=True)
class LikeRecentGenerator:
    """Highest cosine of an item to one of the context's items; without a context, to one of the last items."""

    vectors: ItemVectors
    config: ContentConfig = ContentConfig()
    name: str = "like_recent"

    def scores(self, batch: UserBatch) -> Panel:
        user, item = self._seeds(batch)
        profiles = self.vectors.matrix[item]
        own = sparse.csr_matrix(
            (np.ones(len(item), np.float32), (np.arange(len(item)), item)), (len(item), len(batch.items))
        )
        return _LikenessPanel(self.vectors, self._lists, profiles, user, len(batch), self.config, own)

    def _seeds(self, batch: UserBatch) -> tuple[Integers, Integers]:
        """(user, item), the context's items where there are any, else the last distinct ones that were not skipped."""
        shown_user, shown = batch.context_items
        usual = ~batch.recent_is_skip & ~np.isin(batch.recent_user, shown_user)
        user = np.concatenate([shown_user, batch.recent_user[usual]])
        item = np.concatenate([shown, batch.recent_item[usual]])
        user, item = user[item >= 0], item[item >= 0]
        _, first = np.unique(user * len(batch.items) + item, return_index=True)
        first = np.sort(first)
        first = first[np.argsort(user[first], kind="stable")]
        user, item = user[first], item[first]
        place = np.arange(len(user)) - np.searchsorted(user, user)
        is_kept = place < self.config.recent_items
        return user[is_kept], item[is_kept]

    @cached_property
    def _lists(self) -> sparse.csr_matrix:
        return self.vectors.lists(self.config.list_length)

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}


@dataclass(frozen=True)
class _LikenessPanel:
    """Rows of `profiles` (n_rows, n_features) against all items; a user (`owner` of each row, ascending) scores an item
    by the best row. `own` (n_rows, n_items): what an item itself brought into a row, taken out of its score.

    Candidates come from champion lists, scores are exact: a pair costs as many products as its item has features.
    """

    vectors: ItemVectors
    lists: sparse.csr_matrix
    profiles: sparse.csr_matrix
    owner: Integers
    n_users: int
    config: ContentConfig
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
        row, feature = SparsePanel(self.profiles).top(self.config.profile_features, Excluded())
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


def fit_content(items: ItemTable, config: ContentConfig) -> ContentGenerator:
    return ContentGenerator(item_vectors(items), config)


def fit_like_recent(items: ItemTable, config: ContentConfig) -> LikeRecentGenerator:
    return LikeRecentGenerator(item_vectors(items), config)


def _counted(count: Integers) -> Integers:
    """0 … count − 1 for each count, one after the other."""
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
