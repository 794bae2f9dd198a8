"""Attributes of a catalogue as columns, and conditions on them: what holds, what does not, and how it is said."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.attributes import attributes_of
from recommender.conditions import parse_condition, require_known
from recommender.errors import RequestError
from recommender.states import ITEM_STATE_SCHEMA, ItemTable

ITEMS: list[dict[str, Any]] = [
    {"category": "tv", "brand": "acme", "tags": "flat, black", "price": 300, "own": {"inches": 42, "colour": "black"}},
    {"category": "tv", "brand": "bell", "tags": "", "price": 0, "own": {"inches": 55.0, "smart": True}},
    {"category": "", "brand": "", "tags": "black", "price": 20, "own": {}},
    {"category": "radio", "brand": "acme", "tags": "black,small", "price": 80, "own": {"colour": ["red", "blue"]}},
]


def catalogue(rows: list[dict[str, Any]]) -> ItemTable:
    columns = {column.name: pa.nulls(len(rows), column.type) for column in ITEM_STATE_SCHEMA}
    columns["item_id"] = pa.array([f"i{row:02d}" for row in range(len(rows))])
    columns |= {name: pa.array([row[name] for row in rows]) for name in ("category", "brand", "tags")}
    columns["price_micros"] = pa.array([row["price"] * 1_000_000 for row in rows])
    columns["attributes"] = pa.array([json.dumps(row["own"]) if row["own"] else "" for row in rows])
    return ItemTable.from_table(pa.table(columns))


@pytest.fixture(scope="module")
def items() -> ItemTable:
    return catalogue(ITEMS)


def holding(items: ItemTable, body: dict[str, Any]) -> list[int]:
    return np.flatnonzero(parse_condition(body).holds(attributes_of(items), np.arange(len(items)))).tolist()


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({}, [0, 1, 2, 3]),
        ({"category": "tv"}, [0, 1]),
        ({"tags": ["flat", "small"]}, [0, 3]),
        ({"price": {"max": 100}}, [2, 3]),  # a price of 0 is unknown, and unknown is within no range
        ({"inches": {"min": 50}}, [1]),
        ({"inches": 55}, [1]),
        ({"inches": "42"}, [0]),
        ({"smart": True}, [1]),
        ({"colour": "red"}, [3]),
        ({"colour": ["black", "blue"], "brand": "acme"}, [0, 3]),
        ({"any": [{"category": "radio"}, {"inches": {"max": 42}}]}, [0, 3]),
        ({"all": [{"tags": "black"}, {"not": {"category": "tv"}}]}, [2, 3]),
        ({"not": {"any": [{"brand": "acme"}, {"brand": "bell"}]}}, [2]),
        ({"category": "no such"}, []),
    ],
)
def test_a_condition_holds_for_the_items_that_meet_it(items: ItemTable, body: dict[str, Any], rows: list[int]) -> None:
    assert holding(items, body) == rows


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"price": {"max": 5}}, "price at most 5"),
        ({"price": {"min": 5}}, "price at least 5"),
        ({"price": {"min": 1.5, "max": 5}}, "price from 1.5 to 5"),
        ({"category": ["a", "b"], "not": {"brand": "x"}}, "category a or b and not brand x"),
        ({"any": [{"brand": "x", "tags": "t"}, {"brand": "y"}]}, "(brand x and tags t) or brand y"),
    ],
)
def test_a_condition_is_told_in_words(body: dict[str, Any], words: str) -> None:
    assert parse_condition(body).words == words


def test_an_attribute_nobody_has_is_refused_with_the_nearest(items: ItemTable) -> None:
    require_known([parse_condition({"inches": 5, "tags": "x"})], attributes_of(items))
    with pytest.raises(RequestError, match=r"unknown attribute 'inchs'.*Did you mean inches\?"):
        require_known([parse_condition({"any": [{"inchs": 5}, {"tags": "x"}]})], attributes_of(items))


@pytest.mark.parametrize("body", [{"any": []}, {"any": {}}, {"not": []}, {"": 1}, {"colour": None}, {"all": [5]}])
def test_a_condition_that_means_nothing_is_refused(body: Any) -> None:
    with pytest.raises(RequestError):
        parse_condition(body)


def test_depth_is_bounded() -> None:
    body: dict[str, Any] = {"brand": "x"}
    for _ in range(8):
        body = {"not": body}
    with pytest.raises(RequestError, match="depth"):
        parse_condition(body)


def test_attributes_are_made_once_and_go_with_their_table() -> None:
    table = catalogue(ITEMS)
    assert attributes_of(table) is attributes_of(table)
    held = weakref.ref(attributes_of(table))
    del table
    gc.collect()
    assert held() is None


VALUES = st.sampled_from(["red", "blue", "8", 8, 8.5, True, None, ["red", "8"]])


@given(st.lists(st.dictionaries(st.sampled_from(["colour", "size"]), VALUES), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_json_values_are_read_and_a_text_finds_exactly_its_items(own: list[dict[str, Any]]) -> None:
    blank = {"category": "", "brand": "", "tags": "", "price": 0}
    items = catalogue([{**blank, "own": attributes} for attributes in own])
    wanted = [row for row, one in enumerate(own) if "red" in np.atleast_1d(one.get("colour") or "").tolist()]
    assert holding(items, {"colour": "red"}) == wanted
