"""A small random shop: typed Parquet with a past, a present and a future, and a journal that learned things late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from real_dbt import Warehouse

from recommender.events import EVENT_SCHEMA

START = datetime(2024, 1, 1)
PAST_CUT = START + timedelta(days=40, hours=7)
AS_OF = START + timedelta(days=61, milliseconds=1)
DAYS = 70  # events go on after as_of
TYPES = ["view", "click", "add_to_cart", "purchase", "skip", "impression", "dislike", "shared"]


@dataclass(frozen=True)
class Shop:
    """A warehouse and the events it was fed with, as dictionaries with the columns of EVENT_SCHEMA."""

    warehouse: Warehouse
    folder: Path
    events: list[dict[str, Any]]
    countries: dict[str, str]


def random_events(rng: np.random.Generator, n: int, prefix: str) -> list[dict[str, Any]]:
    def maybe(value: Any, share: float = 0.5) -> Any:
        return value if rng.random() < share else None

    events = []
    for number in range(n):
        # A tenth of all times falls on full days, so that ties and events exactly at a cut happen.
        at = START + timedelta(milliseconds=int(rng.integers(0, DAYS * 86_400_000)))
        at = at.replace(hour=7, minute=0, second=0, microsecond=0) if rng.random() < 0.1 else at
        events.append(
            {
                "event_id": f"{prefix}{rng.permutation(n)[0]}-{number}",
                "user_id": f"user{rng.integers(0, 40)}",
                "item_id": maybe(f"item{rng.integers(0, 60)}", 0.9),
                "event_type": str(rng.choice(TYPES)),
                "occurred_at": at.replace(microsecond=at.microsecond // 1000 * 1000),
                "session_id": maybe(f"session{rng.integers(0, 300)}"),
                "quantity": maybe(int(rng.integers(1, 5))),
                "price_micros": maybe(int(rng.integers(1, 500)) * 10_000),
                "channel": maybe(str(rng.choice(["web", "mail"]))),
                "device": maybe(str(rng.choice(["phone", "desktop"]))),
                "country": maybe(str(rng.choice(["NL", "DE"])), 0.2),
            }
        )
    return events


def collector_events() -> list[dict[str, Any]]:
    """A person with more items, events and purchase days than a state keeps."""
    return [
        {
            "event_id": f"collected{number}",
            "user_id": "collector",
            "item_id": f"rare{number % 650}",
            "event_type": "purchase" if number % 3 else "view",
            "occurred_at": START + timedelta(hours=number * 2),
        }
        for number in range(700)
    ]


def land(folder: Path, events: list[dict[str, Any]], countries: dict[str, str]) -> None:
    """Typed Parquet as a team would land it: events in a folder of two files, no items, a few users."""
    (folder / "events").mkdir(parents=True)
    rows = [{**event, "price": (event.get("price_micros") or 0) / 1e6 or None} for event in events]
    schema = pa.schema([field for field in EVENT_SCHEMA if field.name not in ("price_micros", "recorded_at", "origin")])
    schema = schema.append(pa.field("price", pa.float64()))
    half = len(rows) // 2
    for number, part in enumerate((rows[half:], rows[:half])):
        pq.write_table(pa.Table.from_pylist(part, schema=schema), folder / "events" / f"part-{number}.parquet")
    people = [{"user_id": user, "country": country, "consent_mail": True} for user, country in countries.items()]
    pq.write_table(pa.Table.from_pylist(people), folder / "users.parquet")


def recorded_late(rng: np.random.Generator, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events as a journal holds them: known minutes to weeks after they happened."""
    delays = rng.integers(0, 14 * 86_400_000, len(events))
    return [
        {**event, "recorded_at": event["occurred_at"] + timedelta(milliseconds=int(delay)), "origin": "journal"}
        for event, delay in zip(events, delays, strict=True)
    ]
