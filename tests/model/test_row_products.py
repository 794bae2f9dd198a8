"""One person asked alone: kernels without scipy's objects and states without tables give the bits of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recommender.model.scorer import RankingModel
from recommender.person_state import PersonState
from recommender.retrieval import likeness, panels, seeds
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import DensePanel, Excluded, RowPanel, SparsePanel
from recommender.retrieval.row_products import cosines, dense_product, entries_of, summed, summed_sparse
from recommender.retrieval.seeds import Seeds
from recommender.states import USER_STATE_SCHEMA, Contexts, UserStates

HEIGHT, WIDTH = 70, 400


def matrix(width: int = WIDTH, seed: int = 0) -> sparse.csr_matrix:
    return sparse.random(HEIGHT, width, density=0.2, format="csr", dtype=np.float32, random_state=seed)


def weighted(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows in no order, one of them twice."""
    rng = np.random.default_rng(seed)
    rows = np.append(rng.permutation(HEIGHT)[:30], 4)
    return rows, rng.random(len(rows)).astype(np.float32)


def public_product(rows: np.ndarray, weights: np.ndarray, other: sparse.csr_matrix) -> np.ndarray:
    """scipy's own, as a batch goes through it."""
    parts = (weights, rows.astype(np.int32), np.array([0, len(rows)], dtype=np.int32))
    return np.asarray((sparse.csr_matrix(parts, shape=(1, HEIGHT)) @ other).toarray())[0]


def test_sums_have_the_bits_of_scipys_product() -> None:
    rows, weights = weighted()
    expected = public_product(rows, weights, matrix())
    assert summed(matrix(), rows, weights).tobytes() == expected.tobytes()
    columns, sums = summed_sparse(matrix(), rows, weights)
    assert sorted(columns.tolist()) == np.flatnonzero(expected).tolist()
    assert sums.tobytes() == expected[columns].tobytes()


def test_one_sum_leaves_nothing_behind_for_the_next() -> None:
    rows, weights = weighted()
    for width in (WIDTH, 90, WIDTH, 2 * WIDTH, 90):
        columns, sums = summed_sparse(matrix(width), rows, weights)
        assert sums.tobytes() == public_product(rows, weights, matrix(width))[columns].tobytes()


def test_a_row_of_scores_answers_as_a_panel_of_one_user() -> None:
    values = np.random.default_rng(3).integers(-2, 6, WIDTH).astype(np.float32)  # ties and negatives
    items = np.random.default_rng(4).permutation(np.flatnonzero(values))
    shapes = (
        DensePanel(values[None]),
        RowPanel(items, values[items], WIDTH),
        SparsePanel(sparse.csr_matrix(values[None])),
    )
    own = np.arange(0, WIDTH, 3)
    without = Excluded(np.arange(WIDTH) % 7 == 0, (np.zeros_like(own), own))
    every = np.arange(WIDTH)
    for limit in (1, 25, WIDTH + 1):
        for excluded in (Excluded(), without):
            tops = [set(panel.top(limit, excluded)[1].tolist()) for panel in shapes]
            assert tops[0] == tops[1] == tops[2]
            assert len(tops[0]) == min(limit, len(tops[0]))
    for panel in shapes:
        assert panel.at(np.zeros_like(every), every).tolist() == values.tolist()
        assert panel.best().tolist() == [values.max()]


@pytest.mark.parametrize("dense_items", [16_384, 10], ids=["small catalogue", "large catalogue"])
@pytest.mark.parametrize("novel", [False, True])
def test_a_person_alone_has_the_bits_of_the_batch_on_any_size_of_catalogue(
    model: RankingModel, shop: Any, monkeypatch: pytest.MonkeyPatch, dense_items: int, novel: bool
) -> None:
    for module in (panels, seeds, likeness):
        monkeypatch.setattr(module, "DENSE_ITEMS", dense_items)
    users, at_ms = shop.now.users.slice(0, 25), shop.now.as_of_ms + 7_200_000
    named = [("item-003", "item-999", "item-020") if row % 3 == 0 else () for row in range(len(users))]
    devices = ["phone" if row % 2 else "" for row in range(len(users))]
    nowhere = [""] * len(users)
    everybody = Contexts(np.full(len(users), at_ms), ["home"] * len(users), devices, nowhere, named)
    candidates, features, scores = model.score_batch(UserBatch.read(users, everybody, shop.now.items), novel=novel)
    for row, state in enumerate(users.table.to_pylist()):
        moment = Contexts(np.array([at_ms]), ["home"], [devices[row]], [""], [named[row]])
        alone = model.score(PersonState(state), moment, novel=novel)
        own = slice(candidates.offsets[row], candidates.offsets[row + 1])
        assert alone.item_index.tolist() == candidates.item_index[own].tolist()
        assert alone.features.tobytes() == features[own].tobytes()
        assert alone.scores.tobytes() == scores[own].tobytes()


def test_a_state_read_alone_says_what_its_table_says(shop: Any) -> None:
    row = shop.now.users.slice(7, 1).table.to_pylist()[0]
    alone, tabled = PersonState(row), UserStates.from_rows([row])
    assert (len(alone), alone.user_ids) == (1, tabled.user_ids)
    assert alone.table.equals(tabled.table)
    for field in USER_STATE_SCHEMA:
        kind = str(field.type)
        if kind == "int64":
            assert alone.integers(field.name).tolist() == tabled.integers(field.name).tolist()
        elif kind == "string":
            assert list(alone.texts(field.name)) == tabled.texts(field.name).to_pylist()
        elif kind.startswith("list"):
            assert alone.offsets(field.name).tolist() == tabled.offsets(field.name).tolist()
            assert list(alone.flat(field.name)) == tabled.flat(field.name).to_pylist()


@pytest.mark.parametrize("broken", [{"event_count": None}, {"history_counts": [None]}, {"history_counts": "many"}])
def test_a_state_of_another_kind_is_noticed_when_it_is_read(shop: Any, broken: dict[str, Any]) -> None:
    row = shop.now.users.slice(7, 1).table.to_pylist()[0] | broken
    name = next(iter(broken))
    read = PersonState(row).integers if name == "event_count" else PersonState(row).flat_integers
    with pytest.raises((TypeError, ValueError)):
        read(name)


def test_seeds_of_one_and_of_many_lead_to_the_same_scores() -> None:
    rows, weights = weighted()
    one = Seeds(rows, weights, np.array([0, len(rows)]), HEIGHT).follow(matrix())
    two = Seeds(np.tile(rows, 2), np.tile(weights, 2), np.arange(3) * len(rows), HEIGHT).follow(matrix())
    every = np.arange(WIDTH)
    expected = public_product(rows, weights, matrix())
    assert one.at(np.zeros_like(every), every).tolist() == expected.tolist()
    assert two.at(np.ones_like(every), every).tolist() == expected.tolist()


def test_dense_rows_are_added_up_item_by_item() -> None:
    factors = np.random.default_rng(8).normal(size=(HEIGHT, 48)).astype(np.float32)
    rows, weights = weighted()
    expected = np.zeros(48, dtype=np.float32)
    for row, weight in zip(rows, weights, strict=True):
        expected += weight * factors[row]
    assert dense_product(rows, weights, factors).tobytes() == expected.tobytes()
    assert not dense_product(rows[:0], weights[:0], factors).any()


def test_cosines_are_added_up_in_double_precision_and_raise_what_is_lower() -> None:
    items, rng = matrix(), np.random.default_rng(9)
    profile, own = rng.random(WIDTH).astype(np.float32), rng.random(HEIGHT).astype(np.float32)
    rows = np.array([3, 3, 0, 69])
    highest = np.array([0, 99, 0, 0], dtype=np.float32)
    cosines(items, rows, profile, own[rows], highest)
    products = [(items.data * profile[items.indices])[items.indptr[row] : items.indptr[row + 1]] for row in rows]
    sums = [sum(part.astype(np.float64).tolist()) for part in products]
    expected = np.maximum(np.array(sums) - own[rows], 0).astype(np.float32)
    assert highest.tolist() == [expected[0], 99, expected[2], expected[3]]
    assert entries_of(items, rows[:2]).tolist() == 2 * items[3].indices.tolist()
    assert entries_of(items, rows[:0]).tolist() == []
