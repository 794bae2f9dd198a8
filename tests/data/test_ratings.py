"""A low rating is a dislike, whoever reads it: SQL for landed events, the collector for live ones, alike."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from real_dbt import Warehouse, write_lines

from recommender.events import settled_type, strength_of

START = datetime(2024, 1, 1, tzinfo=UTC)

# What the properties of a rating say, and what it then is.
CASES: list[tuple[dict[str, Any], str]] = [
    ({"rating": 5}, "rating"),
    ({"rating": 3}, "rating"),
    ({"rating": 2.99}, "dislike"),
    ({"rating": 1}, "dislike"),
    ({"rating": -1}, "dislike"),
    ({"rating": "2"}, "dislike"),
    ({"rating": " 4.5 "}, "rating"),
    ({"stars": 2}, "dislike"),
    ({"score": 2, "rating": 4}, "rating"),  # the first key that has a value counts
    ({"score": 2, "rating": None}, "dislike"),
    ({"value": 5, "rating_max": 10}, "dislike"),  # 5 of 10 lies below 6
    ({"value": 6, "rating_max": 10}, "rating"),
    ({"rating": 0.6, "rating_max": 1}, "rating"),
    ({"rating": 2, "rating_max": 0}, "dislike"),
    ({"rating": 2, "rating_max": "five"}, "dislike"),
    ({"rating": "bad"}, "rating"),  # nobody knows what was meant
    ({"rating": True}, "rating"),
    ({"rating": "1_0"}, "rating"),
    ({"rating": [1]}, "rating"),
    ({"colour": 1}, "rating"),
    ({}, "rating"),
]


@pytest.mark.parametrize(("properties", "expected"), CASES, ids=[json.dumps(case[0]) for case in CASES])
def test_a_rating_is_read_by_its_value(properties: dict[str, Any], expected: str) -> None:
    assert settled_type("rating", properties) == expected
    assert settled_type("purchase", properties) == "purchase"
    assert (strength_of(expected) > 0) == (expected == "rating")


@pytest.mark.slow
def test_sql_reads_ratings_as_the_collector_does(tmp_path: Path) -> None:
    lines = [
        {
            "event_id": f"case-{place:02d}",
            "user_id": "ann",
            "item_id": f"item-{place:02d}",
            "event_type": "Product Rated" if place % 2 else "rating",
            "occurred_at": (START + timedelta(minutes=place)).isoformat(),
            "properties": orjson.dumps(properties).decode(),
        }
        for place, (properties, _) in enumerate(CASES)
    ]
    # A column of its own says the same as a property; what is no JSON says nothing.
    base = {"user_id": "ann", "event_type": "review", "occurred_at": (START + timedelta(days=1)).isoformat()}
    lines += [
        {**base, "event_id": "column", "item_id": "a", "rating": 1},
        {**base, "event_id": "column and properties", "item_id": "b", "rating": 4, "properties": '{"text": "good"}'},
        {**base, "event_id": "no json", "item_id": "c", "properties": "{rating: 1}"},
    ]
    write_lines(tmp_path / "tables" / "events.jsonl", lines)
    house = Warehouse.fed_from(tmp_path / "tables", tmp_path / "home").build("canonical")
    found = {row["event_id"]: row for row in house.rows("events")}
    assert {place: found[f"case-{place:02d}"]["event_type"] for place in range(len(CASES))} == {
        place: expected for place, (_, expected) in enumerate(CASES)
    }
    assert [found[name]["event_type"] for name in ("column", "column and properties", "no json")] == [
        "dislike",
        "rating",
        "rating",
    ]
    assert json.loads(found["column and properties"]["properties"]) == {"text": "good", "rating": "4"}
