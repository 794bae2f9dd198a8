"""Rules remove exactly what they say, and count it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recommender.decision.rules import Filter, Rules, bought_items
from recommender.errors import RequestError
from recommender.states import ItemTable, empty_state


def rows_allowed(rules: Rules, items: ItemTable) -> tuple[list[int], dict[str, int]]:
    found = rules.judge(items, np.arange(len(items)))
    mask, verdicts = found.allowed, found.counts()
    assert int((~mask).sum()) == sum(verdicts.values()), "an item counts for one rule only"
    return np.flatnonzero(mask).tolist(), verdicts


def where(items: ItemTable, keeps: Any) -> list[int]:
    """Rows of available items whose row (a dict) passes."""
    return [row for row, item in enumerate(items.table.to_pylist()) if item["is_available"] and keeps(item)]


def test_without_conditions_only_unavailable_items_go(items: ItemTable) -> None:
    rows, verdicts = rows_allowed(Rules(), items)
    assert rows == where(items, lambda item: True)
    assert verdicts == {"unavailable": len(items) - len(rows)}
    assert verdicts["unavailable"] > 0


@pytest.mark.parametrize(
    ("body", "keeps"),
    [
        ({"category": "toys"}, lambda item: item["category"] == "toys"),
        ({"category": ["toys", "garden"]}, lambda item: item["category"] in ("toys", "garden")),
        ({"tags": ["rustic"]}, lambda item: "rustic" in item["tags"].split(",")),
        ({"price": {"min": 10}}, lambda item: item["price_micros"] >= 10_000_000),
        ({"price": {"min": 10, "max": 20}}, lambda item: 10_000_000 <= item["price_micros"] <= 20_000_000),
        ({"category": ["toys"], "price": {"max": 20}}, lambda i: i["category"] == "toys" and i["price_micros"] <= 2e7),
        ({"category": ["nowhere"]}, lambda item: False),
    ],
)
def test_attribute_filters_keep_what_they_name(items: ItemTable, body: dict[str, Any], keeps: Any) -> None:
    rows, _ = rows_allowed(Rules(filter=Filter.parse(body)), items)
    assert rows == where(items, keeps)


def test_brands_match_as_a_whole(items: ItemTable) -> None:
    brand = items.table["brand"][0].as_py()
    rows, _ = rows_allowed(Rules(filter=Filter.parse({"brand": brand})), items)
    assert rows == where(items, lambda item: item["brand"] == brand)
    assert rows_allowed(Rules(filter=Filter.parse({"brand": brand[:-1]})), items)[0] == []


def test_excluded_and_context_items_go_and_unknown_ids_do_not_matter(items: ItemTable) -> None:
    available = where(items, lambda item: True)
    first, second, third = (items.item_ids[row].as_py() for row in available[:3])
    rows, verdicts = rows_allowed(Rules(excluded=[first, second, "no such item"], context_items=[second, third]), items)
    assert rows == available[3:]
    assert (verdicts["excluded"], verdicts["in_context"]) == (2, 1)


@pytest.mark.parametrize(
    ("mode", "novel", "shows_bought", "shows_others"),
    [
        ("allowed", False, True, True),
        ("allowed", True, False, True),
        ("never", False, False, True),
        ("only", False, True, False),
        ("only", True, False, False),
    ],
)
def test_bought_items_appear_where_they_may(
    items: ItemTable, mode: str, novel: bool, shows_bought: bool, shows_others: bool
) -> None:
    available = where(items, lambda item: True)
    bought = [items.item_ids[row].as_py() for row in available[:4]]
    rows, _ = rows_allowed(Rules(bought=bought, bought_mode=mode, filter=Filter(novel=novel)), items)
    assert rows == shows_bought * available[:4] + shows_others * available[4:]


def test_bought_items_are_those_with_a_purchase() -> None:
    state = {**empty_state("u"), "history_item_ids": ["a", "b", "c"], "history_purchase_counts": [0, 2, 1]}
    assert bought_items(state) == ["b", "c"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], "filter of type list"),
        ({"novel": 1}, "filter.novel = 1"),
        ({"category": 5}, "filter.category = 5"),
        ({"category": []}, "filter.category = []"),
        ({"category": ["a", 1]}, "filter.category = ['a', 1]"),
        ({"price": 5}, "filter.price = 5"),
        ({"price": {}}, "filter.price = {}"),
        ({"price": {"from": 5}}, "filter.price = {'from': 5}"),
        ({"price": {"min": "5"}}, "filter.price with the end '5'"),
        ({"price": {"min": True}}, "filter.price with the end True"),
        ({"price": {"max": 10**400}}, "filter.price with the end 1000"),
        ({"price": {"max": float("nan")}}, "filter.price with the end nan"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_in_a_sentence(body: Any, sentence: str) -> None:
    with pytest.raises(RequestError) as refusal:
        Filter.parse(body)
    assert refusal.value.found.startswith(sentence)
    assert refusal.value.expected
    assert refusal.value.remedy
