"""Files of the team that still name somebody who was erased: what they say from before that is never landed again."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_dbt import Warehouse, write_lines

from recommender.events import ERASED_SCHEMA

pytestmark = pytest.mark.slow

KEY = "5" * 64
ERASED_AT = datetime(2026, 3, 1)
BEFORE, LATER = "2026-02-01T10:00:00Z", "2026-03-05T10:00:00Z"


def event(user: str, at: str, item: str) -> dict[str, str]:
    return {"user_id": user, "item_id": item, "event_type": "view", "occurred_at": at, "session_id": f"of {user} {at}"}


def test_rows_from_before_an_erasure_stay_out_and_what_comes_later_is_of_somebody_new(tmp_path: Path) -> None:
    gone, other = "gone-person-7c1", "other-person-9d2"
    folder = tmp_path / "files"
    write_lines(folder / "events.jsonl", [event(who, at, "lamp") for who in (gone, other) for at in (BEFORE, LATER)])
    bad = [{**event(who, BEFORE, "lamp"), "event_type": None} for who in (gone, other)]
    write_lines(
        folder / "events.jsonl", [*[event(who, at, "lamp") for who in (gone, other) for at in (BEFORE, LATER)], *bad]
    )
    users = [{"user_id": who, "country": "FR", "consent_email": True} for who in (gone, other)]
    write_lines(folder / "users.jsonl", users)
    write_lines(folder / "items.jsonl", [{"item_id": "lamp"}])
    warehouse = Warehouse.fed_from(folder, tmp_path / "home")
    warehouse.land_journal()
    digest = hashlib.sha256((KEY + gone).encode()).hexdigest()
    hashes = pa.Table.from_pylist([{"key": KEY, "hash": digest, "erased_at": ERASED_AT}], schema=ERASED_SCHEMA)
    pq.write_table(hashes, warehouse.workspace.journal_erased)

    warehouse.build("canonical")

    found = [(row["user_id"], row["occurred_at"] > ERASED_AT) for row in warehouse.rows("events")]
    assert sorted(found) == [(gone, True), (other, False), (other, True)]
    people = {row["user_id"]: row["country"] for row in warehouse.rows("users")}
    assert people == {gone: None, other: "FR"}  # the new one is known by what happened since alone
    assert [other in row["raw_row"] for row in warehouse.rows("dead_letters")] == [True]
    held = warehouse.workspace.warehouse.read_bytes()
    assert f"of {other} {BEFORE}".encode() in held
    assert f"of {gone} {BEFORE}".encode() not in held
