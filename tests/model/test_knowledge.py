"""Explicit needs: what must be is while anything is left, what is wished for goes first, and each item says why."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recommender.attributes import attributes_of
from recommender.errors import RequestError
from recommender.retrieval.knowledge import Needs, reason
from recommender.states import ITEM_STATE_SCHEMA, ItemTable

# name, category, brand, price, hours of battery
PHONES = [
    ("a", "phone", "acme", 100, 10),
    ("b", "phone", "bell", 200, 30),
    ("c", "phone", "acme", 300, 20),
    ("d", "tablet", "acme", 150, 40),
    ("e", "tablet", "core", 0, None),
]


@pytest.fixture(scope="module")
def items() -> ItemTable:
    columns = {column.name: pa.nulls(len(PHONES), column.type) for column in ITEM_STATE_SCHEMA}
    names, categories, brands, prices, hours = zip(*PHONES, strict=True)
    columns |= {"item_id": pa.array(names), "category": pa.array(categories), "brand": pa.array(brands)}
    columns["price_micros"] = pa.array([price * 1_000_000 for price in prices])
    columns["attributes"] = pa.array([json.dumps({"battery_hours": hour}) for hour in hours])
    return ItemTable.from_table(pa.table(columns))


def fitting(needs: Needs, items: ItemTable) -> list[str]:
    """What meets every must that is kept."""
    rows, attributes = np.arange(len(items)), attributes_of(items)
    for place in needs.kept(attributes, rows):
        rows = rows[needs.must[place].holds(attributes, rows)]
    return [PHONES[row][0] for row in rows]


def utilities(body: dict[str, Any], items: ItemTable) -> list[float]:
    needs = Needs.parse(body)
    return [float(value) for value in needs.utility(attributes_of(items), np.arange(len(items)))]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"budget": 200}, ["a", "b", "d"]),  # a price nobody knows is within no budget
        ({"budget": {"min": 150, "max": 300}}, ["b", "c", "d"]),
        ({"must": {"category": "phone"}}, ["a", "b", "c"]),
        ({"budget": 200, "must": [{"category": "phone"}, {"battery_hours": {"min": 20}}]}, ["b"]),
        ({"must": [{"any": [{"brand": "bell"}, {"brand": "core"}]}]}, ["b", "e"]),
    ],
)
def test_what_must_be_is(items: ItemTable, body: dict[str, Any], names: list[str]) -> None:
    assert fitting(Needs.parse(body), items) == names


def test_musts_that_nothing_meets_are_given_up_from_the_least_important(items: ItemTable) -> None:
    needs = Needs.parse({"budget": 120, "must": [{"brand": "bell"}, {"category": "phone"}]})
    # Nothing of bell costs up to 120: the budget stays, bell goes, and the lesser wish for a phone can still be met.
    assert needs.kept(attributes_of(items), np.arange(5)) == (0, 2)
    assert fitting(needs, items) == ["a"]
    the_other_way = Needs.parse({"must": [{"brand": "bell"}, {"price": {"max": 120}}]})
    assert fitting(the_other_way, items) == ["b"]


def test_utility_is_the_weighted_share_of_what_is_met(items: ItemTable) -> None:
    nice = [{"when": {"brand": "acme"}, "weight": 3}, {"when": {"category": "tablet"}, "weight": 1}]
    assert utilities({"nice": nice}, items) == pytest.approx([3 / 4, 0, 3 / 4, 4 / 4, 1 / 4])


def test_a_preference_is_the_share_of_the_catalogue_that_is_beaten(items: ItemTable) -> None:
    more = {"prefer": "high", "attribute": "battery_hours"}
    assert utilities({"nice": [more]}, items) == pytest.approx([1 / 4, 3 / 4, 2 / 4, 4 / 4, 0])
    less = {"prefer": "low", "attribute": "battery_hours"}
    assert utilities({"nice": [less]}, items) == pytest.approx([1, 1 - 2 / 4, 1 - 1 / 4, 1 - 3 / 4, 0])


def test_a_low_price_counts_as_much_as_it_is_said_to(items: ItemTable) -> None:
    # Within a budget of 200: (200 − price) / 200, weighted 2 beside the budget itself, met or not, weighted 1.
    assert utilities({"budget": 200, "price_importance": 2}, items) == pytest.approx(
        [(2 * 0.5 + 1) / 3, (0 + 1) / 3, 0, (2 * 0.25 + 1) / 3, 0]
    )


def test_the_best_come_first_and_popularity_decides_between_equals(items: ItemTable) -> None:
    needs = Needs.parse({"nice": [{"when": {"brand": "acme"}}]})
    popularity = np.array([1.0, 9.0, 3.0, 2.0, 8.0])
    best = needs.best(attributes_of(items), np.arange(5), popularity, 4)
    assert [PHONES[row][0] for row in best] == ["c", "d", "a", "b"]


def test_each_item_says_what_it_meets_what_not_and_what_was_given_up(items: ItemTable) -> None:
    body = {"must": [{"category": "phone"}, {"brand": "nobody"}], "nice": [{"when": {"price": {"max": 150}}}]}
    needs = Needs.parse(body)
    met = needs.met(attributes_of(items), np.arange(2))
    assert met == [0b101, 0b001]
    assert reason(needs.words, met[0], given_up=(1,)) == (
        "meets category phone, price at most 150; given up, because nothing had it together with the rest: brand nobody"
    )
    assert "not price at most 150" in reason(needs.words, met[1], given_up=(1,))


def test_an_items_utility_depends_on_no_other_candidate(items: ItemTable) -> None:
    body = {"budget": 250, "nice": [{"prefer": "low", "attribute": "price"}], "price_importance": 1}
    needs, attributes = Needs.parse(body), attributes_of(items)
    alone = [needs.utility(attributes, np.array([row])).tobytes() for row in range(5)]
    assert b"".join(alone) == needs.utility(attributes, np.arange(5)).tobytes()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "needs of type list"),
        ({}, "needs that say nothing"),
        ({"wish": 1}, "needs with the unknown field 'wish'"),
        ({"budget": "much"}, "needs.budget.price = 'much'"),
        ({"budget": {"min": 9, "max": 1}}, "needs.budget from 9 to 1"),
        ({"must": "red"}, "needs.must = 'red'"),
        ({"must": [{"brand": 5}]}, "needs.must[0].brand = 5"),
        ({"must": [{"brand": "x"}] * 21}, "needs.must = "),
        ({"must": [{f"a{n}": 1 for n in range(25)}] * 3}, "needs of 75 conditions"),
        ({"must": [{f"a{n}": 1 for n in range(31)}]}, "needs.must[0] with 31 entries"),
        ({"nice": [{"brand": "x"}]}, "needs.nice[0] = "),
        ({"nice": [{"when": {"brand": "x"}, "weight": 0}]}, "needs.nice[0].weight = 0"),
        ({"nice": [{"prefer": "best", "attribute": "price"}]}, "needs.nice[0] = "),
        ({"price_importance": -1}, "needs.price_importance = -1"),
    ],
)
def test_needs_that_mean_nothing_are_refused_in_a_sentence(body: Any, told: str) -> None:
    with pytest.raises(RequestError) as refusal:
        Needs.parse(body)
    assert refusal.value.found.startswith(told)
