"""A plan keeps the order of the scores but for what boosts, diversity, pins and quota say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.conditions import parse_condition
from recommender.decision.arrangement import Arrangement, arrange, mmr_order, relevance
from recommender.decision.placements import Boost, Diversity, Freshness, Pin, Placement
from recommender.decision.slots import Cap
from recommender.events import DAY_MS
from recommender.retrieval.item_vectors import item_vectors
from recommender.states import ItemTable

AT = 100 * DAY_MS
PLAIN = Placement("shelf")


def planned(items: ItemTable, placement: Placement, scores: list[float], k: int = 3, **more: Any) -> Arrangement:
    """The plan over the first items of the catalogue, all allowed."""
    index, found = np.arange(len(scores)), np.array(scores, np.float32)
    return arrange(placement, k, AT, items, index, found, np.ones(len(scores), bool), **more)


def test_without_wishes_of_the_operator_the_plan_is_the_order_of_scores(items: ItemTable) -> None:
    found = planned(items, PLAIN, [0.1, -3.0, 0.9, 0.1])
    assert found.plan.order.tolist() == [2, 0, 3, 1]
    assert found == Arrangement(found.plan)


def test_ties_are_decided_by_the_second_score_and_then_by_the_row(items: ItemTable) -> None:
    found = planned(items, PLAIN, [1.0, 1.0, 1.0, 2.0], ties=np.array([0, 5, 0, 0], np.float32))
    assert found.plan.order.tolist() == [3, 1, 0, 2]


def test_a_boost_never_lowers_even_where_scores_are_negative(items: ItemTable) -> None:
    category = items.table["category"][1].as_py()
    boosted = replace(PLAIN, boosts=(Boost(parse_condition({"category": category}), multiply=2.0, add=0.1),))
    scores = [-1.0, -2.0, -3.0, -4.0]
    found = planned(items, boosted, scores)
    relevant = [1, 2 / 3, 1 / 3, 0]
    has_it = [name == category for name in items.table["category"].to_pylist()[:4]]
    values = [value * (2 if it else 1) + (0.1 if it else 0) for value, it in zip(relevant, has_it, strict=True)]
    assert found.plan.order.tolist() == np.argsort(-np.array(values), kind="stable").tolist()
    assert found.boosted_by is not None
    assert found.boosted_by.tolist() == [int(it) for it in has_it]


def test_wishes_are_added_to_relevance(items: ItemTable) -> None:
    found = planned(items, PLAIN, [3.0, 2.0, 1.0], wishes=np.array([0.0, 0.4, 1.1], np.float32))
    assert found.plan.order.tolist() == [2, 0, 1]  # 0 + 1.1, 1 + 0, 0.5 + 0.4


def test_a_pin_needs_its_window_its_place_and_permission(items: ItemTable) -> None:
    ids = items.item_ids.to_pylist()
    pins = (
        Pin(ids[3], 1, AT - 1, AT + 1),
        Pin(ids[2], 2, until_ms=AT),  # over
        Pin(ids[1], 3, from_ms=AT + 1),  # not yet
        Pin(ids[0], 9),  # beyond this slate
        Pin("no such item", 2),
    )
    found = planned(items, replace(PLAIN, pins=pins), [4.0, 3.0, 2.0, 1.0])
    assert (dict(found.plan.pins), found.missing_pins) == ({0: 3}, ("no such item",))
    index, scores = np.arange(4), np.ones(4, np.float32)
    forbidden = arrange(replace(PLAIN, pins=pins), 3, AT, items, index, scores, np.array([True] * 3 + [False]))
    assert (dict(forbidden.plan.pins), forbidden.missing_pins) == ({}, (ids[3], "no such item"))


def test_only_items_listed_lately_that_hardly_anybody_met_are_new(items: ItemTable) -> None:
    table = items.table
    for name, values in (("listed_ms", [AT - DAY_MS, AT - 9 * DAY_MS, AT - DAY_MS, 0]), ("event_count", [5, 0, 6, 0])):
        whole = values + [0] * (len(items) - 4)
        table = table.set_column(table.schema.get_field_index(name), name, [whole])
    fresh = planned(ItemTable(table, items.index), replace(PLAIN, freshness=Freshness(0.5, 7.0, 5)), [1.0] * 4).plan
    assert fresh.fresh is not None
    assert (fresh.fresh.tolist(), fresh.fresh_share) == ([True, False, False, False], 0.5)


def test_mmr_takes_what_is_relevant_and_unlike_what_stands_above() -> None:
    values = np.array([1.0, 0.9, 0.5, 0.4])
    alike = np.eye(4, dtype=np.float32)
    alike[0, 1] = alike[1, 0] = 1.0
    # At weight 0.4 the second is worth 0.6 × 0.9 − 0.4 × 1 = 0.14, the third 0.6 × 0.5 = 0.3, the fourth 0.24.
    assert mmr_order(values, alike, 0.4, 4) == [0, 2, 3, 1]
    assert mmr_order(values, alike, 0.0, 4) == [0, 1, 2, 3]


def test_mmr_keeps_clear_of_pinned_items_and_full_caps() -> None:
    values, apart = np.array([1.0, 0.9, 0.8]), np.eye(3, dtype=np.float32)
    cap = Cap("category", 1, np.array([0, 0, 1], np.int32))
    assert mmr_order(values, apart, 0.3, 3, caps=[cap]) == [0, 2]
    assert mmr_order(values, apart, 0.3, 3, caps=[cap], given=np.array([1])) == [2]


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40), st.floats(0, 1), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_a_diverse_plan_is_a_permutation_that_begins_with_the_most_relevant(
    items: ItemTable, scores: list[float], weight: float, k: int
) -> None:
    placement = replace(PLAIN, diversity=Diversity(weight))
    found = planned(items, placement, scores, k, similarity=item_vectors(items).similarity)
    order = found.plan.order.tolist()
    assert sorted(order) == list(range(len(scores)))
    if weight < 1:
        assert scores[order[0]] == max(scores)
    if found.picked is not None:
        found_scores = np.array(scores, np.float32)
        by_value = np.lexsort((-found_scores, -relevance(found_scores, np.arange(len(scores)))))
        assert [by_value[rank - 1] for rank in found.picked] == order[: len(found.picked)]


def test_relevance_keeps_the_order_and_spans_zero_to_one() -> None:
    assert relevance(np.array([2.0, 4.0, 3.0, 100.0], np.float32), np.arange(3)).tolist()[:3] == [0.0, 1.0, 0.5]
    assert relevance(np.array([7.0, 7.0], np.float32), np.arange(2)).tolist() == pytest.approx([1.0, 1.0])
