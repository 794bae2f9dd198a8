"""What is alike in words, category, brand, price and attributes: works for an item that nobody has touched yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.item_likeness import ItemLikeness, LikeItems
from recommender.retrieval.item_vectors import ItemVectors, item_vectors
from recommender.retrieval.likeness import LikenessPanel, LikenessRow
from recommender.retrieval.panels import Panel
from recommender.retrieval.seeds import Seeds
from recommender.states import ItemTable

__all__ = ["ContentConfig", "ContentGenerator", "LikeRecentGenerator", "fit_content", "fit_like_recent"]

Integers = npt.NDArray[np.int64]


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
        seeds = batch.taste(self.config.half_life_days, self.vectors.is_described[batch.history_item])
        if len(batch) == 1:
            return LikenessRow.of(self.vectors, self._lists, [seeds], self.config.profile_features)
        own = seeds.matrix()
        profiles = sparse.csr_matrix(own @ self.vectors.matrix)
        users = np.arange(len(batch))
        features = self.config.profile_features
        return LikenessPanel(self.vectors, self._lists, profiles, users, len(batch), features, own)

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
        features = self.config.profile_features
        if len(batch) == 1 and self._known is not None:
            return LikeItems([self._known.of(one) for one in item.tolist()])
        if len(batch) == 1:
            one, bounds = np.ones(1, dtype=np.float32), np.array([0, 1])
            seeds = [Seeds(item[row : row + 1], one, bounds, len(batch.items)) for row in range(len(item))]
            return LikenessRow.of(self.vectors, self._lists, seeds, features)
        profiles = self.vectors.matrix[item]
        own = sparse.csr_matrix(
            (np.ones(len(item), np.float32), (np.arange(len(item)), item)), (len(item), len(batch.items))
        )
        return LikenessPanel(self.vectors, self._lists, profiles, user, len(batch), features, own)

    def _seeds(self, batch: UserBatch) -> tuple[Integers, Integers]:
        """(user, item), the context's items where there are any, else the last distinct ones that were not skipped."""
        shown_user, shown = batch.context_items
        if len(batch) == 1:
            latest = shown if batch.has_context[0] else batch.recent_item[~batch.recent_is_skip]
            known = dict.fromkeys(one for one in latest.tolist() if one >= 0)
            found = np.array(list(known)[: self.config.recent_items], dtype=np.int64)
            return np.zeros(len(found), dtype=np.int64), found
        usual = ~batch.recent_is_skip & ~batch.has_context[batch.recent_user]
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

    @cached_property
    def _known(self) -> ItemLikeness | None:
        """None where the catalogue is too large for it."""
        if not ItemLikeness.suits(self.vectors):
            return None
        return ItemLikeness(self.vectors, self._lists, self.config.profile_features)

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}


def fit_content(items: ItemTable, config: ContentConfig) -> ContentGenerator:
    return ContentGenerator(item_vectors(items), config)


def fit_like_recent(items: ItemTable, config: ContentConfig) -> LikeRecentGenerator:
    return LikeRecentGenerator(item_vectors(items), config)
