"""User states fold live events exactly as a later cut would; item tables find their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.events import DAY_MS, EVENT_STRENGTHS, Interaction
from recommender.states import (
    HISTORY_LENGTH,
    ITEM_STATE_SCHEMA,
    PURCHASE_DAYS_LENGTH,
    RECENT_LENGTH,
    USER_STATE_SCHEMA,
    ItemTable,
    UserStates,
    empty_state,
    merge_live,
)

START = 20_000 * DAY_MS


@st.composite
def interactions(draw: st.DrawFn) -> list[Interaction]:
    """Events of one person at distinct moments (ties are ordered by event ids, which a state does not keep)."""
    moments = draw(st.lists(st.integers(1, 90 * 24 * 60), unique=True, max_size=40))
    return [
        Interaction(
            event_id=f"e{index}",
            user_id="u",
            event_type=draw(st.sampled_from([*EVENT_STRENGTHS, "wishlist"])),
            occurred_ms=START + minute * 60_000,
            item_id=draw(st.sampled_from([None, *"abcdefgh"])),
            quantity=draw(st.sampled_from([None, 1, 3])),
            price_micros=draw(st.sampled_from([None, 2_500_000])),
            device=draw(st.sampled_from([None, "mobile", "desktop"])),
            country=draw(st.sampled_from([None, "GB"])),
        )
        for index, minute in enumerate(moments)
    ]


def fold(*batches: list[Interaction]) -> dict[str, Any]:
    state = empty_state("u")
    for batch in batches:
        state = merge_live(state, batch)
    return state


@given(interactions(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_in_which_events_arrive_does_not_matter(events: list[Interaction], random: Any) -> None:
    shuffled = events.copy()
    random.shuffle(shuffled)
    assert fold(shuffled) == fold(events)


@given(interactions(), st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_two_batches_in_time_give_what_one_gives(events: list[Interaction], cut: int) -> None:
    in_time = sorted(events, key=lambda event: event.occurred_ms)
    assert fold(in_time[:cut], in_time[cut:]) == fold(events)


@given(interactions(), st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_late_events_count_as_if_they_had_come_in_time(events: list[Interaction], cut: int) -> None:
    late_first = fold(events[cut:], events[:cut])
    where = ("device", "country")  # taken from the latest and the first event: the one thing lateness can change
    assert {**late_first, **dict.fromkeys(where)} == {**fold(events), **dict.fromkeys(where)}


@given(interactions())
@settings(max_examples=50, deadline=None)
def test_merging_leaves_the_stored_state_untouched(events: list[Interaction]) -> None:
    stored = fold(events)
    before = UserStates.from_rows([stored]).table
    merge_live(stored, [Interaction("x", "u", "purchase", START, "a")])
    assert UserStates.from_rows([stored]).table.equals(before)


@given(interactions())
@settings(max_examples=50, deadline=None)
def test_merging_nothing_changes_nothing(events: list[Interaction]) -> None:
    state = fold(events)
    assert merge_live(state, []) == state


def test_totals_are_plain_arithmetic() -> None:
    state = fold(
        [
            Interaction("1", "u", "purchase", START + 3_600_000, "a", quantity=2, price_micros=5_000_000, device="tv"),
            Interaction("2", "u", "purchase", START + DAY_MS, "a", price_micros=1_000_000),
            Interaction("3", "u", "view", START + DAY_MS + 1, "b"),
            Interaction("4", "u", "skip", START + DAY_MS + 2, "c"),
            Interaction("5", "u", "impression", START + DAY_MS + 3, "d"),
        ]
    )
    assert state["event_count"] == 2 + 1
    assert (state["view_count"], state["purchase_count"], state["skip_count"]) == (1, 2, 1)
    assert state["quantity_sum"] == 2 + 1
    assert state["spend_micros"] == 2 * 5_000_000 + 1 * 1_000_000
    assert (state["first_ms"], state["last_ms"]) == (START + 3_600_000, START + DAY_MS + 1)
    assert state["last_purchase_ms"] == START + DAY_MS
    assert state["hour_counts"] == [2, 1] + [0] * 22
    assert state["purchase_days"] == [20_001, 20_000]
    assert state["device"] == "tv"
    assert state["history_item_ids"] == ["b", "a"]
    assert state["history_strengths"] == [1, 6 + 6]
    assert state["history_purchase_counts"] == [0, 2]
    assert state["recent_item_ids"] == ["c", "b", "a", "a"]
    assert state["recent_event_types"] == ["skip", "view", "purchase", "purchase"]


def test_a_late_event_does_not_say_where_the_person_is_now() -> None:
    stored = fold([Interaction("1", "u", "view", START + 10, "a", device="desktop")])
    assert merge_live(stored, [Interaction("2", "u", "view", START + 5, "b", device="mobile")])["device"] == "desktop"
    assert merge_live(stored, [Interaction("3", "u", "view", START + 11, "b", device="mobile")])["device"] == "mobile"


def test_long_histories_keep_the_newest_and_truncating_again_changes_nothing() -> None:
    days = range(HISTORY_LENGTH + 40)
    state = fold([Interaction(f"e{day}", "u", "purchase", START + day * DAY_MS, f"i{day:04d}") for day in days])
    newest_first = [f"i{day:04d}" for day in reversed(days)]
    assert state["history_item_ids"] == newest_first[:HISTORY_LENGTH]
    assert state["recent_item_ids"] == newest_first[:RECENT_LENGTH]
    assert state["purchase_days"] == [20_000 + day for day in reversed(days)][:PURCHASE_DAYS_LENGTH]
    assert merge_live(state, []) == state
    assert state["event_count"] == len(days)


def test_an_empty_state_is_a_row_of_its_own() -> None:
    first, second = empty_state("a"), empty_state("b")
    first["history_item_ids"].append("x")
    assert second["history_item_ids"] == []
    assert list(second) == USER_STATE_SCHEMA.names
    assert UserStates.from_rows([second]).table.schema == USER_STATE_SCHEMA


def test_nulls_become_zero_empty_text_and_empty_lists_but_times_stay_unknown() -> None:
    nothing = {field.name: pa.nulls(2, field.type) for field in USER_STATE_SCHEMA}
    states = UserStates.from_table(pa.table({**nothing, "user_id": ["a", None]}))
    assert states.user_ids == ["a", ""]
    assert states.integers("event_count").tolist() == [0, 0]
    assert states.texts("country").to_pylist() == ["", ""]
    assert states.table["history_item_ids"].to_pylist() == [[], []]
    assert states.table["as_of"].to_pylist() == [None, None]


def test_columns_are_conformed_in_order_and_type() -> None:
    row = UserStates.from_rows([empty_state("a")]).table
    narrow = row.set_column(row.schema.get_field_index("event_count"), "event_count", pa.array([7], pa.int32()))
    states = UserStates.from_table(narrow.select(narrow.column_names[::-1]))
    assert states.table.schema == USER_STATE_SCHEMA
    assert states.integers("event_count").tolist() == [7]


def test_flat_lists_and_their_offsets_survive_a_slice() -> None:
    rows = [{**empty_state(user), "history_counts": counts} for user, counts in (("a", [1]), ("b", [2, 3]), ("c", [4]))]
    tail = UserStates.from_rows(rows).slice(1, 2)
    assert tail.offsets("history_counts").tolist() == [0, 2, 3]
    assert tail.flat_integers("history_counts").tolist() == [2, 3, 4]


def item_table(*item_ids: str) -> ItemTable:
    columns = {field.name: pa.nulls(len(item_ids), field.type) for field in ITEM_STATE_SCHEMA}
    brands = pa.array([f"brand {item_id[-1]}" if item_id else None for item_id in item_ids])
    return ItemTable.from_table(pa.table({**columns, "item_id": list(item_ids), "brand": brands}))


def test_items_lie_in_the_order_of_their_ids_whatever_order_they_came_in() -> None:
    assert item_table("c", "a", "b").table.equals(item_table("b", "c", "a").table)


@given(st.lists(st.sampled_from(["a", "b", "c", "zz", ""]), max_size=30), st.booleans())
@settings(max_examples=50, deadline=None)
def test_positions_name_the_row_or_minus_one(asked: list[str], as_arrow: bool) -> None:
    items = item_table("c", "a", "b")
    found = items.positions(pa.array(asked, pa.string()) if as_arrow else asked)
    assert found.dtype == np.int64
    assert found.tolist() == [{"a": 0, "b": 1, "c": 2}.get(item_id, -1) for item_id in asked]


def test_a_column_that_an_earlier_version_did_not_write_reads_as_empty() -> None:
    items = ItemTable.from_table(item_table("a", "b").table.drop_columns(["attributes", "new_user_count_7d"]))
    assert items.table["attributes"].to_pylist() == ["", ""]
    assert items.integers("new_user_count_7d").tolist() == [0, 0]


def test_codes_count_sorted_distinct_values_and_leave_the_empty_one_out() -> None:
    columns = {field.name: pa.nulls(4, field.type) for field in ITEM_STATE_SCHEMA}
    table = pa.table({**columns, "item_id": list("abcd"), "category": ["toys", "", "books", "toys"]})
    assert ItemTable.from_table(table).codes("category").tolist() == [1, -1, 0, 1]
