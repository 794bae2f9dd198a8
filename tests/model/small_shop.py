"""A small shop's events, and the states that the marts would hold of it at any cut, derived the plain way.

User states come from `merge_live` over an empty state (the project's own second derivation, which other
tests compare with the marts); item states and pairs from loops that follow the schemas' comments word by word.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa

from recommender.cuts import CutInputs
from recommender.events import DAY_MS, EVENT_SCHEMA, Interaction, strength_of
from recommender.states import (
    ITEM_STATE_SCHEMA,
    PAIR_SCHEMA,
    USER_STATE_SCHEMA,
    ItemTable,
    UserStates,
    empty_state,
    merge_live,
)

START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp() * 1000)
CATEGORIES = ("tea", "cups", "books", "lamps")


def day(number: float) -> int:
    """Milliseconds of a day of the shop's life."""
    return START + round(number * DAY_MS)


def events_of_shop(n_users: int = 90, n_items: int = 48, days: int = 63, seed: int = 5) -> pa.Table:
    """EVENT_SCHEMA: people with a favourite category look, put in the basket and buy, some things again and again."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        favourite, staples = rng.integers(4), rng.integers(0, n_items, 3)
        for visit in np.flatnonzero(rng.random(days) < 0.25):
            own = rng.integers(0, n_items // 4, 3) * 4 + favourite
            for item in {*own.tolist(), int(rng.choice(staples)), int(rng.integers(n_items) ** 2 // n_items)}:
                at = day(visit + 0.3 + 0.4 * rng.random())
                for event_type in ("view", "add_to_cart", "purchase")[: 1 + int(rng.integers(3))]:
                    rows.append((f"user-{user:03d}", f"item-{item:03d}", event_type, at, f"{user}-{visit}"))
    return event_table(rows)


def event_table(rows: list[tuple[str, str, str, int, str]], **columns: list[Any]) -> pa.Table:
    """EVENT_SCHEMA from (user, item, type, at_ms, session); other columns by name, else null."""
    ordered = sorted(rows, key=lambda row: (row[3], row[0], row[1], row[2]))
    user, item, kind, at, session = (list(part) for part in zip(*ordered, strict=True)) if ordered else ([],) * 5
    known = {
        "event_id": [f"event-{place}" for place in range(len(ordered))],
        "user_id": user,
        "item_id": item,
        "event_type": kind,
        "occurred_at": at,
        "recorded_at": at,
        "session_id": session,
        "device": ["phone" if len(name) % 2 else "desk" for name in session],
        "price_micros": [1_000_000 * (3 + int(name[-3:]) % 17) for name in item],
    } | columns
    empty: list[Any] = [None] * len(ordered)
    return pa.table({name: known.get(name, empty) for name in EVENT_SCHEMA.names}, schema=EVENT_SCHEMA)


def cut_inputs(events: pa.Table, as_of_ms: int, n_items: int = 48) -> CutInputs:
    """States of everything recorded before `as_of_ms`."""
    rows = [row for row in events.to_pylist() if to_ms(row["recorded_at"]) < as_of_ms]
    return CutInputs(as_of_ms, _users(rows, as_of_ms), _items(rows, as_of_ms, n_items), _pairs(rows, as_of_ms))


def to_ms(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _users(rows: list[dict[str, Any]], as_of_ms: int) -> UserStates:
    by_user = defaultdict(list)
    for row in rows:
        names = ("event_id", "user_id", "event_type", "item_id", "quantity", "price_micros", "device")
        by_user[row["user_id"]].append(
            Interaction(occurred_ms=to_ms(row["occurred_at"]), **{name: row[name] for name in names})
        )
    states = [merge_live(empty_state(user), by_user[user]) for user in sorted(by_user)]
    stamp = {"as_of": as_of_ms, "created_at": as_of_ms, "as_of_ms": as_of_ms}
    return UserStates(pa.Table.from_pylist([state | stamp for state in states], schema=USER_STATE_SCHEMA))


def _items(rows: list[dict[str, Any]], as_of_ms: int, n_items: int) -> ItemTable:
    states = []
    for number in range(n_items):
        item = f"item-{number:03d}"
        own = [row for row in rows if row["item_id"] == item and strength_of(row["event_type"]) > 0]
        ages = [as_of_ms - to_ms(row["occurred_at"]) for row in own]
        of_user = defaultdict(int)
        for row in own:
            of_user[row["user_id"]] += 1
        state: dict[str, Any] = {field.name: 0 for field in ITEM_STATE_SCHEMA}
        state |= {"item_id": item, "as_of": as_of_ms, "created_at": as_of_ms, "title": f"Title {number}"}
        state |= {
            "description": "",
            "brand": f"brand-{number % 5}",
            "tags": "",
            "attributes": "",
            "category": CATEGORIES[number % 4],
        }
        state |= {"price_micros": 1_000_000 * (3 + number % 17), "is_available": 1, "listed_ms": START}
        state |= {"event_count": len(own), "user_count": len(of_user)}
        state["repeat_user_count"] = sum(count > 1 for count in of_user.values())
        first: dict[str, int] = {}
        for row, age in zip(own, ages, strict=True):
            first[row["user_id"]] = max(age, first.get(row["user_id"], 0))
        for days in (7, 14, 28):
            state[f"new_user_count_{days}d"] = sum(age <= days * DAY_MS for age in first.values())
        month = {row["user_id"] for row, age in zip(own, ages, strict=True) if age <= 28 * DAY_MS}
        state["user_count_28d"] = len(month)
        for days in (1, 7, 28):
            state[f"event_count_{days}d"] = sum(age <= days * DAY_MS for age in ages)
        state["purchase_count"] = sum(row["event_type"] == "purchase" for row in own)
        decayed = (
            strength_of(row["event_type"]) * 2 ** (-age / (14 * DAY_MS)) for row, age in zip(own, ages, strict=True)
        )
        state["popularity_micros"] = sum(round(term * 1e6) for term in decayed)
        if own:
            state["first_ms"], state["last_ms"] = as_of_ms - max(ages), as_of_ms - min(ages)
        states.append(state)
    return ItemTable.from_table(pa.Table.from_pylist(states, schema=ITEM_STATE_SCHEMA))


def _pairs(rows: list[dict[str, Any]], as_of_ms: int) -> pa.Table:
    baskets = defaultdict(set)
    for row in rows:
        baskets[row["session_id"]].add(row["item_id"])
    together = defaultdict(int)
    for basket in baskets.values():
        for first, second in permutations(sorted(basket), 2):
            together[first, second] += 1
    pairs = [
        {"item_id": first, "other_item_id": second, "weight_micros": 1_000_000 * count // 10, "rank": 1}
        for (first, second), count in sorted(together.items())
    ]
    stamp = {"as_of": as_of_ms, "pair_kind": "together"}
    return pa.Table.from_pylist([pair | stamp for pair in pairs], schema=PAIR_SCHEMA)
