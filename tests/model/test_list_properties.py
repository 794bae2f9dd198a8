"""What lists are like: each figure against arithmetic a reader can check."""

from __future__ import annotations

from itertools import combinations
from math import log2

import numpy as np
import pytest
from small_shop import cut_inputs, day, events_of_shop

from recommender.model import list_metrics


def test_coverage_counts_each_item_once() -> None:
    assert list_metrics.coverage(np.array([4, 4, 7]), 10) == 2 / 10
    assert list_metrics.coverage(np.array([], dtype=np.int64), 0) == 0.0


def test_gini_is_zero_when_all_are_shown_alike_and_nears_one_when_one_is() -> None:
    assert list_metrics.exposure_gini(np.array([0, 1, 2, 3]), 4) == 0.0
    assert list_metrics.exposure_gini(np.array([2] * 9), 10) == pytest.approx(1 - 1 / 10)
    # shown 1 and 3 times: half of the mean absolute difference (0, 2, 2, 0) over the mean 2
    assert list_metrics.exposure_gini(np.array([0, 1, 1, 1]), 2) == pytest.approx((0 + 2 + 2 + 0) / 4 / (2 * 2))
    assert list_metrics.exposure_gini(np.array([], dtype=np.int64), 5) == 0.0


def test_novelty_is_the_surprise_in_bits() -> None:
    bits = list_metrics.self_information(np.array([8, 2, 0]), n_users=8)
    assert bits.tolist() == [log2(8 / 8), log2(8 / 2), log2(8 / 1)]
    means = list_metrics.mean_of_entries(np.array([0, 0, 2]), bits[[0, 1, 1]], 3)
    assert means[[0, 2]].tolist() == [(0 + 2) / 2, 2.0]
    assert np.isnan(means[1])


def test_popularity_percentile_halves_ties() -> None:
    assert list_metrics.popularity_percentile(np.array([5, 1, 5, 9])).tolist() == [2 / 4, 0.5 / 4, 2 / 4, 3.5 / 4]


def test_intra_list_distance_is_the_mean_over_pairs() -> None:
    codes = np.array([0, 0, 1, -1], dtype=np.int32)
    user, item = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 0, 3, 1])
    found = list_metrics.intra_list_distance(user, item, 3, list_metrics.code_vectors(codes))
    assert found[0] == pytest.approx((0 + 1 + 1) / 3)  # two alike, each unlike the third
    assert found[1] == pytest.approx(1.0)  # an unknown category is like no other
    assert np.isnan(found[2])  # one item has no pair


def test_distance_by_words_agrees_with_plain_loops_over_pairs() -> None:
    items = cut_inputs(events_of_shop(n_users=5, days=20), day(20)).items
    vectors = list_metrics.word_vectors(items)
    lengths = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    assert lengths == pytest.approx(np.ones(len(items)))
    dense, listed = vectors.toarray(), [3, 17, 30, 31]
    expected = np.mean([1 - dense[one] @ dense[other] for one, other in combinations(listed, 2)])
    found = list_metrics.intra_list_distance(np.zeros(4, dtype=np.int64), np.array(listed), 1, vectors)
    assert found == pytest.approx([expected])
    # "Title 3" and "Title 17" share a word that all titles have: hardly alike
    assert 0 < 1 - dense[3] @ dense[17] < 1
