"""Panels: dense, sparse and shared scores answer alike, whatever holds them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recommender.retrieval import panels
from recommender.retrieval.panels import (
    Columns,
    DensePanel,
    Excluded,
    Panel,
    SharedPanel,
    SharedScores,
    SparsePanel,
    panel_of,
)

USERS, ITEMS = 40, 300


def scores(seed: int = 0) -> np.ndarray:
    """Two thirds zeros, some negative, and many equal values, so that ties are met."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-2, 9, (USERS, ITEMS)).astype(np.float32)
    values[rng.random(values.shape) < 0.66] = 0
    values[3] = 0  # a user of whom nothing is known
    return values


def exclusions(seed: int = 1) -> list[Excluded]:
    rng = np.random.default_rng(seed)
    items = rng.random(ITEMS) < 0.2
    pairs = (np.sort(rng.integers(0, USERS, 900)), rng.integers(0, ITEMS, 900))
    return [Excluded(), Excluded(items=items), Excluded(pairs=pairs), Excluded(items, pairs)]


def expected_top(values: np.ndarray, limit: int, excluded: Excluded) -> set[tuple[int, int]]:
    """By sorting every row: highest first, of equals the lower item."""
    values = values.copy()
    if excluded.items is not None:
        values[:, excluded.items] = 0
    if excluded.pairs is not None:
        values[excluded.pairs] = 0
    order = np.argsort(-values, axis=1, kind="stable")[:, :limit]
    return {(user, int(item)) for user in range(len(values)) for item in order[user] if values[user, item] > 0}


def pairs_of(panel: Panel, limit: int, excluded: Excluded) -> set[tuple[int, int]]:
    user, item = panel.top(limit, excluded)
    assert len(user) == len(set(zip(user.tolist(), item.tolist(), strict=True)))
    return set(zip(user.tolist(), item.tolist(), strict=True))


@pytest.mark.parametrize("limit", [1, 7, 60, ITEMS + 5])
@pytest.mark.parametrize("excluded", exclusions(), ids=["none", "items", "pairs", "both"])
def test_the_best_are_the_same_in_every_shape(limit: int, excluded: Excluded) -> None:
    values, columns = scores(), np.arange(0, ITEMS, 2)
    halves = np.zeros_like(values)
    halves[:, columns] = values[:, columns]
    assert pairs_of(DensePanel(values), limit, excluded) == expected_top(values, limit, excluded)
    assert pairs_of(SparsePanel(sparse.csr_matrix(values)), limit, excluded) == expected_top(values, limit, excluded)
    assert pairs_of(DensePanel(values[:, columns], Columns.of(columns, ITEMS)), limit, excluded) == expected_top(
        halves, limit, excluded
    )
    same = np.tile(values[0], (USERS, 1))
    assert pairs_of(SharedPanel(SharedScores(values[0]), USERS), limit, excluded) == expected_top(same, limit, excluded)


def test_blocks_of_sparse_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, whole = sparse.csr_matrix(scores()), pairs_of(SparsePanel(sparse.csr_matrix(scores())), 7, Excluded())
    monkeypatch.setattr(panels, "PADDED", 1)
    assert pairs_of(SparsePanel(matrix), 7, Excluded()) == whole


def test_pairs_and_maxima_are_the_values_themselves() -> None:
    values, columns = scores(), np.arange(1, ITEMS, 3)
    user, item = (part.ravel() for part in np.indices(values.shape))
    halves = np.zeros_like(values)
    halves[:, columns] = values[:, columns]
    same = np.tile(values[0], (USERS, 1))
    shapes: list[tuple[Panel, np.ndarray]] = [
        (DensePanel(values), values),
        (SparsePanel(sparse.csr_matrix(values)), values),
        (DensePanel(values[:, columns], Columns.of(columns, ITEMS)), halves),
        (SharedPanel(SharedScores(values[0]), USERS), same),
    ]
    for panel, expected in shapes:
        assert panel.at(user, item).tolist() == expected.ravel().tolist()
        assert panel.best().tolist() == np.maximum(expected.max(axis=1), 0).tolist()


def test_a_product_is_dense_for_a_small_catalogue_and_sparse_for_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(panel_of(sparse.csr_matrix(scores())), DensePanel)
    monkeypatch.setattr(panels, "DENSE_ITEMS", ITEMS - 1)
    assert isinstance(panel_of(sparse.csr_matrix(scores())), SparsePanel)


def test_nothing_is_found_in_an_empty_panel() -> None:
    nobody = np.zeros(0, dtype=np.int64)
    for panel in (
        DensePanel(np.zeros((2, 0), np.float32), Columns.of(nobody, 9)),
        SparsePanel(sparse.csr_matrix((2, 9), dtype=np.float32)),
        SharedPanel(SharedScores(np.zeros(9, np.float32)), 2),
    ):
        assert [part.tolist() for part in panel.top(3, Excluded())] == [[], []]
        assert panel.best().tolist() == [0, 0]
        assert panel.at(np.array([0, 1]), np.array([3, 4])).tolist() == [0, 0]
