"""What a team lands as canonical tables: any format, columns missing, rows that cannot be read, rows after `until`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_dbt import Warehouse, write_lines

from orchestration.sources import check_source

pytestmark = pytest.mark.slow

VIEW = {"event_id": "e1", "user_id": "u1", "item_id": "i1", "event_type": "Product Viewed"}
ORDER = {"event_id": "e2", "user_id": 7, "item_id": "i2", "event_type": "buy", "price": "19.99", "quantity": 2}
WITHOUT_ID = {"user_id": "u1", "item_id": "i1", "event_type": "view", "occurred_at": "2024-01-03"}
GOOD: list[dict[str, Any]] = [
    {**VIEW, "occurred_at": "2024-01-01T10:00:00+02:00"},
    {**VIEW, "occurred_at": "2024-01-01T10:00:00+02:00"},
    {**ORDER, "occurred_at": "2024-01-02 10:00:00.1239", "properties": {"gift": True}},
    WITHOUT_ID,
    WITHOUT_ID,
]
BAD = {
    "missing_user_id": {"item_id": "i1", "event_type": "view", "occurred_at": "2024-01-01"},
    "missing_event_type": {"user_id": "u1", "event_type": " ", "occurred_at": "2024-01-01"},
    "unusable_event_type": {"user_id": "u1", "event_type": "!!!", "occurred_at": "2024-01-01"},
    "missing_occurred_at": {"user_id": "u1", "event_type": "view"},
    "unparsable_occurred_at": {"user_id": "u1", "event_type": "view", "occurred_at": "yesterday"},
    "implausible_occurred_at": {"user_id": "u1", "event_type": "view", "occurred_at": "0001-01-01"},
    "negative_price": {"user_id": "u1", "event_type": "buy", "occurred_at": "2024-01-01", "price": -0.01},
    "negative_quantity": {"user_id": "u1", "event_type": "buy", "occurred_at": "2024-01-01", "quantity": "-2"},
}
ITEMS = [
    {"item_id": "i1", "title": "Lamp", "price": "9.99", "tags": ["a", "b"], "available": False, "it's": "red"},
    {"item_id": "i3", "tags": "c,d", "created_at": "2023-12-31"},
]


@pytest.fixture(scope="module")
def from_lines(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """JSON lines, with every kind of bad row, an array and half a line."""
    folder = tmp_path_factory.mktemp("landed")
    write_lines(folder / "events.jsonl", [*GOOD, *BAD.values(), "[1, 2]", '{"user_id": "u1", "event'])
    write_lines(folder / "items" / "spring.jsonl", ITEMS[:1])
    write_lines(folder / "items" / "autumn.jsonl", ITEMS[1:])
    return Warehouse.fed_from(folder, tmp_path_factory.mktemp("home"), source="simulated").build("canonical")


def test_good_rows_become_canonical_events(from_lines: Warehouse) -> None:
    first, second, third, fourth = from_lines.rows("events")
    assert (first["event_id"], first["event_type"]) == ("e1", "view")
    assert first["occurred_at"] == first["recorded_at"] == datetime(2024, 1, 1, 8)  # 10:00 at +02:00
    assert (second["user_id"], second["event_type"], second["properties"]) == ("7", "purchase", '{"gift":true}')
    assert (second["price_micros"], second["quantity"]) == (19_990_000, 2)
    assert second["occurred_at"] == datetime(2024, 1, 2, 10, 0, 0, 123_000)  # cut to milliseconds, not rounded
    # Two equal rows without an id are two events, told apart by their number.
    assert third["event_id"].removesuffix("-1") == fourth["event_id"].removesuffix("-2")


def test_every_bad_row_is_kept_with_its_reason(from_lines: Warehouse) -> None:
    letters = {row["reason"]: row for row in from_lines.rows("dead_letters")}
    assert letters.keys() == {*BAD, "not_a_json_object"}
    assert '"yesterday"' in letters["unparsable_occurred_at"]["raw_row"]
    broken = [row["raw_row"] for row in from_lines.rows("dead_letters") if row["reason"] == "not_a_json_object"]
    assert sorted(broken) == ["[1, 2]", '{"user_id": "u1", "event']
    assert {row["origin"] for row in letters.values()} == {"tables"}


def test_the_funnel_accounts_for_every_row(from_lines: Warehouse) -> None:
    assert from_lines.steps()["raw_rows"] == len(GOOD) + len(BAD) + 2
    assert from_lines.dropped() == {"not_a_json_object": 2, "duplicate_event_id": 1} | dict.fromkeys(BAD, 1)
    assert list(from_lines.steps().values())[-1] == from_lines.mart("events").num_rows == len(GOOD) - 1


def test_catalogue_and_people_are_completed_from_the_events(from_lines: Warehouse) -> None:
    lamp, derived, dated = from_lines.rows("items")
    assert (lamp["title"], lamp["price_micros"], lamp["tags"], lamp["is_available"]) == (
        "Lamp",
        9_990_000,
        "a,b",
        False,
    )
    assert lamp["attributes"] == '{"it\'s":"red"}'
    assert lamp["created_at"] is None
    assert (derived["item_id"], derived["created_at"]) == ("i2", datetime(2024, 1, 2, 10, 0, 0, 123_000))
    assert (dated["tags"], dated["created_at"]) == ("c,d", datetime(2023, 12, 31))
    assert [row["user_id"] for row in from_lines.rows("users")] == ["7", "u1"]  # no users table at all


CSV = """user_id,item_id,event_type,occurred_at,price
u1,i1,view,2024-01-01T10:00:00Z,3.5
u2,i2,view,2024-01-01,1,extra,fields
u3
u4,"a ""quoted"", name",buy,2024-01-02,not a price
u5,i9,buy,2024-01-05,2.25
,i9,buy,2024-01-06,2.25
"""


@pytest.fixture(scope="module")
def from_csv(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """CSV with lines that do not fit the header, up to 5 January; users in two files of different columns."""
    folder = tmp_path_factory.mktemp("landed")
    (folder / "events.csv").write_text(CSV)
    (folder / "users").mkdir()
    (folder / "users" / "a.csv").write_text("user_id,consent_mail\nu1,true\n")
    (folder / "users" / "b.csv").write_text("signed_up_at,user_id\n2024-01-04,u7\n2024-01-05,u8\n")
    variables = {"until": "2024-01-05 00:00:00.000"}
    return Warehouse.fed_from(folder, tmp_path_factory.mktemp("home"), **variables).build("canonical")


def test_csv_lines_that_do_not_fit_are_dead_letters(from_csv: Warehouse) -> None:
    letters = [(row["reason"], row["raw_row"]) for row in from_csv.rows("dead_letters")]
    assert letters == [("unreadable_line", "u2,i2,view,2024-01-01,1,extra,fields"), ("unreadable_line", "u3")]
    assert from_csv.dropped() == {"at_or_after_until": 2, "unreadable_line": 2}


def test_rows_at_or_after_until_never_existed(from_csv: Warehouse) -> None:
    events = from_csv.rows("events")
    assert [row["user_id"] for row in events] == ["u1", "u4"]
    assert (events[1]["item_id"], events[1]["price_micros"]) == ('a "quoted", name', None)
    assert "i9" not in from_csv.mart("items")["item_id"].to_pylist()
    people = {row["user_id"]: row for row in from_csv.rows("users")}
    assert people.keys() == {"u1", "u4", "u7"}
    assert people["u1"]["attributes"] == '{"consent_mail":"true"}'
    assert people["u7"]["signed_up_at"] == datetime(2024, 1, 4)


COUNTS_SINCE_1970 = {  # 2024-01-02T10:00:00.123Z, and two that are none
    "seconds": 1_704_189_600.123,
    "milliseconds": 1_704_189_600_123,
    "microseconds": 1_704_189_600_123_456,
    "nanoseconds": 1_704_189_600_123_456_789,
    "a date": 20_240_102,
    "a year": 2024,
}


def test_times_may_be_counts_since_1970_and_names_may_be_anything(tmp_path: Path) -> None:
    folder = tmp_path / "landed"
    (folder / "events").mkdir(parents=True)
    for name, count in COUNTS_SINCE_1970.items():
        row = {"user_id": [7], "item_id": ["品1"], "event_type": [f"Понравилось {name}!"], "occurred_at": [count]}
        row |= {'our "own" column': ["it's"], "position": [-1]}
        pq.write_table(pa.table(row), folder / "events" / f"{name.replace(' ', '_')}.parquet")
    write_lines(folder / "items.jsonl", [{"item_id": "品1", "created_at": "1704189600"}])
    warehouse = Warehouse.fed_from(folder, tmp_path / "home").build("canonical")
    events = warehouse.rows("events")
    assert {row["event_type"].partition("_")[0] for row in events} == {"понравилось"}
    assert {row["occurred_at"] for row in events} == {datetime(2024, 1, 2, 10, 0, 0, 123_000)}
    assert len(events) == len(COUNTS_SINCE_1970) - 2
    assert {row["position"] for row in events} == {None}
    assert warehouse.dropped() == {"unparsable_occurred_at": 2}
    assert all('"our \\"own\\" column":"it\'s"' in row["raw_row"] for row in warehouse.rows("dead_letters"))
    assert [row["created_at"] for row in warehouse.rows("items")] == [datetime(2024, 1, 2, 10)]


def test_no_event_left_is_visible_and_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "landed"
    write_lines(folder / "events.jsonl", [{**BAD["missing_user_id"], "user_id": None}])
    assert check_source("tables", folder).rows == 1
    warehouse = Warehouse.fed_from(folder, tmp_path / "home").build(with_tests=True)
    assert warehouse.mart("events").num_rows == 0
    assert warehouse.steps()["duplicate_event_id"] == 0
    assert warehouse.mart("feature_cuts").num_rows == warehouse.mart("user_states").num_rows == 0
