"""A home with marts of 300 people and one agent, for the tests of what agents read and write."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recommender.events import DAY_MS
from recommender.workspace import Workspace

START_MS = 1_780_272_000_000  # Monday 2026-06-01, 00:00 UTC
PEOPLE = 300
SPRING = """\
audience: select *, 40 as age from users
goal: {outcomes: {purchase: 1}, window_days: 2}
actions:
  - {name: news, channel: email}
  - {name: voucher, channel: email, inventory: 20}
timing: {windows: [{at: "09:00-12:00"}, {at: "17:00-20:00"}]}
frequency: {caps: [{limit: 1, per: day}]}
shares: {holdout: 0.2}
exploration: 0.5
"""


def times(at_ms: list[int]) -> pa.Array:
    return pa.array(at_ms, pa.int64()).cast(pa.timestamp("ms"))


def agents_home(root: Path) -> Workspace:
    """Marts of 300 people, of whom the first 50 said no to e-mail, and the agent `spring`."""
    workspace = Workspace(root)
    workspace.marts.mkdir(parents=True)
    workspace.agents.mkdir()
    (workspace.agents / "spring.yml").write_text(SPRING)
    ids = [f"u{number:04}" for number in range(PEOPLE)]
    attributes = [json.dumps({"consent_email": place >= 50, "plan": "a\nb"}) for place in range(PEOPLE)]
    users = {"user_id": ids, "timezone": ["Europe/Berlin"] * PEOPLE, "attributes": attributes}
    pq.write_table(pa.table(users), workspace.mart("users"))
    bought = {
        "event_id": [f"e{number:04}" for number in range(100)],
        "user_id": ids[::3],
        "event_type": ["purchase"] * 100,
        "occurred_at": times([START_MS + DAY_MS] * 100),
        "quantity": [1] * 100,
        "price_micros": [1_000_000] * 100,
        "origin": ["tables"] * 100,
    }
    pq.write_table(pa.table(bought), workspace.mart("events"))
    cut = {"cut_at": times([START_MS + 5 * DAY_MS]), "is_serving": [True]}
    pq.write_table(pa.table(cut), workspace.mart("feature_cuts"))
    return workspace
