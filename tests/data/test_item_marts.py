"""What the marts say of items, worked out by hand: a small shop with a catalogue, sessions and two countries."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from real_dbt import Warehouse, write_lines

pytestmark = pytest.mark.slow

CATALOGUE = [
    {"item_id": "lamp", "title": "Lamp", "colour": "red", "size": 3},
    {"item_id": "untouched", "created_at": "2024-02-01"},
    {"item_id": "bulb"},
    {"item_id": "undated"},
    {"item_id": "older", "created_at": "2024-01-15"},
    {"item_id": "sold out", "created_at": "2024-02-20", "available": False},
    {"item_id": "tomorrow", "created_at": "2024-03-02"},
]


def event(user: str, item: str, kind: str, at: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event_type": kind, "occurred_at": f"2024-01-{at}", **more}


EVENTS = [
    event("ann", "lamp", "view", "01T10:00", session_id="s1", device="phone"),
    event("ann", "shade", "view", "01T10:02", session_id="s1", device="phone"),
    event("ann", "bulb", "purchase", "01T10:05", session_id="s1", device="phone"),
    event("ben", "bulb", "purchase", "01T11:00", session_id="s2"),
    event("ben", "oil", "purchase", "01T11:00", session_id="s2"),
    event("ben", "lamp", "view", "02T12:00", session_id="s3"),
]


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    folder: Path = tmp_path_factory.mktemp("landed")
    write_lines(folder / "events.jsonl", EVENTS)
    write_lines(folder / "items.jsonl", CATALOGUE)
    variables = {"as_of": "2024-03-01", "cut_count": 0, "max_untouched_items": 3}
    return Warehouse.fed_from(folder, tmp_path_factory.mktemp("home"), **variables).build(with_tests=True)


def test_an_item_state_carries_the_catalogues_further_columns(marts: Warehouse) -> None:
    states = {row["item_id"]: row for row in marts.rows("item_states")}
    assert states["lamp"]["attributes"] == '{"colour":"red","size":3}'
    assert states["bulb"]["attributes"] == '{"colour":null,"size":null}'
    assert states["untouched"]["listed_ms"] == (datetime(2024, 2, 1) - datetime(1970, 1, 1)).total_seconds() * 1000


def test_what_nobody_touched_is_recommendable_the_newest_on_sale_first_as_far_as_the_bound_goes(
    marts: Warehouse,
) -> None:
    states = {row["item_id"] for row in marts.rows("item_states")}
    assert states == {"lamp", "shade", "bulb", "oil"} | {"untouched", "older", "undated"}


def weights(marts: Warehouse, kind: str) -> dict[tuple[str, str], int]:
    rows = [row for row in marts.rows("item_pairs") if row["pair_kind"] == kind]
    return {(row["item_id"], row["other_item_id"]): row["weight_micros"] for row in rows}


def test_what_comes_next_follows_each_persons_steps_and_an_invoices_lines_are_one_step(marts: Warehouse) -> None:
    # Everything that leaves the lamp arrives at the shade, and nothing else does: a cosine of 1. Half of what arrives
    # at the lamp came from the bulb, half from the oil: 1 / √(1 × 2).
    half = round(1e6 / 2**0.5)
    assert weights(marts, "next") == {
        ("lamp", "shade"): 1_000_000,
        ("shade", "bulb"): 1_000_000,
        ("bulb", "lamp"): half,
        ("oil", "lamp"): half,
    }


def test_looked_at_then_bought_leads_one_way_and_bought_together_both(marts: Warehouse) -> None:
    half = round(1e6 / 2**0.5)
    assert weights(marts, "view_buy") == {("lamp", "bulb"): half, ("shade", "bulb"): half}
    assert weights(marts, "buy_buy") == {("bulb", "oil"): 1_000_000, ("oil", "bulb"): 1_000_000}
    assert {("lamp", "bulb"), ("bulb", "lamp"), ("bulb", "oil")} < weights(marts, "together").keys()


def test_popularity_in_a_segment_halves_every_fortnight_like_popularity_itself(marts: Warehouse) -> None:
    rows = {(row["segment"], row["item_id"]): row for row in marts.rows("item_segments")}
    assert {row["segment_kind"] for row in rows.values()} == {"device"}
    assert rows.keys() == {("phone", "lamp"), ("phone", "shade"), ("phone", "bulb")}
    age_days = 60  # from 1 January to 1 March 2024
    bulb, lamp = rows["phone", "bulb"], rows["phone", "lamp"]
    assert bulb["popularity_micros"] == round(1e6 * 6 * 2 ** (-age_days / 14))  # one purchase
    assert lamp["popularity_micros"] == round(1e6 * 1 * 2 ** (-age_days / 14))  # one view
    assert bulb["segment_micros"] == round(1e6 * (6 + 1 + 1) * 2 ** (-age_days / 14))
    assert [bulb["rank"], lamp["rank"]] == [1, 2]


def test_an_item_wins_a_person_once_on_the_day_of_the_first_event(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("landed")
    again = [event("ann", "lamp", "purchase", "20T10:00"), event("cid", "lamp", "view", "10T10:00")]
    write_lines(folder / "events.jsonl", [*EVENTS, *again])
    variables = {"as_of": "2024-01-22", "cut_count": 0}
    marts = Warehouse.fed_from(folder, tmp_path_factory.mktemp("home"), **variables).build(with_tests=True)
    lamp = next(row for row in marts.rows("item_states") if row["item_id"] == "lamp")
    gained = [lamp[f"new_user_count_{days}d"] for days in (7, 14, 28)]
    assert gained == [0, 1, 3]  # cid twelve days ago, ben and ann three weeks ago; ann's purchase is no news
    assert (lamp["user_count"], lamp["repeat_user_count"]) == (3, 1)
