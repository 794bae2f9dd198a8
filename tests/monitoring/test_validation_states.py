"""The gate after the feature marts: states that leak, disagree with themselves or miss the serving cut are stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitoring.validation import STATE_TABLES, validate
from recommender.events import DAY_MS, Interaction
from recommender.states import ITEM_STATE_SCHEMA, USER_STATE_SCHEMA, empty_state, merge_live
from recommender.workspace import Workspace

pytestmark = pytest.mark.slow  # importing Great Expectations takes 4 to 9 s

AS_OF = 1_700_000_000_123


def user(number: int, **changes: Any) -> dict[str, Any]:
    """The state of a user who bought items 0 … number, an hour apart."""
    bought = [
        Interaction(f"e{item}", f"u{number}", "purchase", AS_OF - DAY_MS + item * 3_600_000, f"i{item}", 1, 5_000_000)
        for item in range(number + 1)
    ]
    return {**merge_live(empty_state(f"u{number}"), bought), **cut(AS_OF), "as_of_ms": AS_OF, **changes}


def item(number: int, **changes: Any) -> dict[str, Any]:
    """An item bought `number` times this week, and ten times as often before."""
    texts = dict.fromkeys(("title", "description", "category", "brand", "tags", "attributes"), f"item {number}")
    zeros = {field.name: 0 for field in ITEM_STATE_SCHEMA if pa.types.is_integer(field.type)}
    week = {"event_count_7d": number, "purchase_count_7d": number}
    month = dict.fromkeys(("event_count_28d", "event_count", "purchase_count_28d", "purchase_count"), 11 * number)
    return {**zeros, **texts, **week, **month, **cut(AS_OF), "item_id": f"i{number}", "is_available": 1, **changes}


def cut(ms: int) -> dict[str, Any]:
    moment = np.datetime64(ms, "ms").item()
    return {"as_of": moment, "created_at": moment}


def written(root: Path, users: list[dict[str, Any]], items: list[dict[str, Any]]) -> Workspace:
    workspace = Workspace(root)
    workspace.marts.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(users, schema=USER_STATE_SCHEMA), workspace.mart("user_states"))
    pq.write_table(pa.Table.from_pylist(items, schema=ITEM_STATE_SCHEMA), workspace.mart("item_states"))
    return workspace


def test_states_that_events_led_to_pass(tmp_path):
    workspace = written(tmp_path, [user(n) for n in range(5)], [item(n) for n in range(5)])
    result = validate(workspace, AS_OF, STATE_TABLES)
    assert result.failures == ()
    assert result.rows == {"user_states": 5, "item_states": 5}
    assert result.docs_path == workspace.data_docs / "states" / "index.html"
    assert result.docs_path.exists()


YESTERDAY = {**cut(AS_OF - DAY_MS), "as_of_ms": AS_OF - DAY_MS, "last_ms": AS_OF - DAY_MS - 1}


@pytest.mark.parametrize(
    ("table", "changes", "sentence"),
    [
        ("user_states", {"last_ms": AS_OF}, "user_states: events_after_cut is 5, expected 0"),
        ("user_states", {"as_of_ms": AS_OF + 1}, "user_states: misplaced_cuts is 5, expected 0"),
        ("user_states", {"user_id": "u0"}, "user_states: duplicate_keys is 4, expected 0"),
        ("user_states", {"history_counts": [1]}, "user_states: uneven_lists is 4, expected 0"),
        ("user_states", {"hour_counts": [0] * 23}, "user_states: uneven_lists is 5, expected 0"),
        ("user_states", {"event_count": 3}, "user_states: impossible_counts is 2, expected 0"),
        ("user_states", YESTERDAY, "user_states: serving_rows is 0, expected at least 1"),
        ("user_states", {"spend_micros": -1}, "user_states: spend_micros is outside in 100 %"),
        ("item_states", {"last_ms": AS_OF}, "item_states: events_after_cut is 5, expected 0"),
        # weeks of 2, 3 and 4 events in a month of one, and a month of one event in a life of none: 3 + 1
        ("item_states", {"event_count_28d": 1}, "item_states: impossible_counts is 4, expected 0"),
        ("item_states", {"is_available": 2}, "item_states: is_available is outside in 100 %"),
    ],
)
def test_a_broken_state_is_stopped_with_a_sentence(table, changes, sentence, tmp_path):
    users = [user(n, **(changes if table == "user_states" else {})) for n in range(5)]
    items = [item(n, **(changes if table == "item_states" else {})) for n in range(5)]
    told = [str(failure) for failure in validate(written(tmp_path, users, items), AS_OF, (table,)).failures]
    assert [line[: len(sentence)] for line in told] == [sentence]
