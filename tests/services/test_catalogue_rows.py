"""Catalogue rows: what is read, what is refused and why, and how a later row is folded into an earlier one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recommender.events import CATALOGUE_SCHEMA
from recommender.workspace import Workspace
from services.catalogue_rows import folded, read_row
from services.journal import Journal, export_journal
from services.records import CatalogueRow, Entry


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def journal(workspace: Workspace) -> Journal:
    return Journal(workspace.journal)


def tell(journal: Journal, at_ms: int, *bodies: dict[str, Any]) -> int:
    """How many rows changed something."""
    rows = tuple(CatalogueRow(*read_row(body), at_ms) for body in bodies)
    return journal.append([Entry(items=rows)])[0].items


def test_canonical_columns_and_attributes_are_read():
    body = {"item_id": " a ", "title": " Lamp ", "price": "12.5", "available": False, "tags": ["big", " red "]}
    more = {"created_at": "1970-01-01T00:00:01Z", "watt": 40, "attributes": {"colour": None}, "brand": None}
    assert read_row({**body, **more}) == (
        "a",
        {
            "title": "Lamp",
            "price_micros": 12_500_000,
            "is_available": False,
            "tags": "big,red",
            "created_at": 1_000,
            "attributes": {"watt": 40, "colour": None},
        },
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a", "a row of type str, not an object"),
        ({}, "item_id must be a text of 1 to 512 characters, not None"),
        ({"item_id": "  "}, "item_id must be a text"),
        ({"item_id": "x" * 513}, "item_id must be a text"),
        ({"item_id": "a", "price": -1}, "price must be a number from 0 to 1e+12, not -1"),
        ({"item_id": "a", "price": "dear"}, "price must be a number"),
        ({"item_id": "a", "price": True}, "price must be a number"),
        ({"item_id": "a", "price": "nan"}, "price must be a number"),
        ({"item_id": "a", "available": "yes"}, "available must be true or false, not 'yes'"),
        ({"item_id": "a", "created_at": "yesterday"}, "'yesterday' is not an ISO 8601 time"),
        ({"item_id": "a", "created_at": "2999-01-01"}, "lies after 2200"),
        ({"item_id": "a", "title": ["x"]}, "title must be a text"),
        ({"item_id": "a", "tags": [1]}, "tags must be a list of texts"),
        ({"item_id": "a", "attributes": [1]}, "attributes must be an object"),
        ({"item_id": "a", "text": "x" * 70_000}, "at most 65,536 are kept"),
        ({"item_id": "a", **{f"a{n}": n for n in range(101)}}, "101 further attributes; at most 100"),
        ({"item_id": "a", "title": "\ud800"}, "cannot be stored"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(body: Any, reason: str):
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_row(body)


def test_a_later_row_changes_what_it_speaks_of():
    earlier = {"title": "Lamp", "price_micros": 1, "attributes": {"watt": 40, "colour": "red"}}
    later = {"price_micros": 2, "attributes": {"colour": None}}
    assert folded(earlier, later) == {
        "title": "Lamp",
        "price_micros": 2,
        "attributes": {"watt": 40, "colour": None},
    }


def test_the_journal_keeps_every_change_and_knows_the_catalogue_as_of_any_row(journal: Journal):
    assert journal.catalogue_seq() == 0
    assert tell(journal, 10, {"item_id": "a", "title": "A", "price": 1}, {"item_id": "b"}) == 2
    assert tell(journal, 20, {"item_id": "c"}, {"item_id": "a", "price": 2}) == 2
    assert tell(journal, 30, {"item_id": "a", "price": 2}, {"item_id": "b", "title": None}) == 0  # nothing new
    assert journal.catalogue_seq() == 4
    now = journal.catalogue_changes(0, 4)
    assert now["item_id"].to_pylist() == ["a", "b", "c"]
    assert now["title"].to_pylist() == ["A", None, None]
    assert now["price_micros"].to_pylist() == [2_000_000, None, None]
    assert journal.catalogue_changes(0, 2)["price_micros"].to_pylist() == [1_000_000, None]
    assert journal.catalogue_changes(2, 4)["item_id"].to_pylist() == ["a", "c"]
    assert len(journal.catalogue_changes(4, 4)) == 0


def test_changes_leave_as_parquet_with_when_the_item_was_first_spoken_of(journal: Journal, workspace: Workspace):
    tell(journal, 10, {"item_id": "a", "title": "A", "watt": 40})
    tell(journal, 20, {"item_id": "a", "available": False, "watt": None})
    assert export_journal(workspace)["items"] == 2
    table = pq.read_table(workspace.journal_items)
    assert table.schema.equals(CATALOGUE_SCHEMA)
    assert table["attributes"].to_pylist() == ['{"watt":40}', '{"watt":null}']
    assert table["is_available"].to_pylist() == [None, False]
    assert [moment.microsecond // 1000 for moment in table["recorded_at"].to_pylist()] == [10, 20]
    assert [moment.microsecond // 1000 for moment in table["listed_at"].to_pylist()] == [10, 10]


def test_a_row_that_cannot_be_stored_takes_no_neighbour_along(journal: Journal):
    """One transaction an entry: what a failing one had written is gone."""
    rows = (CatalogueRow("a", {"title": "A"}, 1), CatalogueRow("b", {"title": object()}, 1))
    with pytest.raises(Exception, match="type 'object' is not supported"):
        journal.append([Entry(items=rows)])
    assert journal.catalogue_seq() == 0
