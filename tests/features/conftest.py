"""Small marts of real user and item states, for tests that drive Feast."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.events import DAY_MS, EVENT_STRENGTHS, Interaction
from recommender.states import ITEM_STATE_SCHEMA, USER_STATE_SCHEMA, empty_state, merge_live
from recommender.workspace import Workspace


class StateMarts:
    """Makes states that events really lead to, and writes them as marts. The same arguments give the same rows."""

    # Milliseconds that no coarser unit can hold: a join that rounds to seconds misses its boundary by 123 ms.
    cut = 1_700_000_000_123
    day = DAY_MS
    items = 40

    def user(self, user: int, cut_ms: int, *, created_ms: int | None = None, seed: int = 0) -> dict[str, Any]:
        """The state of a user at a cut; users whose number seven divides have not done anything yet."""
        known = [event for event in self._events(user, seed) if event.occurred_ms < cut_ms]
        cut, created = (_time(ms) for ms in (cut_ms, cut_ms if created_ms is None else created_ms))
        moments = {"as_of": cut, "created_at": created, "as_of_ms": cut_ms}
        return {**merge_live(empty_state(f"u{user:04d}"), known), **moments}

    def item(self, item: int, cut_ms: int) -> dict[str, Any]:
        numbers = dict.fromkeys(ITEM_STATE_SCHEMA.names, cut_ms + item)
        texts = {name: f"{name} {item}" for name in ("title", "description", "category", "brand", "tags", "attributes")}
        moments = {"as_of": _time(cut_ms), "created_at": _time(cut_ms)}
        return {**numbers, **texts, **moments, "item_id": f"i{item:02d}", "is_available": item % 2}

    def write(self, root: Path, users: Iterable[dict[str, Any]], items: Iterable[dict[str, Any]] = ()) -> Workspace:
        workspace = Workspace(root)
        workspace.marts.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(users), USER_STATE_SCHEMA), workspace.mart("user_states"))
        pq.write_table(pa.Table.from_pylist(list(items), ITEM_STATE_SCHEMA), workspace.mart("item_states"))
        return workspace

    def _events(self, user: int, seed: int) -> list[Interaction]:
        """Up to eighteen events of one user in the four weeks before the last cut."""
        rng = np.random.default_rng([seed, user])
        types = list(EVENT_STRENGTHS)
        return [
            Interaction(
                event_id=f"e{user}-{number}",
                user_id=f"u{user:04d}",
                event_type=types[int(rng.integers(len(types)))],
                occurred_ms=self.cut - 1 - int(rng.integers(28 * DAY_MS)),
                item_id=f"i{int(rng.integers(self.items)):02d}",
                price_micros=int(rng.integers(2**53, 2**58)),  # no float holds it: only integers come through intact
                device=("phone", "laptop", None)[int(rng.integers(3))],
                country="Österreich",
            )
            for number in range(user % 7 * 3)
        ]


def _time(ms: int) -> Any:
    return np.datetime64(ms, "ms").item()


@pytest.fixture(scope="session")
def states() -> StateMarts:
    return StateMarts()
