"""Selection of the best of a row: what a full sort of the values would give."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.retrieval.best_places import best_of_row, first_without

WIDTH = 300


def row(seed: int, positive: float = 0.7) -> np.ndarray:
    """Values with many ties, some of them zero and below."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 12, WIDTH).astype(np.float32) / 8
    return np.where(rng.random(WIDTH) < positive, values, -rng.integers(0, 3, WIDTH)).astype(np.float32)


def by_sorting(values: np.ndarray, limit: int) -> list[int]:
    order = np.lexsort((np.arange(len(values)), -values))[:limit]
    return sorted(order[values[order] > 0].tolist())


@pytest.mark.parametrize("limit", [1, 7, 100, WIDTH - 1, WIDTH, WIDTH + 5])
@pytest.mark.parametrize("positive", [0.0, 0.01, 0.7, 1.0])
def test_the_best_are_those_of_a_stable_sort(limit: int, positive: float) -> None:
    values = row(limit, positive)
    assert best_of_row(values, limit).tolist() == by_sorting(values, limit)


def test_all_that_equal_the_least_may_be_kept() -> None:
    values = np.array([1, 3, 2, 2, 0, 2, 5], dtype=np.float32)
    assert best_of_row(values, 3).tolist() == [1, 2, 6]
    assert best_of_row(values, 3, keeps_ties=True).tolist() == [1, 2, 3, 5, 6]


@pytest.mark.parametrize("limit", [3, 40])
def test_masked_items_count_as_if_they_scored_nothing(limit: int) -> None:
    values, without = row(1), np.arange(WIDTH) % 3 == 0
    expected = by_sorting(np.where(without, 0, values), limit)
    assert best_of_row(values, limit, without=without).tolist() == expected
    items = np.random.default_rng(2).permutation(2 * WIDTH)[:WIDTH]  # which item each place is
    masked = np.zeros(2 * WIDTH, dtype=np.bool_)
    masked[items[without]] = True
    assert best_of_row(values, limit, without=masked, items=items).tolist() == expected


def test_rows_stay_as_they_were_and_may_be_empty() -> None:
    values = row(4)
    before = values.copy()
    best_of_row(values, 5)
    assert values.tolist() == before.tolist()
    assert best_of_row(values[:0], 5).tolist() == []


def test_the_first_of_an_order_that_are_not_masked() -> None:
    order, without = np.array([5, 1, 4, 2, 0], dtype=np.int32), np.array([False, True, False, False, False, True])
    assert first_without(order, 2, without).tolist() == [4, 2]
    assert first_without(order, 2, without[:0]).tolist() == [5, 1]
    assert first_without(order, 9, without).tolist() == [4, 2, 0]
    assert first_without(order[:0], 2, without).tolist() == []
