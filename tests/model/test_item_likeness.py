"""Items whose likeness to all others is kept: the same figures as reckoned for a person, and bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recommender.retrieval import item_likeness
from recommender.retrieval.content import ContentConfig, LikeRecentGenerator, fit_like_recent
from recommender.retrieval.item_likeness import ItemLikeness, LikeItems
from recommender.retrieval.likeness import LikenessRow
from recommender.retrieval.panels import Excluded
from recommender.retrieval.seeds import Seeds


@pytest.fixture(scope="module")
def like_recent(shop: Any) -> LikeRecentGenerator:
    return fit_like_recent(shop.now.items, ContentConfig())


def reckoned(generator: LikeRecentGenerator, *items: int) -> LikenessRow:
    """As it is done for catalogues that are too large to keep anything."""
    n_items, one = len(generator.vectors.merit), np.ones(1, dtype=np.float32)
    seeds = [Seeds(np.array([item]), one, np.array([0, 1]), n_items) for item in items]
    return LikenessRow.of(generator.vectors, generator._lists, seeds, generator.config.profile_features)


def kept(generator: LikeRecentGenerator) -> ItemLikeness:
    return ItemLikeness(generator.vectors, generator._lists, generator.config.profile_features)


@pytest.mark.parametrize("items", [(), (3,), (3, 11), (5, 11, 40)])
def test_what_is_kept_equals_what_is_reckoned_to_the_bit(
    like_recent: LikeRecentGenerator, items: tuple[int, ...]
) -> None:
    known = kept(like_recent)
    mine, other = LikeItems([known.of(item) for item in items]), reckoned(like_recent, *items)
    everything = np.arange(len(like_recent.vectors.merit))
    nobody = np.zeros_like(everything)
    np.testing.assert_array_equal(mine.at(nobody, everything), other.at(nobody, everything))
    np.testing.assert_array_equal(mine.best(), other.best())
    hidden = everything % 3 == 0
    owned = (np.zeros(20, dtype=np.int64), np.arange(0, 40, 2))
    for excluded in (Excluded(), Excluded(hidden), Excluded(None, owned), Excluded(hidden, owned)):
        np.testing.assert_array_equal(mine.top(30, excluded)[1], other.top(30, excluded)[1])


def test_an_item_is_reckoned_once(like_recent: LikeRecentGenerator) -> None:
    known = kept(like_recent)
    assert known.of(7) is known.of(7)


def test_the_oldest_goes_where_there_is_no_more_room(
    like_recent: LikeRecentGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_items = len(like_recent.vectors.merit)
    monkeypatch.setattr(item_likeness, "KEPT_BYTES", 2 * 8 * n_items)  # room for two
    known = kept(like_recent)
    first, second = known.of(0), known.of(1)
    known.of(2)
    assert known.of(1) is second
    assert known.of(0) is not first


def test_nothing_is_kept_where_there_is_room_for_less_than_a_quarter(
    like_recent: LikeRecentGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_items = len(like_recent.vectors.merit)
    for room, is_kept in ((n_items, True), (-(-n_items // 4), True), (n_items // 4 - 1, False)):
        monkeypatch.setattr(item_likeness, "KEPT_BYTES", room * 8 * n_items)
        assert ItemLikeness.suits(like_recent.vectors) is is_kept
